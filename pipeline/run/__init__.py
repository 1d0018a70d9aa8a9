"""One run: its options, what is checked before it, its progress and its report."""
