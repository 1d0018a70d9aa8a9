"""Workers of other versions take no event."""

from __future__ import annotations

import dataclasses

import pytest

from capybeam.pipeline.runners.errors import UnsupportedRunner
from capybeam.pipeline.runners.workers import Versions, _CheckWorkers


def test_workers_of_the_same_versions_pass_elements_on() -> None:
    step = _CheckWorkers(Versions.here())
    step.setup()
    assert list(step.process(b"line")) == [b"line"]


@pytest.mark.parametrize("field", ["python", "beam", "capybeam"])
def test_workers_of_another_version_refuse_before_the_first_event(field: str) -> None:
    step = _CheckWorkers(dataclasses.replace(Versions.here(), **{field: "0.0"}))
    with pytest.raises(UnsupportedRunner, match=f"{field.capitalize()} is 0.0 here and .* on the workers"):
        step.setup()
