"""Delivers Segment-style events to Meta's Conversions API, as one Apache Beam job.

What is listed here is public, for other people's pipelines; docs/python.md shows how it is used. All else may change.

The folders ``pipeline`` and ``transforms`` in it are links to those at the top of the repository: readers find them
there, and Python, mypy and pytest see one package, ``capybeam``, in a checkout as in a wheel.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

if TYPE_CHECKING:
    from capybeam.pipeline.deliver import Deliver, Delivered, DeliverRows
    from capybeam.pipeline.job.loader import ConfigError, Job, load_job
    from capybeam.sandbox import Sandbox
    from capybeam.transforms.batching import BatchByDestination
    from capybeam.transforms.core.rejections import Rejection
    from capybeam.transforms.deduplicating import DropRepeats
    from capybeam.transforms.delivery.batches import Receipt
    from capybeam.transforms.filtering import FilterEvents
    from capybeam.transforms.hashing import HashUserData
    from capybeam.transforms.mapping import MapProperties
    from capybeam.transforms.naming import MapEventNames
    from capybeam.transforms.parsing import ParseEvents
    from capybeam.transforms.replaying import ReplayDeadLetters
    from capybeam.transforms.sending import SendBatches
    from capybeam.transforms.validating import ValidateConversions

# Where each name is found when it is first asked for: `capybeam check` starts without Beam.
_HOMES: Final = {
    "BatchByDestination": "transforms.batching",
    "ConfigError": "pipeline.job.loader",
    "Deliver": "pipeline.deliver",
    "DeliverRows": "pipeline.deliver",
    "Delivered": "pipeline.deliver",
    "DropRepeats": "transforms.deduplicating",
    "FilterEvents": "transforms.filtering",
    "HashUserData": "transforms.hashing",
    "Job": "pipeline.job.loader",
    "MapEventNames": "transforms.naming",
    "MapProperties": "transforms.mapping",
    "ParseEvents": "transforms.parsing",
    "Receipt": "transforms.delivery.batches",
    "Rejection": "transforms.core.rejections",
    "ReplayDeadLetters": "transforms.replaying",
    "Sandbox": "sandbox",
    "SendBatches": "transforms.sending",
    "ValidateConversions": "transforms.validating",
    "load_job": "pipeline.job.loader",
}

__all__ = [
    "BatchByDestination",
    "ConfigError",
    "Deliver",
    "DeliverRows",
    "Delivered",
    "DropRepeats",
    "FilterEvents",
    "HashUserData",
    "Job",
    "MapEventNames",
    "MapProperties",
    "ParseEvents",
    "Receipt",
    "Rejection",
    "ReplayDeadLetters",
    "Sandbox",
    "SendBatches",
    "ValidateConversions",
    "__version__",
    "load_job",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
