"""What earlier runs have settled: `run --resume`, `reconcile`."""
