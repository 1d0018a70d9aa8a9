"""What the process that forks runs has imported: Beam, without its warnings of extras that are not installed."""

import logging

logging.disable(logging.WARNING)
from capybeam.pipeline import cli  # noqa: E402
from capybeam.pipeline.run import execute  # noqa: E402

logging.disable(logging.NOTSET)

__all__ = ["cli", "execute"]
