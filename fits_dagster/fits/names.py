"""File names: the trimmed form, the sort key of the queues, and what must not be shown of a name."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "LONGEST_NAME",
    "TEMPORARY_MARK",
    "fault_of_name",
    "last_bytes",
    "shown_name",
    "sort_key",
    "stem",
    "temporary_name",
    "trimmed",
]

COMPRESSED_SUFFIX: Final = ".bz2"
FITS_SUFFIX: Final = ".fits"

#: Bytes that a file system allows for one name.
LONGEST_NAME: Final = 255
#: Part of every temporary name; each scanner of directories ignores names that contain it.
TEMPORARY_MARK: Final = ".tmp-"
#: Bytes of a name that are kept in a temporary one.
_KEPT_BYTES: Final = 200

_SORTED_FORMS: Final = (
    # priority letter, start-anchored pattern; the key is the letter and all groups
    ("z", re.compile(r"[NS](\d{8})\w(\d+)")),
    ("z", re.compile(r"SDC[SHK]_(\d{8})_(\d+)")),
    ("y", re.compile(r"img_(\d{8})_(\w+)")),
    ("x", re.compile(r"(\d{8})_(.*)_obslog\.txt")),
)
#: Names without fault, as nearly all are: one look instead of five.
_PLAIN: Final = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.+-]{{0,{LONGEST_NAME - 1}}}")
_UNSORTED_PREFIX: Final = "aaaa"


def trimmed(name: str) -> str:
    """Return the name without a trailing ``.bz2`` (the suffix, not the characters).

    Parameters
    ----------
    name : str
        File name, compressed or plain.
    """
    return name.removesuffix(COMPRESSED_SUFFIX)


def stem(name: str) -> str:
    """Return the name without trailing ``.bz2`` and ``.fits``."""
    return trimmed(name).removesuffix(FITS_SUFFIX)


def fault_of_name(name: str) -> str | None:
    """Tell what makes the name of a file unsafe to show, to log, or to use in a command; None if nothing.

    Parameters
    ----------
    name : str
        One part of a path, as the operating system gives it (bytes that are no UTF-8 as surrogates).
    """
    if _PLAIN.fullmatch(name):
        return None
    if name.startswith((".", "-")):
        return f"begins with {name[0]!r}"
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "is not UTF-8"
    if "\\" in name or "/" in name:
        return "holds a slash or a backslash"
    if not name.isprintable():
        return "holds characters that cannot be printed"
    size = len(name.encode())
    return f"is too long ({size} bytes)" if size > LONGEST_NAME else None


def shown_name(name: str) -> str:
    r"""Return a name as it can be shown, logged and kept in a database: odd characters as ``\xNN``.

    A name without fault is shown as it is, and no two names are shown alike: of what the operating system
    allows, only names with a fault hold a backslash.
    """
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(_shown(letter) for letter in name)


def temporary_name(name: str, token: str) -> str:
    """Return a name for the unfinished form of a file: no longer than a file system allows."""
    kept = name.encode("utf-8", "surrogateescape")[:_KEPT_BYTES].decode("utf-8", "ignore")
    return f"{kept}{TEMPORARY_MARK}{token}"


def last_bytes(name: str, length: int) -> str:
    """Return the end of a name, of at most so many bytes of UTF-8."""
    return name.encode()[-length:].decode("utf-8", "ignore")


def sort_key(name: str) -> str:
    """Return the key by which queues order their entries, largest first.

    Parameters
    ----------
    name : str
        File name; a directory part is ignored.

    Returns
    -------
    str
        Priority letter, date and number: raw frames first, then sky camera, observation logs and
        everything else. Source: the queue order of the reference system.
    """
    base = _base(name)
    for letter, pattern in _SORTED_FORMS:
        if found := pattern.match(base):
            return letter + "".join(found.groups())
    return _UNSORTED_PREFIX + base


def _shown(letter: str) -> str:
    if letter == "\\":
        return r"\\"
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))


def _base(name: str) -> str:
    return name.rpartition("/")[2]
