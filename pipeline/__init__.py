"""The job: how it is configured, assembled and run."""
