"""Words of the grammar, and the forms by which bare elements are recognised."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from fits_dagster.fits.names import trimmed
from fits_dagster.metadata.identifiers import is_data_label, is_observation_id, parse_program_id
from fits_dagster.metadata.record import ENUMS
from fits_dagster.metadata.registry import instrument_names, telescope_names
from fits_dagster.metadata.vocabulary import official_telescope
from fits_dagster.records.selection.values import BadSelectionError, read_text

__all__ = [
    "BINNINGS",
    "EITHER",
    "INSTRUMENTS",
    "QA_STATES",
    "READ_MODES",
    "ROIS",
    "TELESCOPES",
    "by_name",
    "data_label_in",
    "file_name_in",
    "file_prefix_in",
    "grating_in",
    "mask_in",
    "observation_in",
    "program_in",
    "read_file_name",
    "read_identifier",
    "same",
    "speed_in",
    "telescope_in",
    "when",
]


class _Names(Mapping[str, str]):
    """Words that stand for themselves; which there are is asked when they are needed, for plug-ins' sake."""

    def __init__(self, names: Callable[[], Iterable[str]], *more: str) -> None:
        self._names, self._more = names, more

    def _known(self) -> dict[str, str]:
        return {name: name for name in (*self._names(), *self._more)}

    def __getitem__(self, word: str) -> str:
        return self._known()[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


INSTRUMENTS: Final[Mapping[str, str]] = _Names(instrument_names, "GMOS", "Hokupaa+QUIRC")
TELESCOPES: Final[Mapping[str, str]] = _Names(telescope_names)
#: The value of a flag that does not matter.
EITHER: Final = "either"
#: States, and whether it is to be one of them.
QA_STATES: Final[Mapping[str, tuple[tuple[str, ...], bool]]] = {
    "Pass": (("Pass",), True),
    "Usable": (("Usable",), True),
    "Fail": (("Fail",), True),
    "CHECK": (("CHECK",), True),
    "UndefinedQA": (("Undefined",), True),
    # as people, and the public Python client, write it
    "Undefined": (("Undefined",), True),
    "Undefind": (("Undefined",), True),
    "Win": (("Pass", "Usable"), True),
    "NotFail": (("Fail",), False),
    "Lucky": (("Pass", "Undefined"), True),
    "AnyQA": ((), True),
}
READ_MODES: Final = (
    *("Classic", "NodAndShuffle", "Faint", "Faint_Object", "Faint_Objects", "Very_Faint_Objects"),
    *("Medium", "Medium_Object", "Bright", "Bright_Object", "Bright_Objects", "Very_Bright_Objects"),
    *("Low_Background", "Medium_Background", "High_Background"),
)
ROIS: Final[Mapping[str, str]] = {
    "fullframe": "Full Frame",
    "centralstamp": "Central Stamp",
    "centralspectrum": "Central Spectrum",
    "central768": "Central768",
    "central512": "Central512",
    "central256": "Central256",
    "custom": "Custom",
}
BINNINGS: Final = tuple(f"{x}x{y}" for x in (1, 2, 4, 8) for y in (1, 2, 4, 8))

_FILE: Final = re.compile(r"[NS]20\d{6}[A-Z]\d{4}.*", re.ASCII)
_OLD_FILE: Final = re.compile(
    r"(?:20)?\d\d(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\d\d_\d+(?:\.fits)?(?:\.bz2)?",
    re.ASCII | re.IGNORECASE,
)
_PREFIXES: Final = tuple(f"{site}20{decade}" for site in "NS" for decade in "012")
_LONGEST_PREFIX: Final = 13
_GRATING: Final = re.compile(r"(MIRROR|B480|B600|R600|R400|R831|R150|B1200)\+?(?:_G\d{4})?", re.ASCII)
_MASK: Final = re.compile(
    r"Imaging|IFU-[2RB]|focus_array_new|NS(?:0\.75|1\.0|1\.5|2\.0)arcsec|(?:0\.5|0\.75|1\.0|1\.5|2\.0|5\.0)arcsec"
    r"|G[NS]20\d\d[ABFDLWVSX].\d{3}-\d\d|G20\d\d[AB]\d{4}[CDFLQSV]-\d\d",
    re.ASCII,
)
_SPEEDS: Final = frozenset(ENUMS["detector_readspeed_setting"]) - {"standard"}


def same(words: tuple[str, ...]) -> Mapping[str, str]:
    """Let each word be its own value."""
    return {word: word for word in words}


def when(true: str, false: str = "") -> dict[str, Any]:
    """Let one word mean true, another false; the first letter, and that behind ``not``, may be a capital."""
    forms = {true: True, true.capitalize(): True}
    if false:
        forms |= {false: False, false.capitalize(): False, f"Not{true.capitalize()}": False}
    return forms


def by_name(words: Mapping[str, Any]) -> Callable[[str], str]:
    """Make the reader that gives a name its official spelling; an unknown one stays, and matches nothing."""
    return lambda text: {word.lower(): value for word, value in words.items()}.get(text.lower(), text)


def telescope_in(element: str) -> str | None:
    """Return the telescope that an element names, however it is joined."""
    return official_telescope(element, TELESCOPES)


def file_name_in(element: str) -> str | None:
    """Return the trimmed name of a file if an element is one."""
    if _FILE.fullmatch(element) or _OLD_FILE.fullmatch(element):
        return trimmed(element) if ".fits" in element else f"{trimmed(element)}.fits"
    is_plain_name = "=" not in element and trimmed(element).endswith(".fits")
    return trimmed(element) if is_plain_name else None


def read_file_name(text: str) -> str:
    """Read a name as it stands, without ``.bz2``."""
    return trimmed(text)


def file_prefix_in(element: str) -> str | None:
    """Return the beginning of facility names if an element is one."""
    is_one = len(element) <= _LONGEST_PREFIX and element.startswith(_PREFIXES)
    return element if is_one else None


def grating_in(element: str) -> str | None:
    """Return the grating of GMOS that an element names, without its id."""
    found = _GRATING.fullmatch(element)
    return found[1] if found else None


def mask_in(element: str) -> str | None:
    """Return the mask of GMOS that an element names."""
    return element if _MASK.fullmatch(element) else None


def speed_in(element: str) -> str | None:
    """Return the read speed that an element names, of one detector or of two."""
    return element if element in _SPEEDS else None


def read_identifier(text: str) -> str:
    """Read an identifier; they are kept in capitals.

    Raises
    ------
    BadSelectionError
        There is none.
    """
    if not text.strip():
        raise BadSelectionError("the identifier is empty")
    return read_text(text.strip().upper())


def data_label_in(element: str) -> str | None:
    """Return the data label that an element is, bare or behind ``progid=``."""
    return _identifier(element, is_data_label)


def observation_in(element: str) -> str | None:
    """Return the observation that an element is, bare or behind ``progid=``."""
    return _identifier(element, is_observation_id)


def program_in(element: str) -> str | None:
    """Return the program that an element is."""
    return _identifier(element, lambda text: parse_program_id(text) is not None)


def _identifier(element: str, is_one: Callable[[str], bool]) -> str | None:
    text = element.removeprefix("progid=").strip().upper()
    return text if is_one(text) else None
