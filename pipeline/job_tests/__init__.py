"""``capybeam test``: cases beside a job file, and whether the job does what they expect."""
