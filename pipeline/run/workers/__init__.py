"""Several processes of this machine that share the work of one run (``--workers``), and its books, pace and state.

The process that the user has started coordinates: it forks the others before anything is opened, hands out parts of the
inputs, holds what all senders share, adds up what they count, and writes the report. Each worker runs the job's whole
graph over the parts that it is given, and appends to the same files.
"""
