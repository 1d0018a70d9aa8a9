"""Writes the schemas of Kubernetes' objects that tests hold the manifests in templates/kubernetes against.

They are those of Kubernetes' own OpenAPI document (Apache-2.0), as a package of PyPI has them, cut down to the kinds
that are used, without descriptions:

    pip download --no-deps kubernetes-validate
    python -m tools.kubernetes_schemas kubernetes_validate-*.whl
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

SCHEMAS: Final = Path(__file__).parents[1] / "tests" / "templates" / "kubernetes_schemas.json"
VERSION: Final = "v1.33"
KINDS: Final = {
    "v1 Namespace": "io.k8s.api.core.v1.Namespace",
    "v1 Pod": "io.k8s.api.core.v1.Pod",
    "v1 Service": "io.k8s.api.core.v1.Service",
    "v1 ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
    "apps/v1 Deployment": "io.k8s.api.apps.v1.Deployment",
    "batch/v1 CronJob": "io.k8s.api.batch.v1.CronJob",
    "batch/v1 Job": "io.k8s.api.batch.v1.Job",
}
_DROPPED: Final = {"description", "$schema", "x-kubernetes-group-version-kind"}


def _cut(node: Any, are_names: bool = False) -> Any:
    """A schema without what no validator reads; references as they are within one document.

    Args:
        are_names: whether the node's keys are names of properties, which may be called like what is dropped.
    """
    if isinstance(node, list):
        return [_cut(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {name: value for name, value in node.items() if are_names or name not in _DROPPED}
    found = {name: _cut(value, name == "properties" and not are_names) for name, value in kept.items()}
    if not are_names and "$ref" in found:
        found["$ref"] = "#/$defs/" + found["$ref"].rsplit("/", 1)[1]
    return found


def _named(node: Any) -> Iterator[str]:
    """The definitions that a schema refers to."""
    if isinstance(node, list):
        for item in node:
            yield from _named(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value.rsplit("/", 1)[1]
            else:
                yield from _named(value)


def main(wheel: str) -> None:
    """Writes the definitions that the kinds need, and which kind is which."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (
            n for n in archive.namelist() if f"/{VERSION}." in n and "strict" in n and n.endswith("/_definitions.json")
        )
        every = json.loads(archive.read(path))["$defs"]
    wanted, definitions = list(KINDS.values()), {}
    while wanted:
        name = wanted.pop()
        if name not in definitions:
            definitions[name] = _cut(every[name])
            wanted += _named(definitions[name])
    made = {"kinds": KINDS, "$defs": definitions}
    SCHEMAS.write_text(json.dumps(made, sort_keys=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
