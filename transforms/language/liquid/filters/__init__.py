"""LiquidJS's filters, as of its version 10.30, but for those that Segment leaves out.

A filter is one function in a module here. What an argument that is missing stands for is LiquidJS's default, and a
value of another type is taken as JavaScript takes it: a filter fails only where LiquidJS does. The filters are
registered when the package is imported.
"""

from capybeam.transforms.language.liquid.filters import anything, dates, encodings, lists, numbers, texts

__all__ = ["anything", "dates", "encodings", "lists", "numbers", "texts"]
