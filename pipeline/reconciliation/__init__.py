"""What earlier runs have processed: `run --resume`, `reconcile`."""
