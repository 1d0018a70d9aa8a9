"""Exports of Segment's in all their forms, and files that are none."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from capybeam.pipeline.segment.exports import Export, ExportedSubscription, read_export
from capybeam.pipeline.segment.expressions import UnreadableExport
from tests.pipeline.segment.exports import PURCHASE, TRACK, answer, destination, subscription

ONE = subscription()
READ = ExportedSubscription("Purchase (Copy)", "purchase", "8whh4kyqahLHgTJqUwvEwh", "dest-1", True, TRACK, PURCHASE)

FORMS: dict[str, Any] = {
    "the Public API's answer": {"data": {"subscriptions": [ONE], "pagination": {"current": "MA=="}}},
    "without data": {"subscriptions": [ONE]},
    "a list": [ONE],
    "one alone": ONE,
    "settings as JSON text": {"data": {"subscription": {**ONE, "settings": json.dumps(PURCHASE)}}},
    "wrapped twice": {"result": {"data": {"subscriptions": [ONE]}}},
}


@pytest.mark.parametrize("document", FORMS.values(), ids=FORMS.keys())
def test_a_subscription_is_found_in_every_form(document: Any) -> None:
    assert read_export(json.dumps(document, indent=1).encode(), "a.json") == Export((), (READ,))


def test_a_destination_with_its_subscriptions_gives_them_its_id_and_leaves_the_catalogues_presets_alone() -> None:
    nested = {"data": {"destination": {**destination(), "subscriptions": [subscription(destinationId=None)]}}}

    export = read_export(json.dumps(nested).encode(), "a.json")

    assert [(each.id, each.name, each.slug, each.actions) for each in export.destinations] == [
        ("dest-1", "Shop / web", "actions-facebook-conversions-api", {"an-id": "search"})
    ]
    assert export.subscriptions == (READ,)


def test_pages_may_stand_one_behind_the_other() -> None:
    both = answer(ONE) + b"\n" + answer(subscription(name="Second"))

    assert [each.name for each in read_export(both, "a.json").subscriptions] == ["Purchase (Copy)", "Second"]


def test_an_answer_that_is_one_page_of_several_says_so() -> None:
    assert read_export(answer(ONE, next="MQ=="), "a.json").has_more
    assert not read_export(answer(ONE), "a.json").has_more


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b" \n", "is empty"),
    "zip": (b"PK\x03\x04rest", "is a .zip archive; unpack it first"),
    "gzip": (gzip.compress(b"{}"), "is packed by gzip; unpack it first"),
    "no text": (b"\xe4\x00{", "is not UTF-8 text"),
    "broken": (b'{"data":\n {"subscriptions": [\n secret secret', "is not valid JSON"),
    "an answer without any": (b'{"data": {"subscriptions": []}}', "has an empty list of subscriptions"),
    "an error": (b'{"errors": [{"type": "unauthorized", "message": "secret"}]}', "is an error that Segment's API"),
    "events": (b'{"type": "track", "event": "secret"}\n{"type": "page"}', "holds events, not subscriptions"),
    "other JSON": (b'{"type": "track"}', "has no subscription of Segment's"),
    "prose": (b"Dear all,\n", "is neither JSON nor Terraform"),
    "deep": (b"[" * 100_000, "is nested too deeply"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_no_export_is_named_as_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableExport, match=r"^a\.json(:\d+)?: ") as caught:
        read_export(content, "a.json")
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
