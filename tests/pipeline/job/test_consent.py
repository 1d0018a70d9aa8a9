"""``consent:`` in a job file."""

from __future__ import annotations

import pytest

from capybeam.transforms.language.consent import Consent
from tests.pipeline.job.job_files import MINIMAL, OFFLINE, job, problems, with_line


def test_nothing_is_asked_unless_the_job_file_says_so() -> None:
    assert [each.consent for each in job(MINIMAL).subscriptions] == [None]


@pytest.mark.parametrize("text", [with_line("consent: {any_of: Ads}"), OFFLINE + "    consent: {any_of: [Ads]}\n"])
def test_what_a_destination_asks_is_asked_for_each_of_its_subscriptions(text: str) -> None:
    assert [each.consent for each in job(text).subscriptions] == [Consent(any_of=("Ads",))]


def test_every_setting_is_read() -> None:
    line = "consent: {any_of: A, all_of: [B, C], path: $.properties.c, on_refused: limit_data_use, on_unknown: send}"
    (subscription,) = job(with_line(line)).subscriptions

    assert subscription.consent == Consent(
        ("A",), ("B", "C"), "$.properties.c", on_refused="limit_data_use", on_unknown="send"
    )


AT = "job.yaml:5:5: destinations[0].consent"
PROBLEMS = {
    "{}": f"{AT}: asks for nothing; give any_of, all_of, granted_if or refused_if",
    "{on_unknown: send}": f"{AT}: asks for nothing; give any_of, all_of, granted_if or refused_if",
    "{any_of: []}": f"{AT}: asks for nothing; give any_of, all_of, granted_if or refused_if",
    "{anyof: Ads}": "job.yaml:5:15: destinations[0].consent.anyof: is unknown; did you mean any_of?",
    "{any_of: [5]}": "job.yaml:5:15: destinations[0].consent.any_of: must be the name of a category, or a list of them",
    "{any_of: Ads, path: context}": "job.yaml:5:28: destinations[0].consent.path: must be a path into the event, for"
    " example $.properties.consent",
    "{any_of: Ads, on_refused: send}": "job.yaml:5:28: destinations[0].consent.on_refused: must be one of filter,"
    " limit_data_use",
    "{any_of: Ads, granted_if: all}": "job.yaml:5:15: destinations[0].consent.any_of: does not go together with"
    " granted_if: categories or conditions",
    "{granted_if: 'contxt.a = 1'}": "job.yaml:5:28: destinations[0].consent.granted_if: ",
    "5": f"{AT}: must be an object of keys and values",
}


@pytest.mark.parametrize(("consent", "problem"), PROBLEMS.items())
def test_what_is_wrong_is_found(consent: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(with_line(f"consent: {consent}")))


def test_the_older_wire_cannot_limit_the_use_of_data() -> None:
    text = OFFLINE + "    wire: offline_events\n    consent: {any_of: Ads, on_unknown: limit_data_use}\n"

    assert problems(text) == (
        "job.yaml:7:28: destinations[0].consent.on_unknown: limit_data_use is not available with wire: offline_events",
    )
