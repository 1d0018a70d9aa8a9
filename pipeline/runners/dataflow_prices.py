"""What a Dataflow job costs an hour, as an estimate by Google's public list prices.

The prices are data with a date, not asked for: they are those of one region, without discounts, and change. An estimate
leaves out what depends on the events: shuffle and Streaming Engine data, traffic, Pub/Sub, BigQuery.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final, Literal, NamedTuple

Kind = Literal["batch", "streaming", "flexrs"]

SOURCE: Final = "https://cloud.google.com/dataflow/pricing"
AS_OF: Final = "2025-06"
REGION: Final = "us-central1"


class HourlyPrice(NamedTuple):
    """US dollars an hour: for a vCPU, for a GB of memory, for a GB of standard persistent disk."""

    vcpu: float
    memory_gb: float
    disk_gb: float


PRICES: Final[dict[Kind, HourlyPrice]] = {
    "batch": HourlyPrice(0.056, 0.003557, 0.000054),
    "flexrs": HourlyPrice(0.0336, 0.0021342, 0.000054),
    "streaming": HourlyPrice(0.069, 0.003557, 0.000054),
}
DATA_GB: Final[dict[Kind, float]] = {"batch": 0.011, "flexrs": 0.011, "streaming": 0.018}
"""US dollars for a GB that is shuffled, or that Streaming Engine processes; by how much that is, nothing is known."""

DEFAULT_MACHINE: Final[dict[Kind, str]] = {
    "batch": "n1-standard-1",
    "flexrs": "n1-standard-2",
    "streaming": "n1-standard-2",
}
DEFAULT_DISK_GB: Final[dict[Kind, int]] = {
    "batch": 25,
    "flexrs": 25,
    "streaming": 30,
}  # with shuffle outside of workers

# GB of memory for each vCPU, by family and shape, as Compute Engine lists them.
_N1: Final = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}
_OTHERS: Final = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}
_NEWER: Final = {**_OTHERS, "highcpu": 2.0}
_FAMILIES: Final[dict[str, dict[str, float]]] = {
    "n1": _N1,
    **dict.fromkeys(("n2", "n2d", "e2", "n4", "t2d", "t2a"), _OTHERS),
    **dict.fromkeys(("c3", "c3d", "c4", "c4a", "c4d", "n4d"), _NEWER),
    "c2": {"standard": 4.0},
    "c2d": _NEWER,
}
_SHARED_CORE: Final = {"e2-micro": (2, 1.0), "e2-small": (2, 2.0), "e2-medium": (2, 4.0)}


class Machine(NamedTuple):
    """A machine type: virtual CPUs, and GB of memory."""

    vcpus: int
    memory_gb: float


def machine_of(name: str) -> Machine | None:
    """The size of a machine by the name of its type; None where the name does not say it.

    >>> machine_of("n2-standard-4"), machine_of("n2-custom-4-8192"), machine_of("a3-megagpu-8g")
    (Machine(vcpus=4, memory_gb=16.0), Machine(vcpus=4, memory_gb=8.0), None)
    """
    if name in _SHARED_CORE:
        return Machine(*_SHARED_CORE[name])
    if found := re.fullmatch(r"(?:[a-z0-9]+-)?custom-(\d+)-(\d+)(?:-ext)?", name):
        return Machine(int(found[1]), int(found[2]) / 1024)
    if found := re.fullmatch(r"([a-z0-9]+)-(standard|highmem|highcpu)-(\d+)(?:-lssd)?", name):
        memory = _FAMILIES.get(found[1], {}).get(found[2])
        return None if memory is None else Machine(int(found[3]), int(found[3]) * memory)
    return None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What workers cost an hour.

    Attributes:
        machine: the type that was counted with.
        is_assumed: whether that is Dataflow's to choose, as none was given.
        worker: US dollars an hour for one worker; None where the size of the machine is unknown.
        least, most: workers.
    """

    kind: Kind
    region: str
    machine: str
    is_assumed: bool
    worker: float | None
    least: int
    most: int | None

    def lines(self) -> list[str]:
        """For people."""
        if self.worker is None:
            return [f"unknown: the size of {self.machine} is not in the table of list prices ({SOURCE})"]
        machine = f"{self.machine}, assumed, as none is given" if self.is_assumed else self.machine
        cost = f"ESTIMATE: ${self.worker:.3f} an hour for each worker ({machine}), ${self.worker * self.least:.2f} for"
        cost += f" {self.least}"
        cost += (
            f", at most ${self.worker * self.most:.2f} for {self.most}"
            if self.most
            else "; nothing limits their number"
        )
        where = "" if self.region == REGION else f" {self.region} has other prices: by what factor is not known here."
        data = "processed by Streaming Engine" if self.kind == "streaming" else "shuffled"
        return [
            f"{cost}.",
            f"By list prices of {REGION} as of {AS_OF} ({SOURCE}), without discounts.{where}",
            f"Not in it: ${DATA_GB[self.kind]} for each GB that is {data}, traffic, Pub/Sub, BigQuery, storage, logs.",
        ]

    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "is_estimate": True,
            "currency": "USD",
            "prices_of_region": REGION,
            "prices_as_of": AS_OF,
            "prices_from": SOURCE,
            "region_factor": 1.0 if self.region == REGION else None,
            "machine_type": self.machine,
            "machine_type_is_assumed": self.is_assumed,
            "per_worker_hour": None if self.worker is None else round(self.worker, 6),
            "least_workers": self.least,
            "most_workers": self.most,
            "per_hour_at_least": None if self.worker is None else round(self.worker * self.least, 4),
            "per_hour_at_most": None if self.worker is None or not self.most else round(self.worker * self.most, 4),
        }


def estimate(
    kind: Kind, region: str, machine_type: str | None, disk_gb: int | None, workers: tuple[int | None, int | None]
) -> Estimate:
    """The cost of a job's workers.

    Args:
        workers: as many as a job begins with, and as many as it may have at most; None for what is not given.
    """
    name = machine_type or DEFAULT_MACHINE[kind]
    machine, price = machine_of(name), PRICES[kind]
    cost = None
    if machine is not None:
        disk = disk_gb or DEFAULT_DISK_GB[kind]
        cost = machine.vcpus * price.vcpu + machine.memory_gb * price.memory_gb + disk * price.disk_gb
    return Estimate(kind, region, name, machine_type is None, cost, workers[0] or 1, workers[1])
