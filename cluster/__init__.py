"""A real Flink cluster on one machine, for tests and benchmarks: see `cluster.flink` and ``make cluster-test``."""
