"""Nights and file keys: what the night of a file, of a time and of a site is, and what a file is called.

A night is labelled by a date, as in the names of files. Which times belong to it is a matter of the site: the
label of the night runs ahead of the UTC date by 0 hours in the North and by 6 in the South.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from fits_dagster.fits.names import sort_key, trimmed

__all__ = ["FIRST_NIGHT", "UNDATED", "FileKey", "Night", "NightClock", "night_label"]

#: Label of the night of files whose name holds no date.
UNDATED: Final = "00000000"
#: Label of the first night that is worked on by night.
FIRST_NIGHT: Final = "19990101"
_LAST_NIGHT: Final = "20991231"
#: Files of a night may still be coming so many days later.
_LIVE_DAYS: Final = 2
_DAY: Final = timedelta(days=1)

#: Years that a label in a name may have; other eight-digit groups are running numbers.
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2100
_LABEL: Final = re.compile(r"\d{8}", re.ASCII)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
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


@dataclass(frozen=True, order=True)
class Night:
    """A night, by the date of its label."""

    day: date

    def __str__(self) -> str:
        """Return the label, ``YYYYMMDD``."""
        # a fifth of the time of a format, and asked for every file
        return self.day.isoformat().replace("-", "")

    @classmethod
    def parse(cls, label: str) -> Night:
        """Read a label.

        Raises
        ------
        ValueError
            It is none.
        """
        try:
            if _LABEL.fullmatch(label):
                return cls(date.fromisoformat(label))
        except ValueError:
            pass
        raise ValueError(f"{label!r} is no night label YYYYMMDD")

    @classmethod
    def of_name(cls, name: str) -> Night | None:
        """Return the night in the name of a file; None if it has none, or its date does not exist.

        Parameters
        ----------
        name
            Name in any known form: raw or processed facility names, IGRINS, sky camera, observation logs,
            TEXES, and the visitors whose month is written in letters. A directory is ignored.
        """
        base = name.rpartition("/")[2]
        for pattern in _NUMERIC_DATES:
            if found := pattern.match(base):
                return cls._of_date(*map(int, found.groups()))
        for pattern in _MONTH_NAME_DATES:
            if found := pattern.match(base):
                month = found[2].lower()
                if month not in _MONTHS:
                    return None
                return cls._of_date(_full_year(found[1]), _MONTHS.index(month) + 1, int(found[3]))
        return None

    @classmethod
    def _of_date(cls, year: int, month: int, day: int) -> Night | None:
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            return None
        try:
            return cls(date(year, month, day))
        except ValueError:
            return None

    @property
    def label(self) -> str:
        """Date as in the names of files: ``YYYYMMDD``."""
        return str(self)

    @property
    def next(self) -> Night:
        """The night after it."""
        return Night(self.day + _DAY)

    @property
    def previous(self) -> Night:
        """The night before it."""
        return Night(self.day - _DAY)

    def back(self, nights: int) -> Sequence[Night]:
        """Return this night and those before it, so many together, newest first."""
        return [Night(self.day - back * _DAY) for back in range(nights)]

    def is_live(self, now: datetime | None = None) -> bool:
        """Tell whether files of the night may still be coming."""
        return self.day >= ((now or datetime.now(UTC)) - _LIVE_DAYS * _DAY).date()


@dataclass(frozen=True)
class NightClock:
    """Which night it is, and when a night begins and ends, at a site."""

    #: Hours by which the label of the night runs ahead of the UTC date.
    hours_ahead: float = 0.0

    def night_at(self, moment: datetime) -> Night:
        """Return the night that a time belongs to."""
        return Night((moment.astimezone(UTC) + timedelta(hours=self.hours_ahead)).date())

    def tonight(self, now: datetime | None = None) -> Night:
        """Return the night that is on."""
        return self.night_at(now or datetime.now(UTC))

    def bounds(self, first: Night, last: Night | None = None) -> tuple[datetime, datetime]:
        """Return when a night, or the first of several, begins, and when the last ends (UTC)."""
        ahead = timedelta(hours=self.hours_ahead)
        return _midnight(first) - ahead, _midnight((last or first).next) - ahead


@dataclass(frozen=True, order=True)
class FileKey:
    """A file by its directory in a store and its name."""

    path: str
    filename: str

    def __str__(self) -> str:
        """Return the key in the store: ``path/filename``, or the name alone at the top."""
        return f"{self.path}/{self.filename}" if self.path else self.filename

    @classmethod
    def parse(cls, key: str) -> FileKey:
        """Split a key of a store."""
        path, _, filename = key.rpartition("/")
        return cls(path, filename)

    @property
    def name(self) -> str:
        """The name without ``.bz2``."""
        return trimmed(self.filename)

    @property
    def sort_key(self) -> str:
        """By which queues order their entries, largest first."""
        return sort_key(self.filename)

    @property
    def night(self) -> str:
        """Label of the night in the name, :data:`UNDATED` where there is none."""
        return night_label(self.filename)


def night_label(filename: str) -> str:
    """Return the label of the night of a file name, or :data:`UNDATED` where it has none."""
    label = str(Night.of_name(filename) or UNDATED)
    return label if FIRST_NIGHT <= label <= _LAST_NIGHT else UNDATED


def _midnight(night: Night) -> datetime:
    return datetime.combine(night.day, time(), UTC)


def _full_year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (1900 if year >= _FIRST_YEAR % 100 else 2000)
