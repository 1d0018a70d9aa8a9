"""Moving from Segment: what its exports say, as a job file, and what will come out differently."""
