"""`capybeam report`: the match quality of a job's conversions, counted over any input, as a page and as JSON."""
