"""``capybeam explain``: one event's way, step by step, and why it ends where it does."""
