"""Other programs that do the same work, to be measured beside capybeam; none of them is a part of it."""
