"""The directives of mappings, a module for each family. They are registered when the package is imported."""

from capybeam.transforms.language.directives import choices, lookups, objects, texts

__all__ = ["choices", "lookups", "objects", "texts"]
