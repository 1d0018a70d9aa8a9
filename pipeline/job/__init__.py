"""The job file: its models, its presets, and reading it with all its problems at once."""
