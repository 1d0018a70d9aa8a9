"""The steps between a Segment event and a Conversions API request.

Modules named for things (``events``, ``triggers``, ``directives``, ``fields``, ``user_data``, ``meta_rules``,
``properties``, ``conversions``, ``graph_api``, ``couriers``, ``pacing``, ``tokens``, ``rejections``) are pure and
never import Beam.
Modules named for doing (``parsing`` … ``sending``) are the Beam steps, thin over the former.
Nothing here imports from ``pipeline``.
"""
