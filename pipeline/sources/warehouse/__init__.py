"""Rows of a warehouse's tables → events, as they were sent."""
