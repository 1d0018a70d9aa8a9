"""What an event says about consent, in every form in which it is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capybeam.transforms.language.consent import Answer, Consent, Reaction, compile_consent

ANY = Consent(any_of=("Ads", "Social"))
ALL = Consent(all_of=("Ads", "Social"))
BOTH = Consent(any_of=("Ads", "Social"), all_of=("Base",))

CASES: list[tuple[Consent, Any, Answer]] = [
    # Segment's categoryPreferences
    (ANY, {"Ads": True}, "granted"),
    (ANY, {"Ads": True, "Social": False}, "granted"),
    (ANY, {"Ads": False, "Social": False}, "refused"),
    (ANY, {"Ads": False}, "refused"),
    (ANY, {"Other": True}, "unknown"),
    (ANY, {}, "unknown"),
    (ANY, {"ads": True}, "unknown"),  # names are exact
    (ALL, {"Ads": True, "Social": True}, "granted"),
    (ALL, {"Ads": True, "Social": False}, "refused"),
    (ALL, {"Ads": True}, "unknown"),
    (ALL, {"Ads": False}, "refused"),
    (BOTH, {"Ads": True, "Base": True}, "granted"),
    (BOTH, {"Ads": True}, "unknown"),
    (BOTH, {"Ads": False, "Base": True}, "refused"),
    # words
    (ANY, {"Ads": "granted"}, "granted"),
    (ANY, {"Ads": " Denied "}, "refused"),
    (ANY, {"Ads": 1}, "granted"),
    (ANY, {"Ads": 0}, "refused"),
    (ANY, {"Ads": None}, "unknown"),
    (ANY, {"Ads": "maybe"}, "unknown"),
    (ANY, {"Ads": [True]}, "unknown"),
    (ANY, {"Ads": 2}, "unknown"),
    (ANY, {"Ads": "true"}, "granted"),
    (ANY, {"Ads": "Opt-In"}, "granted"),
    (ANY, {"Ads": "opted in"}, "granted"),
    (ANY, {"Ads": "ACCEPTED"}, "granted"),
    (ANY, {"Ads": "rejected"}, "refused"),
    (ANY, {"Ads": "declined"}, "refused"),
    (ANY, {"Ads": "opted-out"}, "refused"),
    (ANY, {"Ads": "WITHDRAWN"}, "refused"),
    # lists and texts of what is granted, as OneTrust has them
    (ANY, ["Ads"], "granted"),
    (ANY, ["Base"], "refused"),
    (ANY, [], "refused"),
    (ANY, ",Base,Ads,", "granted"),
    (ANY, ",Base,", "refused"),
    (ANY, "Base; Ads", "granted"),
    (ANY, "Base:1,Ads:0", "refused"),
    (ANY, "Base:1,Ads:1", "granted"),
    (ANY, ["a:b:c"], "refused"),
    (Consent(all_of=("1", "4")), [1, 3, 4], "granted"),
    (Consent(all_of=("1", "4")), [1, 3], "refused"),
    (Consent(any_of=("1",)), [True], "refused"),
    # nothing, or nothing that can be read
    (ANY, "", "unknown"),
    (ANY, " ", "unknown"),
    (ANY, None, "unknown"),
    (ANY, True, "unknown"),
    (ANY, 5, "unknown"),
    (ANY, "Ads," * 5000, "unknown"),
]


@pytest.mark.parametrize(("consent", "said", "answer"), CASES)
def test_what_an_event_says(consent: Consent, said: Any, answer: Answer) -> None:
    assert compile_consent(consent)({"context": {"consent": {"categoryPreferences": said}}}) == answer


def test_categories_may_be_anywhere_in_an_event() -> None:
    answer = compile_consent(Consent(any_of=("C0004",), path="$.properties.groups"))

    assert answer({"properties": {"groups": ",C0001,C0004,"}}) == "granted"
    assert answer({"properties": {}}) == "unknown"


US_PRIVACY = Consent(
    granted_if='match(context.us_privacy, "1YN*") or context.us_privacy = "1---"',
    refused_if='match(context.us_privacy, "1YY*") or context.gpc = true',
)


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ({"us_privacy": "1YNN"}, "granted"),
        ({"us_privacy": "1---"}, "granted"),
        ({"us_privacy": "1YYN"}, "refused"),
        ({"us_privacy": "1YNN", "gpc": True}, "refused"),  # a refusal wins
        ({"us_privacy": "2"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_conditions_read_what_is_written_in_another_way(context: dict[str, Any], answer: Answer) -> None:
    assert compile_consent(US_PRIVACY)({"context": context}) == answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(JSON)
def test_no_event_makes_it_fail_and_only_a_clear_yes_is_one(said: Any) -> None:
    answers = {compile_consent(consent)({"context": {"consent": said}, "type": said}) for consent in (ANY, US_PRIVACY)}
    assert "granted" not in answers


@pytest.mark.parametrize(
    ("answer", "reaction"), [("granted", "send"), ("refused", "limit_data_use"), ("unknown", "filter")]
)
def test_the_reaction_is_by_the_answer(answer: Answer, reaction: Reaction) -> None:
    assert Consent(any_of=("Ads",), on_refused="limit_data_use").reaction(answer) == reaction
