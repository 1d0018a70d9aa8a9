"""Beam's runners: what they can and cannot do, what a cluster needs before a job starts, and how a job is followed."""
