"""What destinations at Meta have in common in a job file: tokens, endpoints, versions, parameters."""

from __future__ import annotations

from datetime import date

import pytest

from capybeam.pipeline.job.loader import ConfigError, parse_job
from capybeam.transforms.core.tokens import TokenReference
from capybeam.transforms.meta.destinations import MetaDestination
from tests.pipeline.job.job_files import MINIMAL, OFFLINE, TOKEN, TOKEN_PROBLEM, job, problems, with_line


@pytest.mark.parametrize("text", [MINIMAL, OFFLINE], ids=["conversions", "offline"])
def test_a_destination_says_what_its_requests_say_of_themselves(text: str) -> None:
    settings = ("partner_agent: acme-1.4", "namespace_id: 42", "upload_id: 2026w11", "upload_source: a b")
    lines = "".join(f"    {setting}\n" for setting in settings)
    (destination,) = job(text.replace("    access_token", f"{lines}    access_token")).destinations

    assert destination.parameters == (
        ("partner_agent", "acme-1.4"),
        ("namespace_id", "42"),
        ("upload_id", "2026w11"),
        ("upload_source", "a b"),
    )


@pytest.mark.parametrize("reference", ["env:TOKEN", "file:/run/secrets/meta", "secret:projects/p/secrets/s/versions/3"])
def test_an_access_token_is_a_reference_of_three_kinds(reference: str) -> None:
    assert job(MINIMAL.replace("env:META_ACCESS_TOKEN", reference)).destinations == (
        MetaDestination("web", TokenReference(reference)),
    )


@pytest.mark.parametrize(
    ("endpoint", "read"),
    [
        ("https://graph.facebook.com", "https://graph.facebook.com"),
        ("https://proxy.example.com/meta/", "https://proxy.example.com/meta"),
        ("http://localhost:8791", "http://localhost:8791"),
        ("http://127.0.0.1:8791/", "http://127.0.0.1:8791"),
        ("http://[::1]:8791", "http://[::1]:8791"),
    ],
)
def test_an_endpoint_is_https_or_on_this_machine(endpoint: str, read: str) -> None:
    (destination,) = job(with_line(f'endpoint: "{endpoint}"')).destinations

    assert destination.endpoint == read


def test_an_app_secret_is_a_reference_as_the_token_is() -> None:
    (destination,) = job(with_line("app_secret: file:/run/secrets/app")).destinations
    assert destination.app_secret == TokenReference("file:/run/secrets/app")


def test_norway_is_a_country_and_not_a_boolean() -> None:
    (subscription,) = job(with_line("default_country: NO")).subscriptions

    assert subscription.default_country == "NO"


_HTTPS = "must be https, because the token is sent there (http is for loopback only)"


ONE_PROBLEM = {
    "no_access_token": (
        MINIMAL.replace("    access_token: env:META_ACCESS_TOKEN\n", ""),
        "2:5: destinations[0].access_token: is missing",
    ),
    "literal_token": (
        MINIMAL.replace("env:META_ACCESS_TOKEN", TOKEN),
        f"5:5: destinations[0].access_token: {TOKEN_PROBLEM}",
    ),
    "env_without_a_name": (
        MINIMAL.replace("env:META_ACCESS_TOKEN", '"env:"'),
        f"5:5: destinations[0].access_token: {TOKEN_PROBLEM}",
    ),
    "api_version_no_version": (with_line("api_version: v25"), "5:5: destinations[0].api_version: must look like v25.0"),
    "api_version_a_number": (with_line("api_version: 25.0"), "5:5: destinations[0].api_version: must look like v25.0"),
    "api_version_v20_dead": (
        with_line("api_version: v20.0"),
        "5:5: destinations[0].api_version: v20.0 has expired: Meta ended it by 2026-09-24; use v25.0",
    ),
    "api_version_v19_dead": (
        with_line("api_version: v19.0"),
        "5:5: destinations[0].api_version: v19.0 has expired: Meta ended it by 2026-05-21; use v25.0",
    ),
    "api_version_v16_dead": (
        with_line("api_version: v16.0"),
        "5:5: destinations[0].api_version: v16.0 has expired: Meta ended it by 2025-05-14; use v25.0",
    ),
    "app_secret_itself": (
        with_line("app_secret: 0123456789abcdef0123456789abcdef"),
        "5:5: destinations[0].app_secret: must be a reference to the secret, not the secret itself: env:NAME,"
        " file:PATH or secret:projects/P/secrets/S/versions/V",
    ),
    "endpoint_no_url": (
        with_line("endpoint: graph.facebook.com"),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_with_a_query": (
        with_line("endpoint: https://graph.facebook.com/?x=1"),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_torn": (
        with_line('endpoint: "https://[bad"'),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_with_an_impossible_port": (
        with_line("endpoint: https://graph.example.com:99999"),
        "5:5: destinations[0].endpoint: must be a URL like https://graph.facebook.com",
    ),
    "endpoint_in_the_clear": (
        with_line("endpoint: http://graph.example.com"),
        f"5:5: destinations[0].endpoint: {_HTTPS}",
    ),
    "endpoint_in_the_clear_that_looks_local": (
        with_line("endpoint: http://127.0.0.1.example.com"),
        f"5:5: destinations[0].endpoint: {_HTTPS}",
    ),
    "country_of_three_letters": (
        with_line("default_country: USA"),
        "5:5: destinations[0].default_country: must be an ISO 3166-1 alpha-2 country code such as US",
    ),
    "country_unknown": (
        with_line("default_country: XX"),
        "5:5: destinations[0].default_country: must be an ISO 3166-1 alpha-2 country code such as US",
    ),
    "allowed_keys_no_list": (
        with_line("allow_in_custom_data: city"),
        "5:5: destinations[0].allow_in_custom_data: must be a list",
    ),
    "allowed_key_no_text": (
        with_line("allow_in_custom_data: [city, 5]"),
        "5:34: destinations[0].allow_in_custom_data[1]: should be a valid string",
    ),
    "personal_data_neither_cut_nor_allowed": (
        with_line("personal_data_in_text: allowed"),
        "5:5: destinations[0].personal_data_in_text: must be one of cut, allow; did you mean allow?",
    ),
    "test_event_code_no_text": (
        with_line("test_event_code: 123"),
        "5:5: destinations[0].test_event_code: must be a code like TEST12345, without spaces",
    ),
    "partner_agent_too_long": (
        OFFLINE + f"    partner_agent: {'a' * 23}\n",
        "6:5: destinations[0].partner_agent: must be 2 to 22 characters of ASCII, 2 of them letters",
    ),
    "partner_agent_of_digits": (
        OFFLINE + "    partner_agent: a-123\n",
        "6:5: destinations[0].partner_agent: must be 2 to 22 characters of ASCII, 2 of them letters",
    ),
    "upload_id_of_two_lines": (
        OFFLINE + '    upload_id: "a\\nb"\n',
        "6:5: destinations[0].upload_id: must be a single line of text",
    ),
    "upload_source_a_number": (
        OFFLINE + "    upload_source: 5\n",
        "6:5: destinations[0].upload_source: must be a single line of text",
    ),
}


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_mistake_is_one_problem_with_its_place(text: str, problem: str) -> None:
    assert problems(text) == (f"job.yaml:{problem}",)


def test_a_test_event_code_is_text_that_can_travel_in_a_key() -> None:
    (problem,) = problems(with_line('test_event_code: "TEST\\t1"'))

    assert problem.startswith("job.yaml:5:5: destinations[0].test_event_code: ")


def test_a_dead_version_is_found_beside_any_other_mistake() -> None:
    assert problems(with_line("api_version: v20.0\n    colour: blue")) == (
        "job.yaml:5:5: destinations[0].api_version: v20.0 has expired: Meta ended it by 2026-09-24; use v25.0",
        "job.yaml:6:5: destinations[0].colour: is unknown",
    )


ONE_WARNING = {
    "marketing_api_ended_for_v24": (
        with_line("api_version: v24.0"),
        "5:5: destinations[0].api_version: v24.0 is past the end of its Marketing API table (2026-10-06); a newer one"
        " is safer",
    ),
    "endpoint_with_a_path": (
        with_line("endpoint: https://gateway.example.com/meta"),
        "5:5: destinations[0].endpoint: has the path /meta, and Meta answers code 2500 to an unknown path",
    ),
    "endpoint_with_a_version": (
        with_line("endpoint: https://graph.facebook.com/v25.0"),
        "5:5: destinations[0].endpoint: has the path /v25.0, and Meta answers code 2500 to an unknown path; the"
        " version is set by api_version: v25.0",
    ),
}


@pytest.mark.parametrize(("text", "warning"), ONE_WARNING.values(), ids=ONE_WARNING.keys())
def test_what_is_suspicious_but_usable_is_a_warning(text: str, warning: str) -> None:
    assert job(text).warnings == (f"job.yaml:{warning}",)


@pytest.mark.parametrize(
    ("version", "today", "outcome"),
    [
        ("v26.0", date(2026, 11, 22), "fine"),
        ("v25.0", date(2026, 11, 22), "fine"),
        ("v25.0", date(2028, 7, 28), "fine"),
        ("v25.0", date(2028, 7, 29), "dead"),
        ("v24.0", date(2026, 10, 5), "fine"),
        ("v24.0", date(2026, 10, 6), "warned"),
        ("v24.0", date(2028, 2, 17), "warned"),
        ("v24.0", date(2028, 2, 18), "dead"),
        ("v20.0", date(2026, 9, 23), "fine"),
        ("v20.0", date(2026, 9, 24), "dead"),
        ("v19.0", date(2026, 5, 20), "fine"),
        ("v19.0", date(2026, 5, 21), "dead"),
        ("v18.0", date(2026, 11, 22), "dead"),
        ("v16.0", date(2025, 5, 14), "dead"),
        ("v2.0", date(2026, 11, 22), "dead"),
    ],
)
def test_a_version_lives_as_long_as_metas_tables_say(version: str, today: date, outcome: str) -> None:
    text = with_line(f"api_version: {version}")
    try:
        found = "warned" if parse_job(text, "job.yaml", today).warnings else "fine"
    except ConfigError:
        found = "dead"

    assert found == outcome
