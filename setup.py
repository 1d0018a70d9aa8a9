"""For Beam's ``--setup_file``: workers install this package from it. Everything is declared in pyproject.toml."""

from setuptools import setup

setup()
