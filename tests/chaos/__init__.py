"""The chaos test: faults of every kind, and nothing lost or doubled. See `chaos.run_seed` and `checks`."""
