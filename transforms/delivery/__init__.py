"""Delivering batches to a destination of any type: one request, one batch coming apart, what all batches share."""
