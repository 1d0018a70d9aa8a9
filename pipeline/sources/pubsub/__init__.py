"""Events and dead letters from Pub/Sub subscriptions: a `sources.SourceModule`."""

from capybeam.pipeline.sources.pubsub.subscription import open_dead_letters, open_source

__all__ = ["open_dead_letters", "open_source"]
