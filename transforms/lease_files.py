"""LeaseFolder: leases of requests_per_second as small files, in a folder or bucket that all workers can write to."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Mapping
from typing import Final

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from capybeam.transforms.delivery.rate_leases import Lease

_ENDING: Final = ".lease"
_JOINING: Final = b"joining\n"  # told from the others by its size, which comes with the listing
_SHARING: Final = b"shares requests_per_second\n"


@dataclasses.dataclass(frozen=True)
class LeaseFolder:
    """A `rate_leases.LeasePlace`. Travels with the steps that send.

    File systems say when a file was last written. No two clocks are compared: a lease is alive while that time changes.

    Attributes:
        path: or URL, of a folder of this run's own.
        interval: seconds between two looks. On Cloud Storage each is a write and a listing, of one process.
    """

    path: str
    interval: float = 15.0

    def renew(self, name: str, is_joining: bool) -> None:
        with FileSystems.create(self._file(name), compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(_JOINING if is_joining else _SHARING)

    def leases(self) -> Mapping[str, Lease]:
        (found,) = FileSystems.match([self._file("*")])
        return {
            posixpath.basename(file.path).removesuffix(_ENDING): Lease(
                (file.last_updated_in_seconds, file.size_in_bytes), file.size_in_bytes == len(_JOINING)
            )
            for file in found.metadata_list
        }

    def remove(self, name: str) -> None:
        FileSystems.delete([self._file(name)])

    def _file(self, name: str) -> str:
        return f"{self.path}/{name}{_ENDING}"
