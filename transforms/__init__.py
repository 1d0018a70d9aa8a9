"""The steps between a Segment event and a Conversions API request.

Modules named for things (``events``, ``envelopes``, ``triggers``, ``directives``, ``liquid_templates``, ``fields``,
``user_data``, ``normalisers``, ``personal_data``, ``meta_rules``, ``properties``, ``conversions``, ``graph_api``,
``transport``, ``circuits``, ``isolation``, ``clients``, ``pacing``, ``tokens``, ``rejections`` …) are pure and never
import Beam.
Modules named for doing (``parsing`` … ``sending``) are the Beam steps, thin over the former.
Nothing here imports from ``pipeline``.
"""
