"""Delivers Segment-style events to Meta's Conversions API, as one Apache Beam job.

The folders ``pipeline`` and ``transforms`` in it are links to those at the top of the repository: readers find them
there, and Python, mypy and pytest see one package, ``capybeam``, in a checkout as in a wheel.
"""

__version__ = "0.1.0"
