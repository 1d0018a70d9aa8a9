"""A local Graph API that refuses what Meta refuses.

``capybeam sandbox`` and the tests of the whole project send to it in place of graph.facebook.com. It is a second,
independent reading of Meta's documentation: it imports nothing from ``transforms``, so a rule that the sender got wrong
is refused here instead of being confirmed by the same mistake.

- `fields` and `rules`: what an event must be, as tables and pure functions; `personal_data`: what it must not show.
- `store`: totals, the deduplication window, the last refusals and events. Its size does not grow with the events it
  takes, except for the IDs of the deduplication window, which are capped.
- `faults`: what goes wrong on purpose.
- `app` and `server`: the store behind aiohttp, on the loopback interface only. Nothing is logged: neither tokens nor
  events.
"""
