"""What the files of a night have of the calibrations that they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.facts import load_facts
from fits_dagster.calibration.keys import applicable_types
from fits_dagster.calibration.rules import CALTYPES
from fits_dagster.nights import Night, NightClock, night_label

__all__ = ["CalibrationCoverage", "ScienceFile", "calibration_coverage"]

_ORDER: Final = {caltype: place for place, caltype in enumerate(CALTYPES)}
_PROCESSED: Final = "processed_"
_CHUNK: Final = 500
#: The label of a night may run ahead of the UTC date, and a night may end after it.
_MARGIN: Final = timedelta(days=2)

_HEADERS = text("""
select h.id, f.name from header h
join diskfile d on d.id = h.diskfile_id and d.canonical join file f on f.id = d.file_id
where h.ut_datetime >= :first and h.ut_datetime < :last
order by f.name, h.id
""")
_ANSWERS = text("""
select header_id, caltype from calibration_answer
where header_id = any(:ids) and cardinality(cal_hids) > 0
""")


@dataclass(frozen=True)
class ScienceFile:
    """A science exposure, and the types of calibrations for which it has none."""

    name: str
    night: str
    instrument: str
    #: Applicable types without any calibration.
    lacking: tuple[str, ...]
    #: Those of them without which it cannot be reduced.
    demanded: tuple[str, ...]


@dataclass(frozen=True)
class CalibrationCoverage:
    """The calibrations of the files of some nights."""

    #: Files that may ask for calibrations.
    files: int
    #: Science exposures among them.
    science_files: int
    #: Files by applicable type: for how many there is a calibration, and for how many none.
    found: Mapping[str, int]
    missing: Mapping[str, int]
    #: Science exposures that lack something, by name.
    incomplete: Sequence[ScienceFile]

    @property
    def unusable(self) -> Sequence[ScienceFile]:
        """Science exposures that lack something without which they cannot be reduced."""
        return [each for each in self.incomplete if each.demanded]


def calibration_coverage(
    connection: Connection, nights: Collection[str], *, optional: Collection[str] = ()
) -> CalibrationCoverage:
    """Tell which calibrations the files of nights have and lack.

    A type and its processed form are one need: either will do. A type that only exists in processed form is
    told when it lacks, and not demanded.

    Parameters
    ----------
    nights
        Night labels as in file names.
    optional
        Types that are not demanded.
    """
    found: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    incomplete: list[ScienceFile] = []
    files = science = 0
    wanted = set(nights)
    names = _headers(connection, wanted) if wanted else {}
    ids = list(names)
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        answered: dict[int, set[str]] = {}
        for header, caltype in connection.execute(_ANSWERS, {"ids": chunk}):
            answered.setdefault(header, set()).add(caltype)
        for facts in load_facts(connection, chunk):
            if not facts.is_target:
                continue
            files += 1
            applicable = applicable_types(facts)
            has = answered.get(facts.header_id, set())
            found.update(applicable & has)
            lacking = sorted(applicable - has, key=_ORDER.__getitem__)
            missing.update(lacking)
            if not _is_science(facts.values):
                continue
            science += 1
            if lacking:
                name, night = names[facts.header_id]
                demanded = tuple(t for t in lacking if _is_demanded(t, has, optional))
                instrument = str(facts.values["instrument"])
                incomplete.append(ScienceFile(name, night, instrument, tuple(lacking), demanded))
    return CalibrationCoverage(files, science, _sorted(found), _sorted(missing), incomplete)


def _headers(connection: Connection, nights: Collection[str]) -> dict[int, tuple[str, str]]:
    """Return name and night of the headers of nights, by header."""
    days = sorted(map(Night.parse, nights))
    first, last = NightClock().bounds(days[0], days[-1])
    limits = {"first": first - _MARGIN, "last": last + _MARGIN}
    rows = connection.execute(_HEADERS, limits)
    found = {}
    for header, name in rows:
        if (night := night_label(name)) in nights:
            found[header] = (name, night)
    return found


def _is_science(values: Mapping[str, object]) -> bool:
    return (
        values["observation_type"] == "OBJECT"
        and values["observation_class"] == "science"
        and values["engineering"] is not True
    )


def _is_demanded(caltype: str, has: Collection[str], optional: Collection[str]) -> bool:
    return not (caltype.startswith(_PROCESSED) or caltype in optional or f"{_PROCESSED}{caltype}" in has)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {caltype: counts[caltype] for caltype in sorted(counts, key=_ORDER.__getitem__)}
