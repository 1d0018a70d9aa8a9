"""The steps between a Segment event and a request to its destination.

Modules named for doing (``parsing`` … ``sending``) are the Beam steps, thin over the rooms beside them.
Those are pure and never import Beam: ``standards``, ``core``, ``language``, ``meta``, ``delivery`` and ``engine``.
Nothing here imports from ``pipeline``.
"""
