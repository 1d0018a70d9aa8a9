"""Writes the schemas of Google's Terraform provider that tests/servers/google_provider answers with.

They are read from the provider's bindings for TypeScript, packages of npm that are generated from the provider's own
schemas (MPL-2.0); only names, types and enumerations are taken:

    npm pack @cdktf/provider-google @cdktf/provider-google-beta
    python -m tools.provider_schemas cdktf-provider-google-*.tgz cdktf-provider-google-beta-*.tgz
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
MODULE: Final = ROOT / "templates" / "terraform"
SCHEMAS: Final = ROOT / "tests" / "servers" / "google_provider" / "schemas.json"

_TYPES: Final[Mapping[str, Any]] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "stringMap": ["map", "string"],
}
_GETTERS: Final[Mapping[str, Any]] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "cdktf.StringMap": ["map", "string"],
}
# Optional and set by the provider where they are left out, which bindings do not tell from optional alone.
_SET_BY_PROVIDER: Final = {"id", "location", "network", "project", "region", "secret_id", "subnetwork", "zone"}


def used(folder: Path) -> set[str]:
    """The resources, and data sources as ``data_…``, that the modules in a folder name."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.tf")))
    found = re.findall(r'^(resource|data) "(\w+)"', text, re.MULTILINE)
    return {("data_" if kind == "data" else "") + name for kind, name in found}


class Bindings:
    """The bindings of one provider: an archive of npm's."""

    def __init__(self, archive: Path) -> None:
        self._archive = tarfile.open(archive)  # noqa: SIM115
        self._names = {name for name in self._archive.getnames() if name.endswith("/index.js")}

    def schema(self, name: str) -> dict[str, Any] | None:
        """The schema of a resource, or None where this provider has none of that name."""
        plain = name.removeprefix("data_")
        data = "data-" if name.startswith("data_") else ""
        for short in (f"{data}{plain}", f"{data}{plain.removeprefix('google_')}"):
            path = f"package/lib/{short.replace('_', '-')}/index.js"
            if path in self._names:
                return _Resource(self._read(path), self._read(path.replace(".js", ".d.ts"))).schema()
        return None

    def version(self) -> str:
        """Of the provider."""
        found = re.search(r"providerVersion: '([\d.]+)'", self._read("package/lib/storage-bucket-object/index.js", ""))
        assert found
        return found[1]

    def _read(self, *names: str) -> str:
        for name in names:
            path = name or next(iter(sorted(self._names)))
            if path in self._archive.getnames():
                member = self._archive.extractfile(path)
                assert member
                return member.read().decode("utf-8")
        raise FileNotFoundError(names)


class _Resource:
    def __init__(self, script: str, declarations: str) -> None:
        self._script, self._declarations = script, declarations

    def schema(self) -> dict[str, Any]:
        (config,) = re.findall(r"^export interface (\w+Config) extends", self._declarations, re.MULTILINE)
        (body,) = re.findall(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}", self._script, re.DOTALL)
        schema = self._block(config, body)
        resource = self._script[self._script.index("extends cdktf.Terraform") :]
        for name, getter in re.findall(
            r"// (\w+) - computed: true, optional: false.*\n(?:.*\n){0,3}?.*?(get\w+Attribute|cdktf\.StringMap)\(",
            resource,
        ):
            if getter in _GETTERS:
                schema["attributes"].setdefault(name, {"type": _GETTERS[getter], "computed": True})
        return schema

    def _block(self, interface: str, body: str) -> dict[str, Any]:
        members = self._members(interface)
        attributes, blocks = {}, {}
        for name, is_block, kind, storage in re.findall(
            r"^ +(\w+): \{\n.*\n +isBlock: (true|false),\n +type: \"(\w+)\",\n +storageClassType: \"(\w+)\"",
            body,
            re.MULTILINE,
        ):
            is_required, type_, comment = members[name]
            if is_block == "true":
                inner = type_.split("[]")[0].split(" |")[0]
                blocks[name] = {
                    "nesting": "single" if kind == "struct" else kind,
                    "min": int(is_required),
                    "max": 0 if "[]" in type_ or kind == "struct" else 1,
                    "block": self._block(inner, self._body_of(inner)),
                }
                continue
            found: dict[str, Any] = {"type": ["set", "string"] if kind == "set" else _TYPES[storage]}
            found["required" if is_required else "optional"] = True
            if name in _SET_BY_PROVIDER and not is_required:
                found["computed"] = True
            if values := re.search(r"Possible values: \[([^\]]*)\]", comment):
                found["values"] = re.findall(r'"(\w+)"', values[1])
            attributes[name] = found
        return {"attributes": attributes, "blocks": blocks}

    def _body_of(self, interface: str) -> str:
        function = f"{interface[0].lower()}{interface[1:]}ToHclTerraform"
        (body,) = re.findall(rf"^function {function}\(struct\) \{{(.*?)^\}}", self._script, re.DOTALL | re.MULTILINE)
        return str(body)

    def _members(self, interface: str) -> dict[str, tuple[bool, str, str]]:
        """By the provider's name: whether it is required, its type, its comment."""
        (body,) = re.findall(
            rf"^export interface {interface}\b[^{{]*\{{\n(.*?)^\}}", self._declarations, re.DOTALL | re.MULTILINE
        )
        found = {}
        for comment, optional, type_ in re.findall(
            r"/\*\*\n(.*?)\*/\n +readonly \w+(\??): (\{[^}]*\}|[^;]*);?", body, re.DOTALL
        ):
            (name,) = re.findall(r"#(\w+) \w+#", comment)
            found[name] = (optional == "", type_, " ".join(comment.replace("*", " ").split()))
        return found


def main(archives: Sequence[str]) -> None:
    """Writes the schemas of all that the module uses, as each provider has them."""
    providers: dict[str, dict[str, Any]] = {}
    for name, archive in zip(("google", "google-beta"), archives, strict=True):
        bindings = Bindings(Path(archive))
        wanted = used(MODULE) - {each for provider in providers.values() for each in provider["schemas"]}
        schemas = {each: schema for each in sorted(wanted) if (schema := bindings.schema(each))}
        providers[name] = {"version": bindings.version(), "schemas": schemas}
    missing = used(MODULE) - {name for provider in providers.values() for name in provider["schemas"]}
    if missing:
        sys.exit(f"neither provider has {', '.join(sorted(missing))}")
    SCHEMAS.write_text(json.dumps(providers, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
