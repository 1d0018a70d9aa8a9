"""Sums of what is stored."""

from __future__ import annotations

from capybeam.pipeline.sandbox.server import SandboxServer
from capybeam.pipeline.sandbox.totals import MAX_PARTS, OTHERS, Part, Totals
from tests.pipeline.sandbox.senders import DATASET, NOW, event, offline, post, upload


def test_only_purchases_are_summed_by_dataset_and_currency(sandbox: SandboxServer) -> None:
    post(sandbox, event(), event(event_id="2", custom_data={"currency": "EUR", "value": 0.1}))
    post(sandbox, event(event_id="3", custom_data={"currency": "EUR", "value": 0.2}))
    post(sandbox, event(event_name="AddToCart", event_id="4"), event(event_name="Lead", event_id="5"), dataset="77")
    upload(sandbox, offline(value=7), dataset="88")

    stats = sandbox.stats()
    assert stats["purchase_value"] == {DATASET: {"USD": 12.5, "EUR": 0.3}, "88": {"USD": 7}}


def test_a_repeat_is_summed_once(sandbox: SandboxServer) -> None:
    post(sandbox, event(), event())

    assert sandbox.stats()["purchase_value"] == {DATASET: {"USD": 12.5}}


def test_there_is_a_limit_to_what_is_told_apart() -> None:
    totals = Totals()
    for n in range(MAX_PARTS + 500):
        name = f"name-{n}"
        totals.count(Part("1", name, "website", ""), event(event_name=name), {"em": "x"}, {}, NOW)

    by_event = totals.by_event()
    assert (len(by_event["1"]), by_event[OTHERS][OTHERS].stored) == (MAX_PARTS, 500)
    assert totals.match_keys() == {"em": MAX_PARTS + 500}
