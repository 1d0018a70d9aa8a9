"""Servers on this machine that stand in for Google's, for tests, examples and benchmarks: started by a ``with``."""
