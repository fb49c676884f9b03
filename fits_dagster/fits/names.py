"""File names: the trimmed form, the sort key of the queues, and the night a name belongs to."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

__all__ = [
    "LONGEST_NAME",
    "TEMPORARY_MARK",
    "fault_of_name",
    "last_bytes",
    "night_of",
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

#: Years that a night label may have; other eight-digit groups are running numbers.
FIRST_YEAR: Final = 1990
LAST_YEAR: Final = 2100

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}

_SORTED_FORMS: Final = (
    # priority letter, start-anchored pattern; the key is the letter and all groups
    ("z", re.compile(r"[NS](\d{8})\w(\d+)")),
    ("z", re.compile(r"SDC[SHK]_(\d{8})_(\d+)")),
    ("y", re.compile(r"img_(\d{8})_(\w+)")),
    ("x", re.compile(r"(\d{8})_(.*)_obslog\.txt")),
)
_UNSORTED_PREFIX: Final = "aaaa"

_NUMERIC_DATES: Final = (
    # facility and like names, with prefixes of processing: mrgS20101028S0134, GS20141226S0203
    re.compile(r"[A-Za-z]{0,8}?[NS](\d{4})(\d\d)(\d\d)[A-Za-z]\d"),
    re.compile(r"[a-z]{0,8}SDC[SHK]_(\d{4})(\d\d)(\d\d)_\d"),
    re.compile(r"img_(\d{4})(\d\d)(\d\d)_\w"),
    re.compile(r"(\d{4})(\d\d)(\d\d)_.*obslog\.txt$"),
    re.compile(r"TX(\d{4})(\d\d)(\d\d)_[A-Za-z]+\."),
)
_MONTH_NAME_DATES: Final = (
    # visitors: 2002may12_0277, 02jul07.0034, 01DEC05_004, r01dec05_007, P2002DEC02_0161_SUB
    re.compile(r"[A-Za-z]{0,4}?(20\d\d|19\d\d|\d\d)([A-Za-z]{3})(\d\d)[._]\d"),
    re.compile(r"(\d{4})([A-Za-z]{3})(\d\d)_?obslog\.txt$"),
)


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


def night_of(name: str) -> str | None:
    """Return the night label in a file name, as ``YYYYMMDD``.

    Parameters
    ----------
    name : str
        Name in any known form: raw or processed facility names, IGRINS, sky camera, observation
        logs, TEXES, and the visitors whose month is written in letters. A directory is ignored.

    Returns
    -------
    str or None
        The label, or None if the name has none or its date does not exist.
    """
    base = _base(name)
    for pattern in _NUMERIC_DATES:
        if found := pattern.match(base):
            year, month, day = (int(part) for part in found.groups())
            return _label(year, month, day)
    for pattern in _MONTH_NAME_DATES:
        if found := pattern.match(base):
            month_number = MONTHS.get(found[2].lower())
            if month_number is None:
                return None
            return _label(_full_year(found[1]), month_number, int(found[3]))
    return None


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


def _full_year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (1900 if year >= FIRST_YEAR % 100 else 2000)


def _label(year: int, month: int, day: int) -> str | None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return date(year, month, day).strftime("%Y%m%d")
    except ValueError:
        return None
