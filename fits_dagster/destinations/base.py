"""What a destination is: a place that files are sent to, whatever it speaks.

A kind of destination is a class, found by the scheme of its address in the entry point group
``fits_dagster.destinations``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fits_dagster.errors import TransientError
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.settings import SiteSettings

__all__ = [
    "ENTRY_POINT_GROUP",
    "AccessRefusedError",
    "BadAnswerError",
    "Delivered",
    "Delivery",
    "Destination",
    "DestinationDownError",
    "Holding",
    "NotYetThereError",
    "destination_path",
    "name_prefix",
    "open_destination",
]

ENTRY_POINT_GROUP: Final = "fits_dagster.destinations"
_DATE: Final = r"20\d\d[01]\d[0123]\d"
_DATED: Final = re.compile(r".*?(?:19|20)\d{6}")


class DestinationDownError(TransientError):
    """The destination does not answer, or answers that it is in trouble."""

    reason = "destination_down"


class AccessRefusedError(DestinationDownError):
    """The destination does not know this site's token or cookie: no file will fare better than this one."""

    reason = "refused"


class BadAnswerError(TransientError):
    """The destination's answer does not confirm what was sent."""

    reason = "bad_answer"


class NotYetThereError(Exception):
    """The destination has received this file, and is still at it."""


@dataclass(frozen=True)
class Delivery:
    """One file that is to be brought to a destination."""

    #: File name without ``.bz2``, and path there.
    name: str
    path: str
    #: MD5 of the bytes in the store, and of the uncompressed data.
    file_md5: str
    data_md5: str
    #: Gives the file as a local one for the time of a context.
    local: Callable[[], AbstractContextManager[Path]]
    #: How the content before became this one, where that is known.
    header_update: HeaderUpdate | None = None


@dataclass(frozen=True)
class Delivered:
    """What was done."""

    #: ``exported``, ``header_exported`` or ``already_there``.
    outcome: str
    #: Bytes sent.
    size: int
    detail: str
    #: MD5 of the uncompressed data; put in by the stage.
    content: str = ""


@dataclass(frozen=True)
class Holding:
    """One present version of a file there."""

    name: str
    path: str
    #: MD5 of the uncompressed data.
    data_md5: str


class Destination(ABC):
    """A place that files are sent to. Its methods may be called from several threads at once."""

    def __init__(self, address: str, settings: SiteSettings) -> None:
        self.address = address
        self.settings = settings

    @abstractmethod
    def deliver(self, delivery: Delivery) -> Delivered:
        """Bring a file there, unless it is there; what was done is confirmed by the other side.

        Raises
        ------
        DestinationDownError
            It does not answer: other files need not be tried.
        BadAnswerError
            It does not confirm what was sent.
        NotYetThereError
            It is still at this file.
        """

    @abstractmethod
    def holdings(self, names: Iterable[str]) -> Mapping[str, Sequence[Holding]]:
        """Tell which of some files, named without ``.bz2``, it has: by name, a version for each path.

        What was not asked for may be among them.

        Raises
        ------
        DestinationDownError
            It does not say.
        """

    @abstractmethod
    def fetch(self, key: str, target: Path) -> str:
        """Fetch a file back, by path and name there, into a new local one; returns the MD5 of its bytes.

        Raises
        ------
        DestinationDownError
            It does not give it.
        """

    @abstractmethod
    def check(self) -> None:
        """Look whether it is there.

        Raises
        ------
        DestinationDownError
            It is not.
        """


def open_destination(address: str, settings: SiteSettings) -> Destination:
    """Make the destination of an address.

    Raises
    ------
    ValueError
        No kind of destination has this scheme.
    """
    scheme = urlsplit(address).scheme
    kinds = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if scheme not in kinds:
        known = ", ".join(f"{name}://" for name in sorted(kinds))
        raise ValueError(f"the destination {address!r} is of no known kind; addresses begin with {known}")
    kind: type[Destination] = kinds[scheme].load()
    return kind(address, settings)


def destination_path(path: str, path_map: Mapping[str, str]) -> str:
    """Map a local path to the path at a destination.

    Parameters
    ----------
    path_map
        Regular expression that must match the whole local path -> path there; the first match counts,
        and ``<DATE>`` stands for a date.
    """
    for pattern, there in path_map.items():
        if re.fullmatch(pattern.replace("<DATE>", _DATE), path):
            return there
    return path


def name_prefix(name: str) -> str:
    """Return the part of a file name that the files of a night share; the whole name if it has no date."""
    found = _DATED.match(name)
    return found[0] if found else name
