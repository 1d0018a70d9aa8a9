"""One table of options: the command line of `run` and the templates' metadata are made from it, and stay that way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from capybeam.pipeline.delivery_commands import run
from capybeam.pipeline.run.options import BATCH, OPTIONS, TEMPLATES, Option, Template, TemplateParameter, metadata
from capybeam.pipeline.sinks.tables import split_table
from templates import generate

TOKENS = ("EAABsbCS1iHgBAExampleExampleExampleExample", f"EAAB{'Zb4' * 60}ZD")
ON_COMMAND_LINE: dict[str, click.Parameter] = {
    parameter.opts[0].removeprefix("--"): parameter for parameter in run.params if parameter.opts[0].startswith("--")
}
FORMS = [
    pytest.param(template, option, option.templates[template.name], id=f"{template.name}-{option.name}")
    for template in TEMPLATES
    for option in OPTIONS
    if template.name in option.templates
]


def parameter(template: Template, option: Option) -> dict[str, Any]:
    (found,) = (item for item in metadata(template)["parameters"] if item["name"] == option.parameter_name)
    return found  # type: ignore[no-any-return]


def accepts(template: Template, option: Option, value: str) -> bool:
    """As Dataflow reads a pattern: unanchored, so that the anchors have to be in it."""
    return all(re.search(regex, value) for regex in parameter(template, option)["regexes"])


@pytest.mark.parametrize("path", generate.files(), ids=lambda path: path.name)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.files()[path], "run `make templates`"


def test_the_options_of_run_are_those_of_the_table() -> None:
    table = {option.name: option for option in OPTIONS}
    assert ON_COMMAND_LINE.keys() <= table.keys()
    assert {option.name for option in OPTIONS if BATCH.name in option.templates} <= ON_COMMAND_LINE.keys()
    for name, shown in ON_COMMAND_LINE.items():
        assert isinstance(shown, click.Option)
        assert (shown.help, shown.required) == (table[name].help, table[name].required)
        if table[name].default is not None:
            assert shown.default == table[name].default


@pytest.mark.parametrize(("template", "option", "form"), FORMS)
def test_a_parameter_takes_its_examples_and_says_them(
    template: Template, option: Option, form: TemplateParameter
) -> None:
    for example in form.examples:
        assert accepts(template, option, example)
        assert example in parameter(template, option)["helpText"]
    assert form.default is None or accepts(template, option, form.default)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(("template", "option", "form"), FORMS)
def test_a_parameter_refuses_a_token(template: Template, option: Option, form: TemplateParameter, token: str) -> None:
    for pasted in (token, f" {token}", f"{token}\n", f"secret:{token}", f"bigquery:{token}", f"pubsub:{token}"):
        assert not accepts(template, option, pasted)


@pytest.mark.parametrize(("template", "option", "form"), FORMS)
def test_a_pattern_is_one_that_dataflow_can_read(template: Template, option: Option, form: TemplateParameter) -> None:
    assert "(?" not in form.pattern
    assert all(int(count) <= 1000 for count in re.findall(r"(\d+)\}", form.pattern))


@pytest.mark.parametrize(
    ("name", "value", "streaming", "batch"),
    [
        ("config", "conversions.yaml", False, False),
        ("config", "gs://acme/job files.yaml", False, False),
        ("input", "bigquery:acme-prod.segment.tracks", False, True),
        ("input", "bigquery:with t as (select 1) select * from t", None, True),
        ("input", "bigquery:SELECT\t* FROM `a.b.c`", None, True),
        ("input", "bigquery:acme-prod.tracks", False, False),
        ("input", "bigquery:acme-prod.segment.tracks.old", False, False),
        ("input", "bigquery:example.com:acme-prod.segment.tracks$20261101", False, True),
        ("input", "pubsub:projects/acme-prod/subscriptions/capybeam", True, False),
        ("input", "pubsub:projects/acme-prod/topics/events", False, False),
        ("input", "events.jsonl", False, False),
        ("since", "2026-11-01", None, True),
        ("since", "2026-11-01T10:00:00.5+01:00", None, True),
        ("since", "yesterday", None, True),
        ("since", "2d", None, True),
        ("until", "now", None, True),
        ("since", "soon", None, False),
        ("since", "last", None, False),  # a launcher does not see its job succeed
        ("time-zone", "Europe/Berlin", None, True),
        ("time-zone", "America/Argentina/Buenos_Aires", None, True),
        ("time-zone", "../../etc", None, False),
        ("time-column", "received_at", None, True),
        ("time-column", "received_at; DROP", None, False),
        ("max-bytes-billed", "20GB", None, True),
        ("max-bytes-billed", "20 XB", None, False),
        ("resume", "bigquery:acme-prod.capybeam.receipts", None, True),
        ("resume", "receipts.jsonl", None, False),
        ("dead-letters", "dead-letters.jsonl", False, False),
        ("dead-letters", "gs://acme/dead", False, True),  # a stream never ends a file
        ("dead-letters", "bigquery:example.com:acme-prod.capybeam.dead_letters", True, True),
        ("receipts", "pubsub:projects/acme-prod/subscriptions/receipts", False, False),
    ],
)
def test_what_a_parameter_takes(name: str, value: str, streaming: bool | None, batch: bool | None) -> None:
    (option,) = (option for option in OPTIONS if option.name == name)
    for template, expected in zip(TEMPLATES, (streaming, batch), strict=True):
        if template.name in option.templates and expected is not None:
            assert accepts(template, option, value) is expected


@pytest.mark.parametrize(
    "value",
    ["bigquery:acme-prod.capybeam.dead_letters", "bigquery:example.com:acme-prod.capybeam.dead_letters"],
)
def test_a_table_that_a_parameter_takes_is_one_that_a_run_takes(value: str) -> None:
    for name in ("input", "dead-letters", "receipts"):
        (option,) = (option for option in OPTIONS if option.name == name)
        assert accepts(BATCH, option, value)
    assert split_table(value.removeprefix("bigquery:"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_metadata_has_what_dataflow_wants(template: Template) -> None:
    found = json.loads((generate.HERE / f"{template.name}.json").read_bytes())
    assert found["name"]
    assert found.get("streaming", False) is template.streaming
    for item in found["parameters"]:
        assert item["label"]
        assert item["helpText"]
        assert item["isOptional"] in (True, False)
        assert re.fullmatch(r"[a-z_]+", item["name"])


def test_templates_agree_on_what_has_to_be_given() -> None:
    """`launch` relies on it: it does not know which template it is started from."""
    for option in OPTIONS:
        assert len({(form.default, form.required) for form in option.templates.values()}) <= 1
