"""The documents keep their word: every job file, example and table in README.md and docs/ holds for the code.

Examples are JSON blocks with a word behind the language: ``json mapping`` (mapping, event, gives), ``json trigger``
(trigger, takes, leaves), ``json subscription`` (subscription, event, gives: the payload) and ``json offline`` (event,
gives: the body of a request by wire). Tables are compared row by
row with what the presets, the rejection codes and the normalisers say.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from capybeam.pipeline.job import yaml_source
from capybeam.pipeline.job.destinations.facebook_offline_conversions import END_OF_OFFLINE_EVENTS, OfflineModel
from capybeam.pipeline.job.loader import check_text, parse_job
from capybeam.pipeline.job.models import BOOKS_WINDOW
from capybeam.pipeline.job.presets import offline_preset, presets
from capybeam.pipeline.job.problems import Finding
from capybeam.pipeline.job.schema import json_schema
from capybeam.pipeline.preview import preview
from capybeam.pipeline.run import exit_codes, report_model
from capybeam.pipeline.run.options import OPTIONS, TEMPLATES
from capybeam.pipeline.sandbox.faults import Faults
from capybeam.pipeline.segment.importing import SEGMENT_ACTIONS
from capybeam.pipeline.sinks import dead_letters, receipts, window_books
from capybeam.pipeline.sinks.schema import Schema
from capybeam.pipeline.sources.warehouse import layout
from capybeam.transforms.core import events, warehouse_rows
from capybeam.transforms.core.rejections import CODES
from capybeam.transforms.delivery.destination import Delivery
from capybeam.transforms.language import fields, triggers
from capybeam.transforms.language.directives import checks, objects, registry, texts
from capybeam.transforms.language.fields import Field
from capybeam.transforms.language.liquid import expressions as liquid_expressions
from capybeam.transforms.language.liquid import templates as liquid_templates
from capybeam.transforms.language.liquid import values as liquid_values
from capybeam.transforms.language.liquid.filters.registry import FILTERS
from capybeam.transforms.language.mappings import compile_mapping
from capybeam.transforms.language.triggers import compile_trigger
from capybeam.transforms.meta import answers, normalisers, user_data
from capybeam.transforms.meta.destinations import request_body
from capybeam.transforms.standards import spelling

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))

MAPPING = (DOCS / "mapping.md").read_text(encoding="utf-8")
NORMALISATION = (DOCS / "normalisation.md").read_text(encoding="utf-8")
OFFLINE = (DOCS / "offline.md").read_text(encoding="utf-8")
DATAFLOW = (DOCS / "dataflow.md").read_text(encoding="utf-8")
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
SOURCES = (DOCS / "sources.md").read_text(encoding="utf-8")


def blocks(page: Path, info: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks of a page that open with exactly `info`, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{re.escape(info)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: found.start()].count("\n") + 2, found[1]


def examples(info: str) -> list[Any]:
    return [
        pytest.param(json.loads(text), id=f"{page.name}:{line}") for page in PAGES for line, text in blocks(page, info)
    ]


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level."""
    level = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no {heading!r}"
    return found[1]


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is called `first`, as cells without their back quotes."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            next(lines)
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip().removeprefix("`").removesuffix("`") for cell in row.strip("|").split("|")])
            return rows
    raise AssertionError(f"no table of {first!r}")


# --- the job file -----------------------------------------------------------------------------------------------


def test_the_schema_for_editors_is_current() -> None:
    assert json.loads((DOCS / "conversions.schema.json").read_bytes()) == json_schema()


JOB_FILES = [
    pytest.param(text, id=f"{page.name}:{line}")
    for page in PAGES
    for line, text in blocks(page, "yaml")
    if re.match(r"(#.*\n)*destinations:", text)
]


@pytest.mark.parametrize("text", JOB_FILES)
def test_a_job_file_in_the_documents_is_fine(text: str) -> None:
    assert [warning for warning in parse_job(text).warnings if END_OF_OFFLINE_EVENTS not in warning] == []
    jsonschema.validate(yaml_source.read(text, "job").data, json_schema())


def test_what_check_says_of_the_example_is_what_the_page_has() -> None:
    ((_, job),) = blocks(DOCS / "job-file.md", "yaml job with problems")
    ((_, said),) = blocks(DOCS / "job-file.md", "text what check says")

    findings = check_text(job, "job.yaml").findings

    assert [f"{each}{' (warning)' * (each.severity == 'warning')}" for each in findings] == said.splitlines()


def test_the_keys_of_a_finding_are_listed() -> None:
    listed = [row[0] for row in table((DOCS / "job-file.md").read_text(encoding="utf-8"), "key")]

    assert listed == [field.name for field in dataclasses.fields(Finding)]


def test_the_delivery_settings_and_their_defaults_are_listed() -> None:
    defaults = {name: value for name, value, *_ in table(section(OPERATIONS, "## Delivery"), "setting")}
    seconds = {"s": 1, "m": 60}
    listed = {
        name: None
        if value == "none"
        else value == "true"
        if value in ("true", "false")
        else value
        if value.isalpha()
        else float(value[:-1]) * seconds[value[-1]]
        if value[-1] in seconds
        else int(value)
        for name, value in defaults.items()
    }
    assert listed == {**vars(Delivery()), "books_window": BOOKS_WINDOW}


def numbers(allowed: Any) -> str:
    """Numbers and ranges of numbers, as the table has them."""
    runs: list[list[int]] = []
    for number in sorted(allowed):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


_HUNDREDS = {range(500, 1000): "HTTP 5xx", range(400, 500): "HTTP 4xx"}


def which(row: answers.Row) -> str:
    """The answers that a row of the table fits."""
    if row.trouble:
        return "no answer"
    if row.received:
        return "HTTP 2xx"
    parts = []
    if row.codes is answers.ANY:
        parts.append("any other code")
    elif row.codes == answers.NONE or row.refusal:
        parts.append("no code")
    elif row.codes is not None:
        parts.append(f"code {numbers(row.codes)}")
    if row.subcodes is not None:
        parts.append("no subcode" if row.subcodes == answers.NONE else f"subcode {numbers(row.subcodes)}")
    if row.statuses is not None:
        parts.append(_HUNDREDS.get(row.statuses) or f"HTTP {numbers(row.statuses)}")
    if row.types is not None:
        parts.append(f"type {', '.join(sorted(row.types))}")
    if row.refusal:
        parts.append("JSON with an `error`")
    if row.transient:
        parts.append("`is_transient`")
    return ", ".join(parts)


def test_what_each_answer_means_is_listed_as_the_code_has_it() -> None:
    listed = "\n".join(f"| {row.means} | {which(row)} | {row.kind} |" for row in answers.RESPONSE_RULES)
    assert listed in section(OPERATIONS, "## What an answer means")


def test_the_limits_are_listed() -> None:
    listed = {what: limit for what, limit, _ in table(section(OPERATIONS, "## Limits"), "what")}
    assert listed == {
        "a line of a file, a row of CSV, a message": f"{events.MAX_LINE >> 20} MB",
        "levels of objects and lists in an event": f"1,024 as it is read, {objects._WRITTEN_LEVELS} as it is sent",
        "text made by an `@template` that the event itself brings": f"{texts.MAX_RENDERED:,} characters",
        "keys that `@flatten` makes": f"{objects._FLAT_ROOM:,} characters,"
        f" or {objects._FLAT_GROWTH} times the keys that they are made of",
        "phone numbers of one event": str(user_data._MOST_PHONES),
        "combining marks behind one character, where it is hashed": f"{spelling._MOST_MARKS}, in texts of more than"
        f" {4 * spelling._MOST_MARKS} characters",
        "levels of a job file, its aliases followed": str(yaml_source.MAX_LEVELS),
        "values of a job file, its aliases and merges followed": f"{yaml_source.MAX_VALUES:,}",
        "levels of a mapping": str(checks.MAX_LEVELS),
        "keys of a path in a mapping": str(registry.MAX_KEYS),
        "levels of a trigger": str(triggers._LEVELS),
    }


# --- the mapping language ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", examples("json mapping"))
def test_a_mapping_gives_what_the_document_says(example: dict[str, Any]) -> None:
    assert compile_mapping(example["mapping"])(example["event"]) == example["gives"]


def test_every_directive_has_an_example() -> None:
    shown = [example.values[0]["mapping"] for example in examples("json mapping")]
    for name in registry.DIRECTIVES:
        assert f"`{name}`" in MAPPING
        assert any(f'"{name}"' in json.dumps(mapping) for mapping in shown), name


def test_every_filter_and_tag_of_templates_is_listed() -> None:
    rows = dict(table(section(MAPPING, "### `@liquid`"), "what | which"))
    named = {what: re.findall("[a-z0-9_#]+", names.replace("`", "")) for what, names in rows.items()}
    assert set(named["tags"]) == {"raw", *liquid_templates.TAGS}
    off = named.pop("switched off, as at Segment")
    assert set(off) == {*liquid_templates.DISABLED_TAGS, *liquid_expressions.DISABLED_FILTERS}
    filters = [name for what in named.keys() - {"tags"} for name in named[what]]
    assert sorted(filters) == sorted(FILTERS)


def test_the_limits_of_templates_are_stated() -> None:
    stated = section(MAPPING, "### `@liquid`")
    assert f"at most {texts.MAX_LIQUID} characters" in stated
    assert (
        f"{liquid_values.ROOM:,} characters and list items in all, and {liquid_values.ROOM_PER_CHARACTER} more"
        in stated
    )


@pytest.mark.parametrize("example", examples("json trigger"))
def test_a_trigger_takes_what_the_document_says(example: dict[str, Any]) -> None:
    takes = compile_trigger(example["trigger"])
    assert [takes(event) for event in example["takes"]] == [True] * len(example["takes"])
    assert [takes(event) for event in example["leaves"]] == [False] * len(example["leaves"])


def test_every_field_of_a_trigger_is_listed() -> None:
    fields = section(MAPPING, "## Triggers")
    for name in (*triggers.FIELDS, *(f"{group}.…" for group in triggers.FIELD_GROUPS)):
        assert f"`{name}`" in fields


@pytest.mark.parametrize("example", examples("json subscription"))
def test_a_subscription_sends_what_the_document_says(example: dict[str, Any]) -> None:
    destination = {
        "name": "shop",
        "type": "facebook_conversions_api",
        "dataset_id": "123321",
        "access_token": "env:META_ACCESS_TOKEN",
        "subscriptions": [example["subscription"]],
    }
    job = parse_job(json.dumps({"destinations": [destination]}))
    (found,) = preview(job, [orjson.dumps(example["event"])], now=example["gives"]["event_time"] + 60)
    assert json.loads(orjson.dumps(found)).get("payload", found) == example["gives"]


# --- the actions ------------------------------------------------------------------------------------------------


def described(node: Any) -> str:
    """A default mapping in a few words, as the tables have it."""
    if not isinstance(node, dict):
        return f"`{node}`"
    ((name, options),) = node.items()
    if name == "@path":
        return f"`{options}`"
    if name == "@if":
        assert options["blank"] == options["then"]
        return f"{described(options['then'])}, else {described(options['else'])}"
    if name == "@coalesce":
        return ", else ".join(map(described, options))
    if name == "@words":
        words = {"first": "the first word of", "rest": "the rest of"}[options["take"]]
        return f"{words} {described(options['value'])}"
    assert name == "@arrayPath"
    path, item = options
    return f"for each of `{path}`: " + ", ".join(f"{key} ← {described(value)}" for key, value in item.items())


def type_of(field: Field) -> str:
    listed = f"list of {field.type}s" if field.multiple else field.type
    return f"{listed}: {', '.join(map(str, field.choices))}" if field.choices else listed


def field_row(field: Field, default: Any) -> str:
    required = "yes" if field.required else ""
    shown = (
        ""
        if default is None
        else "see below"
        if set(default) - {"@path", "@if", "@arrayPath", "@coalesce"}
        else described(default)
    )
    return f"| `{field.name}` | {type_of(field)} | {required} | {shown} |"


PRESETS = presets()
COMMON = [field for field in PRESETS["pageView"].fields if field.name != "event_name"]


@pytest.mark.parametrize("field", COMMON, ids=lambda field: field.name)
def test_a_field_of_every_action_is_listed(field: Field) -> None:
    default = PRESETS["pageView"].defaults.get(field.name)
    assert field_row(field, default) in section(MAPPING, "### Fields of every action")
    for preset in PRESETS.values():
        assert field in preset.fields
        assert preset.defaults.get(field.name) == default


def test_the_actions_are_those_of_the_preset() -> None:
    (example,) = re.findall(r"action: (\w+) # or ([\w, ]+);", (ROOT / "README.md").read_text("utf-8"))
    assert (example[0], *example[1].split(", ")) == SEGMENT_ACTIONS == tuple(PRESETS)[:7]
    headings = re.findall(r"^### (\w+)$", section(MAPPING, "## Actions"), re.MULTILINE)
    assert [heading for heading in headings if heading in PRESETS] == list(PRESETS)


@pytest.mark.parametrize("action", PRESETS)
def test_an_actions_own_trigger_name_and_fields_are_listed(action: str) -> None:
    preset, text = PRESETS[action], section(MAPPING, f"### {action}")
    assert f"`{preset.trigger}`" in text if preset.trigger else "No default trigger" in text
    own = [
        field
        for field in preset.fields
        if field not in COMMON and not (field.name == "event_name" and preset.event_name)
    ]
    assert [row for row in text.splitlines() if row.startswith("| `")] == [
        field_row(field, preset.defaults.get(field.name)) for field in own
    ]
    assert preset.event_name is None or f"`{preset.event_name}`" in text


@pytest.mark.parametrize(
    ("name", "heading"),
    [("user_data", "### user_data"), ("app_data_field", "### app_data_field"), ("contents", "### contents")],
)
def test_the_parts_of_an_object_are_listed(name: str, heading: str) -> None:
    (found,) = (field for field in PRESETS["purchase"].fields if field.name == name)
    assert found.properties is not None
    defaults = PRESETS["purchase"].defaults[name]
    if name == "contents":
        defaults = defaults["@arrayPath"][1]
    rows = [line for line in section(MAPPING, heading).splitlines() if line.startswith("| `")]
    assert rows == [part_row(name, inner, defaults.get(inner.name)) for inner in found.properties]


def part_row(name: str, field: Field, default: Any) -> str:
    wire = f" `{user_data.KEYS[field.name].wire}` |" if name == "user_data" else ""
    return f"| `{field.name}` |{wire} {type_of(field)} | {'' if default is None else described(default)} |"


def test_every_type_is_explained() -> None:
    assert {row[0] for row in table(MAPPING, "type")} == fields.TYPES


# --- offline conversions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["conversions_api", "offline_events"])
@pytest.mark.parametrize("example", examples("json offline"))
def test_an_offline_conversion_sends_what_the_document_says(example: dict[str, Any], wire: str) -> None:
    destination = {
        "name": "stores",
        "type": "facebook_offline_conversions",
        "access_token": "env:META_ACCESS_TOKEN",
        "events": {example["event"]["event"]: "555"},
        "wire": wire,
    }
    given = example["gives"][wire]
    now = given["data"][0]["event_time"] + 60
    (found,) = preview(parse_job(json.dumps({"destinations": [destination]})), [orjson.dumps(example["event"])], now)
    assert json.loads(request_body([orjson.dumps(found["payload"])], upload_tag=found["upload_tag"])) == given


def test_every_offline_setting_and_its_default_is_listed() -> None:
    rows = {setting: default for _, setting, default, _ in table(OFFLINE, "at Segment")}
    fields = {name: field for name, field in OfflineModel.model_fields.items() if name not in ("name", "type")}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        default = "v25.0" if name == "api_version" else field.get_default()
        assert rows[name] == ("required" if field.is_required() else str(default) if default else "none"), name


def test_the_offline_event_names_are_those_of_the_preset() -> None:
    assert {event: name for event, name in table(OFFLINE, "event")} == offline_preset().names


def test_the_offline_match_keys_are_those_of_the_preset() -> None:
    preset = offline_preset()
    (fields,) = (field.properties for field in preset.fields if field.name == "user_data")
    assert fields
    expected = []
    for field in fields:
        wire = user_data.KEYS[field.name].wire
        older, several = user_data.OFFLINE_KEYS.get(wire, ("none: a hashed date does not come apart", False))
        source = described(preset.mapping["user_data"][field.name]).replace("$.", "")
        expected.append([source.strip("`"), wire, f"{older}`, a list" if several else older])
    assert sorted(table(OFFLINE, "from")) == sorted([[source.strip("`"), *keys] for source, *keys in expected])


# --- normalisation ----------------------------------------------------------------------------------------------


def sent(user_data_of_a_mapping: dict[str, str]) -> dict[str, Any]:
    """What Meta gets of an event at the time 1790000000."""
    return user_data.compile_user_data()(user_data_of_a_mapping, lambda note: None, 1_790_000_000)


def made_of(key: str, value: str, normalised: str) -> list[Any]:
    """What a value is sent as, and what the document says it should be; "" where the key is dropped."""
    (name,) = (name for name, each in user_data.KEYS.items() if each.wire == key)
    found = sent({name: value}).get(key, "")
    if normalised == "dropped":
        return [found, ""]
    return [found[0] if key == "external_id" else found, digest_of(key, normalised)]


def digest_of(key: str, normalised: str) -> str:
    hashed = any(each.hashed for each in user_data.KEYS.values() if each.wire == key)
    return user_data.digest(normalised) if hashed else normalised


@pytest.mark.parametrize(("key", "value", "normalised"), [row[:3] for row in table(NORMALISATION, "key")])
def test_a_value_becomes_what_the_document_says(key: str, value: str, normalised: str) -> None:
    found, expected = made_of(key, value, normalised)
    assert found == expected


@pytest.mark.parametrize(("key", "value", "normalised"), [row[:3] for row in table(NORMALISATION, "input of")])
def test_where_metas_sources_disagree_ours_is_the_documents(key: str, value: str, normalised: str) -> None:
    assert user_data.normaliser(key)(value) == normalised


@pytest.mark.parametrize(("key", "value", "normalised"), [row[:3] for row in table(NORMALISATION, "of")])
def test_where_the_param_builder_alone_differs_ours_is_as_listed(key: str, value: str, normalised: str) -> None:
    found, expected = made_of(key, value, normalised)
    assert found == expected


@pytest.mark.parametrize(("country", "key", "value", "normalised"), table(NORMALISATION, "country"))
def test_a_state_or_postal_code_of_a_country_becomes_what_the_document_says(
    country: str, key: str, value: str, normalised: str
) -> None:
    name = {"st": "state", "zp": "zip"}[key]
    assert sent({"country": country, name: value})[key] == user_data.digest(normalised)


def test_the_words_for_genders_are_listed() -> None:
    listed = section(NORMALISATION, "## The keys of user_data").replace("\n", " ")
    for gender in "mf":
        found = re.search(rf"`{gender}`: ([^.]+)\.", listed)
        assert found
        words = {word.strip() for word in found[1].split(",")} | {gender}
        assert words == {word for word, g in normalisers._GENDERS.items() if g == gender and "." not in word}


ROSE = {
    "firstName": "Rose",
    "lastName": "Miller",
    "phone": "+1 650 555 1212",
    "zip": "94107",
    "city": "Paris",
}


@pytest.mark.parametrize(("given", "leaves"), table(NORMALISATION, "in custom_data"))
def test_personal_data_leaves_custom_data_as_the_document_says(given: str, leaves: str) -> None:
    subscription = {
        "action": "custom",
        "trigger": "all",
        "mapping": {"custom_data": {"@path": "$.properties"}, "user_data": ROSE},
    }
    destination = {
        "name": "shop",
        "type": "facebook_conversions_api",
        "dataset_id": "123321",
        "access_token": "env:META_ACCESS_TOKEN",
        "subscriptions": [subscription],
    }
    event = {"event": "Lead", "timestamp": 1795341600, "properties": json.loads(given)}
    (found,) = preview(parse_job(json.dumps({"destinations": [destination]})), [orjson.dumps(event)], now=1795341600)
    assert json.loads(orjson.dumps(found))["payload"].get("custom_data", {}) == json.loads(leaves)


def test_every_key_of_user_data_is_in_the_rules() -> None:
    for key in user_data.KEYS.values():
        assert f"`{key.wire}`" in section(NORMALISATION, "## The keys of user_data")


# --- operations -------------------------------------------------------------------------------------------------


def test_every_rejection_code_is_listed_with_its_meaning() -> None:
    rows = table(section(OPERATIONS, "## Rejection codes"), "stage")
    assert {code.strip("`"): meaning for _, code, meaning, _ in rows} == dict(CODES)
    assert all(what_to_do for *_, what_to_do in rows)


def test_the_schema_of_reports_is_current_and_every_key_of_one_is_listed() -> None:
    schema = report_model.json_schema()
    assert json.loads((DOCS / "run-report.schema.json").read_bytes()) == schema
    rows = table(section(OPERATIONS, "### The report as JSON"), "key")
    listed = {name for keys, _ in rows for name in re.findall(r"\w+", keys)}
    assert listed == schema["properties"].keys() - {"format", "format_version"}


def test_every_exit_code_of_a_run_is_listed() -> None:
    listed = {int(code) for code, *_ in table(section(OPERATIONS, "## Exit codes"), "code")}
    assert listed == {value for name, value in vars(exit_codes).items() if name.isupper() and type(value) is int}


def test_every_fault_of_the_sandbox_is_listed() -> None:
    assert [switch for switch, *_ in table(section(OPERATIONS, "## The sandbox"), "switch")] == list(vars(Faults()))


# --- sources ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "kind", "places"), table(SOURCES, "column"))
def test_a_column_of_a_warehouse_goes_where_the_document_says(column: str, kind: str, places: str) -> None:
    assert [".".join(path) for path in warehouse_rows.paths_of(column, kind)] == re.split("`? and `?", places)


def test_every_column_at_the_root_of_an_event_is_listed() -> None:
    assert {column for column, *_ in table(SOURCES, "column")} > set(warehouse_rows.ROOT)


@pytest.mark.parametrize("names", [layout._JSON_NAMES, layout._JSON_TIMES, tuple(warehouse_rows.TABLES)])
def test_every_name_that_is_looked_for_is_listed(names: tuple[str, ...]) -> None:
    assert [name for name in names if f"`{name}`" not in section(SOURCES, "### Two kinds of tables")] == []


@pytest.mark.parametrize(
    ("document", "first", "schema"),
    [
        (SOURCES, "column of dead letters", dead_letters.SCHEMA),
        (SOURCES, "column of receipts", receipts.SCHEMA),
        (OPERATIONS, "column of the books in windows", window_books.SCHEMA),
    ],
)
def test_the_columns_of_a_sinks_table_are_listed(document: str, first: str, schema: Schema) -> None:
    assert [(name, type_) for name, type_, *_ in table(document, first)] == [
        (name, type_) for name, type_, _ in schema.columns
    ]


# --- on Dataflow ------------------------------------------------------------------------------------------------


def test_every_parameter_of_a_template_is_listed() -> None:
    listed = {
        (parameter.strip("`"), template): (required == "yes", what)
        for parameter, templates, required, what in table(section(DATAFLOW, "## Parameters"), "parameter")
        for template in templates.split(", ")
    }
    assert listed == {
        (option.parameter_name, template.name): (form.required, form.help or option.help)
        for template in TEMPLATES
        for option in OPTIONS
        if (form := option.templates.get(template.name))
    }


# --- the documents themselves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], anchor
