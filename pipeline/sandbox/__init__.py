"""A stand-in for Meta's Conversions API: a second, independent reading of its rules."""
