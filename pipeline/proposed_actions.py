"""Which action an event seems to be meant for, by its name: what `init` and `check` propose."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Final

from capybeam.pipeline.job.presets import presets
from capybeam.transforms.language.triggers import compile_trigger

# Names that are no action's trigger, and the actions that they seem to be meant for. The first two are of Segment's B2B
# SaaS spec, then of its e-commerce and live chat specs, and two in common use; the others are the recommended events of
# Google Analytics 4 that are not called as at Meta.
OTHER_NAMES: Final[Mapping[str, str]] = {
    "Account Created": "completeRegistration",
    "User Signed Up": "completeRegistration",
    "Product List Viewed": "viewContent",
    "Live Chat Conversation Started": "contact",
    "Lead Generated": "lead",
    "Subscription Started": "subscribe",
    "begin_checkout": "initiateCheckout",
    "view_item": "viewContent",
    "view_item_list": "viewContent",
    "sign_up": "completeRegistration",
    "generate_lead": "lead",
}


def proposed_action(kind: Any, name: Any) -> str:
    """The action whose trigger, or whose name at Meta, an event of this type and name has; "" for none.

    Case, blanks and signs do not matter: ``order_completed`` is ``Order Completed``.
    """
    if kind != "track":
        return next((action for action, preset in presets().items() if _takes(preset.trigger, kind)), "")
    return _by_name().get(_plain(name), "") if isinstance(name, str) else ""


def _takes(trigger: str | None, kind: Any) -> bool:
    return trigger is not None and compile_trigger(trigger)({"type": kind})


@functools.cache
def _by_name() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for action, preset in presets().items():
        names = [*re.findall(r'event = "([^"]+)"', preset.trigger or ""), preset.event_name or ""]
        found.update((_plain(name), action) for name in names if name)
    return {**{_plain(name): action for name, action in OTHER_NAMES.items()}, **found}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
