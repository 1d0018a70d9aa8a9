"""An event's way to the bytes that a destination reads, as pure functions."""
