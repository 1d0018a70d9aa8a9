"""A job that runs is updated in place by this version: Dataflow finds its steps again, and what is in their state."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import orjson
import pytest

from capybeam.transforms.core.envelope import Address, Envelope
from capybeam.transforms.core.recent_ids import repeat_key
from tests.pipeline.stream_graphs import (
    RELEASED,
    Json,
    broken_by,
    coder_before,
    described,
    graphs,
    kept_values,
    written,
)

LAST: Json = orjson.loads(RELEASED.read_bytes())
DROP = "DropRepeats/Drop/Drop"


@pytest.mark.parametrize("name", LAST["graphs"])
def test_a_job_of_the_last_release_can_be_updated_in_place(name: str) -> None:
    """A sentence here is a job that has to be drained. Where that is meant, see "At a release" in CONTRIBUTING.md."""
    assert broken_by(LAST["graphs"][name], described(graphs()[name]), LAST["beam"] == beam.__version__) == []


def test_every_graph_is_kept() -> None:
    assert [*LAST["graphs"]] == [*graphs()]
    assert orjson.loads(written(LAST)) == LAST


@pytest.mark.parametrize("step", LAST["kept"])
def test_what_waits_in_a_step_of_the_last_release_can_be_read(step: str) -> None:
    assert coder_before(step).decode(base64.b64decode(LAST["kept"][step])) == kept_values()[step]


def test_a_waiting_event_of_the_last_release_is_an_envelope() -> None:
    step = "BatchByDestination/Gather"
    key, line = coder_before(step).decode(base64.b64decode(LAST["kept"][step]))
    event = Envelope.decode(line)
    assert Address.decode(key) == Address("web", "123")
    assert (event.subscription, event.event_name, event.event_id) == ("leads", "Lead", "a-1")
    assert event.event_time == orjson.loads(event.body)["event_time"] == 1_795_000_000
    assert repeat_key(key, line).hex() == LAST["repeat_key"], "a running job would forget what has come"


def renamed(steps: Json) -> None:
    steps["FilterEvents/Select"] = steps.pop("FilterEvents/Convert/Convert")


def without_state(steps: Json) -> None:
    del steps[DROP]["state"], steps[DROP]["timers"]


def with_more(steps: Json) -> None:
    steps["New"] = {"urn": "beam:transform:pardo:v1", "inputs": [DROP], "outputs": {"None": "bytes in global_windows"}}
    steps[DROP]["state"]["since"] = "read_modify_write(varint)"
    steps[DROP]["outputs"]["late"] = "bytes in global_windows"


def changed(step: str, kind: str, name: str, text: str) -> Callable[[Json], None]:
    return lambda steps: steps[step][kind].__setitem__(name, text)


GATHER = "BatchByDestination/Gather/GroupIntoBatches/ParDo(_GroupIntoBatchesDoFn)"
REJECTIONS = "FilterEvents/Convert/Convert: output rejections was FastPrimitivesCoder in global_windows"


@pytest.mark.parametrize(
    ("edit", "sentences"),
    [
        (with_more, []),
        (renamed, ["FilterEvents/Convert/Convert: is not there any more, or has another name"]),
        (
            without_state,
            [
                f"{DROP}: state seen was read_modify_write(bool), is not there any more",
                f"{DROP}: timer ts-over was PROCESSING_TIME timer(bytes, global_window), is not there any more",
            ],
        ),
        (
            changed(DROP, "state", "seen", "read_modify_write(varint)"),
            [f"{DROP}: state seen was read_modify_write(bool), is read_modify_write(varint)"],
        ),
        (
            changed("FilterEvents/Convert/Convert", "outputs", "rejections", "bytes in fixed_windows"),
            [f"{REJECTIONS}, is bytes in fixed_windows"],
        ),
        (
            lambda steps: steps["FilterEvents/Convert/Convert"]["outputs"].pop("rejections"),
            [f"{REJECTIONS}, is not there any more"],
        ),
        (
            lambda steps: steps["BatchByDestination/Cut"].__setitem__("inputs", [DROP]),
            [f"BatchByDestination/Cut: read ['BatchByDestination/Gather'], reads ['{DROP}']"],
        ),
        (
            lambda steps: steps["BatchByDestination/Gather"].__setitem__("urn", "beam:transform:group_by_key:v1"),
            [
                "BatchByDestination/Gather: was beam:transform:group_into_batches_with_sharded_key:v1,"
                " is beam:transform:group_by_key:v1"
            ],
        ),
        (
            changed(GATHER, "state", "values", "bag(bytes)"),
            [f"{GATHER}: state values was bag(FastPrimitivesCoder), is bag(bytes)"],
        ),
    ],
)
def test_what_breaks_an_update_is_named(edit: Callable[[Json], Any], sentences: list[str]) -> None:
    steps = LAST["graphs"]["everything"]
    edited = copy.deepcopy(steps)
    edit(edited)
    assert broken_by(steps, edited) == sentences


def test_state_inside_of_steps_of_another_beam_is_not_compared() -> None:
    steps = LAST["graphs"]["everything"]
    edited = copy.deepcopy(steps)
    del edited[GATHER]
    assert broken_by(steps, edited, is_same_beam=False) == []
    assert broken_by(steps, edited) == [f"{GATHER}: is not there any more, or has another name"]
