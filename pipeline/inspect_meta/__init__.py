"""What Meta says of a job's datasets and tokens, asked without sending an event: ``capybeam quality``, ``doctor``."""
