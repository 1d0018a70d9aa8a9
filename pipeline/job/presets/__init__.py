"""Actions as data: fields, triggers and default mappings, from the YAML files in this folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

from capybeam.pipeline.job import yaml_source
from capybeam.transforms.core.paths import parse_path
from capybeam.transforms.language.directives.registry import is_directive
from capybeam.transforms.language.fields import TYPES, Field
from capybeam.transforms.language.mappings import paths
from capybeam.transforms.meta.server_events import in_custom_data
from capybeam.transforms.meta.settings import Wire
from capybeam.transforms.meta.user_data import KEYS


@dataclasses.dataclass(frozen=True)
class Preset:
    """An action: its fields, trigger and default mapping, from ``presets/``."""

    fields: tuple[Field, ...]
    defaults: Mapping[str, Any]
    trigger: str | None = None
    event_name: str | None = None
    needs_user_agent: bool = True


def read_preset(name: str) -> dict[str, Any]:
    """The data of the YAML file with this name."""
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml_source.read_data(text)
    return data


@functools.cache
def presets() -> Mapping[str, Preset]:
    """The actions of ``facebook_conversions_api``, by name: exactly those that its YAML file lists."""
    actions = read_preset("facebook_conversions_api")["actions"]
    made: _Made = {}
    return {
        name: Preset(
            fields=(*_fields(action["fields"], made), *([_NAME_FIELD] if "event_name" in action else [])),
            defaults=action["defaults"],
            trigger=action.get("trigger"),
            event_name=action.get("event_name"),
            needs_user_agent=action.get("needs_user_agent", True),
        )
        for name, action in actions.items()
    }


_NAME_FIELD: Final = Field("event_name", "string", required=True)


@dataclasses.dataclass(frozen=True)
class OfflinePreset:
    """ "Facebook Offline Conversions", from ``presets/``.

    Attributes:
        maps: setting → the event name sent to Meta, or None to use `names`, else the event's own.
        value_fields: by the setting of that name, the mapping of ``value``.
        value_fallbacks: by the same, the path of the value where that mapping finds none.
        exceptions: event → its own ``mapping`` and ``required`` fields.
        remaining: the object whose unused keys go into custom_data.
    """

    maps: Mapping[str, str | None]
    names: Mapping[str, str]
    fields: tuple[Field, ...]
    mapping: Mapping[str, Any]
    value_fields: Mapping[str, Any]
    value_fallbacks: Mapping[str, str]
    exceptions: Mapping[str, Mapping[str, Any]]
    remaining: Mapping[str, Any]

    def action(self, event: str, value_field: str, wire: Wire) -> Preset:
        """The fields and mapping of one event."""
        own = self.exceptions.get(event, {})
        mapping = {**self.mapping, "value": self.value_fields[value_field], **own.get("mapping", {})}
        (root,) = parse_path(self.remaining["@path"])
        used = {below[1] for below in map(parse_path, paths(mapping)) if below[0] == root and len(below) > 1}
        if wire == "conversions_api":  # custom_data holds fields there, so their names are taken
            used.update(in_custom_data(field.name for field in self.fields))
        remaining = {"@omit": {"object": self.remaining, "keys": sorted(used)}}
        required = own.get("required", ())
        fields = tuple(dataclasses.replace(f, required=f.required or f.name in required) for f in self.fields)
        return Preset((*fields, _NAME_FIELD), {**mapping, "custom_data": {"@excludeWhenNull": remaining}})

    def value_fallback(self, event: str, value_field: str) -> str:
        """The path of an event's value where its mapping finds none; "" for no fallback."""
        own = self.exceptions.get(event, {}).get("mapping", {})
        return "" if "value" in own else self.value_fallbacks.get(value_field, "")


@functools.cache
def offline_preset() -> OfflinePreset:
    """The preset of ``facebook_offline_conversions``."""
    data = read_preset("facebook_offline_conversions")
    return OfflinePreset(**{**data, "fields": _fields(data["fields"], {})})


_Made = dict[tuple[int, str, str], Field]


def _fields(specs: Mapping[str, Mapping[str, Any]], made: _Made, owner: str = "") -> tuple[Field, ...]:
    """Keys of user_data are counted by Meta's names, as where they are hashed.

    Args:
        made: the fields that there are, by the ID of their data, name and owner. Actions share data by YAML's aliases.
    """
    fields = []
    for name, spec in specs.items():
        key = id(spec), name, owner
        if key not in made:
            made[key] = _field(name, spec, made, owner)
        fields.append(made[key])
    return tuple(fields)


def _field(name: str, spec: Mapping[str, Any], made: _Made, owner: str) -> Field:
    assert spec["type"] in TYPES, f"{name}: unknown type"
    return Field(
        name,
        spec["type"],
        spec.get("required", False),
        spec.get("multiple", False),
        tuple(spec.get("choices", ())),
        _fields(spec["properties"], made, name) if "properties" in spec else None,
        spec.get("named"),
        incidental=spec.get("incidental", False),
        counted_as=KEYS[name].wire if owner == "user_data" and name in KEYS else "",
    )


def merged_mapping(preset: Preset, mapping: Mapping[str, Any], use_defaults: bool) -> dict[str, Any]:
    """An action's mapping: its defaults, each replaced as a whole by the subscription's; unknown keys are dropped."""
    known = {field.name for field in preset.fields}
    merged = {**preset.defaults, **mapping} if use_defaults else dict(mapping)
    merged = {name: node for name, node in merged.items() if name in known or name.startswith("__")}
    app_data = merged.get("app_data_field")
    if isinstance(app_data, dict) and not is_directive(app_data) and not app_data.get("use_app_data"):
        del merged["app_data_field"]  # it would be mapped for every event and never sent
    if preset.event_name:
        merged["event_name"] = preset.event_name
    return merged
