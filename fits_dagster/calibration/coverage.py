"""What the files of a night have of the calibrations that they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.lookup import names_of
from fits_dagster.calibration.match_keys import HeaderFacts, applicable_types, load_facts
from fits_dagster.calibration.rules import CALTYPES, load_rulesets
from fits_dagster.nights import Night, NightClock

__all__ = [
    "CalibrationCoverage",
    "CalibrationNeed",
    "ScienceFile",
    "TargetNeeds",
    "calibration_coverage",
    "calibration_needs",
]

_ORDER: Final = {caltype: place for place, caltype in enumerate(CALTYPES)}
_PROCESSED: Final = "processed_"
#: The label of a night may run ahead of the UTC date, and a night may end after it.
_MARGIN: Final = timedelta(days=2)

_HEADERS = text("""
select h.id, f.name from header h
join diskfile d on d.id = h.diskfile_id and d.canonical join file f on f.id = d.file_id
where h.ut_datetime >= :first and h.ut_datetime < :last
order by f.name, h.id
""")
# what is applicable to a header was judged when its needs were written
_TARGETS = text("""
select h.id, h.instrument,
       h.observation_type = 'OBJECT' and h.observation_class = 'science' and h.engineering is not true
           as is_science,
       array(select distinct n.caltype from calibration_need n where n.header_id = h.id) as applicable,
       array(select a.caltype from calibration_answer a
             where a.header_id = h.id and cardinality(a.cal_hids) > 0) as has
from header h
where h.id = any(:ids) and h.instrument = any(:instruments) and h.qa_state is distinct from 'Fail'
order by h.id
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
    names = _headers(connection, nights) if nights else {}
    asked = {"ids": list(names), "instruments": list(load_rulesets())}
    for target in connection.execute(_TARGETS, asked) if names else ():
        files += 1
        applicable, has = set(target.applicable), set(target.has)
        found.update(applicable & has)
        lacking = sorted(applicable - has, key=_ORDER.__getitem__)
        missing.update(lacking)
        if not target.is_science:
            continue
        science += 1
        if lacking:
            name, night = names[target.id]
            demanded = tuple(t for t in lacking if _is_demanded(t, has, optional))
            incomplete.append(ScienceFile(name, night, target.instrument, tuple(lacking), demanded))
    incomplete.sort(key=lambda each: each.name)
    return CalibrationCoverage(files, science, _sorted(found), _sorted(missing), incomplete)


def _headers(connection: Connection, nights: Collection[str]) -> dict[int, tuple[str, str]]:
    """Return name and night of the headers of nights, by header."""
    wanted = set(map(Night.parse, nights))
    first, last = NightClock().bounds(min(wanted), max(wanted))
    limits = {"first": first - _MARGIN, "last": last + _MARGIN}
    rows = connection.execute(_HEADERS, limits)
    found = {}
    for header, name in rows:
        night = Night.of_name(name)
        if night in wanted:
            found[header] = (name, night.label)
    return found


def _is_demanded(caltype: str, has: Collection[str], optional: Collection[str]) -> bool:
    return not (caltype.startswith(_PROCESSED) or caltype in optional or f"{_PROCESSED}{caltype}" in has)


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {caltype: counts[caltype] for caltype in sorted(counts, key=_ORDER.__getitem__)}


#: Types that the page of a night shows.
_SHOWN_TYPES: Final = ("arc", "dark", "bias", "flat", "pinhole", "ronchi_mask")
_HOUR: Final = 3600.0
#: Hours from which on a calibration is far; GMOS darks are taken seldom.
_FAR_HOURS: Final = {"arc": 24.0, "dark": 120.0}
_FAR_GMOS_DARK_HOURS: Final = 4320.0
_FOCUS_MASK: Final = "focus_array_new"


@dataclass(frozen=True)
class CalibrationNeed:
    """One type that a file needs, with what there is of it."""

    caltype: str
    #: File names and seconds from the target (negative before it, None without a time), best first.
    found: tuple[tuple[str, float | None], ...]
    #: More hours than this away from the target is far; None: nothing is.
    far_hours: float | None

    @property
    def is_missing(self) -> bool:
        """Whether there is none at all."""
        return not self.found

    def is_far(self, seconds: float | None) -> bool:
        """Tell whether a distance is a reason for a warning."""
        return seconds is not None and self.far_hours is not None and abs(seconds) > self.far_hours * _HOUR


@dataclass(frozen=True)
class TargetNeeds:
    """A file with its needs."""

    name: str
    values: Mapping[str, Any]
    needs: tuple[CalibrationNeed, ...]

    def take_now(self, now: datetime) -> bool:
        """Tell whether an arc taken now would be the only one, or nearer than the last one in the list."""
        arcs = next((need.found for need in self.needs if need.caltype == "arc"), None)
        if arcs is None:
            return False
        last = arcs[-1][1] if arcs else None
        return last is None or abs(last) > (now - self.values["ut_datetime"]).total_seconds()


_FOUND = text("""
select a.header_id, a.caltype, f.name, extract(epoch from k.ut_datetime - h.ut_datetime)::float8 as seconds
from calibration_answer a join header h on h.id = a.header_id
cross join lateral unnest(a.cal_hids) with ordinality as c(cal_hid, place)
join header k on k.id = c.cal_hid join diskfile d on d.id = k.diskfile_id join file f on f.id = d.file_id
where a.header_id = any(:ids) and a.caltype = any(:caltypes)
order by a.header_id, a.caltype, c.place
""")


def calibration_needs(connection: Connection, header_ids: Sequence[int]) -> list[TargetNeeds]:
    """Return the needs of files for raw calibrations, as the cache has them, in three queries.

    Returns
    -------
    list of TargetNeeds
        In the order of the headers, without those that need nothing that is shown.
    """
    found: dict[tuple[int, str], list[tuple[str, float | None]]] = {}
    for header, caltype, name, seconds in connection.execute(
        _FOUND, {"ids": list(header_ids), "caltypes": list(_SHOWN_TYPES)}
    ):
        found.setdefault((header, caltype), []).append((name, seconds))
    names = names_of(connection, header_ids)
    known = {each.header_id: each for each in load_facts(connection, header_ids)}
    explained = []
    for header in header_ids:
        facts = known.get(header)
        if facts is None or not facts.is_target:
            continue
        needs = tuple(
            CalibrationNeed(
                caltype, tuple(found.get((header, caltype), ())), _far_hours(caltype, facts.values)
            )
            for caltype in _shown_types(facts)
        )
        if needs:
            explained.append(TargetNeeds(names[header], facts.values, needs))
    return explained


def _shown_types(facts: HeaderFacts) -> list[str]:
    """Return the types that a file needs and operators care for."""
    applicable = applicable_types(facts)
    values = facts.values
    left_out = set()
    if _is_gmos(values):
        if values["observation_class"] == "dayCal":
            left_out.add("arc")
        if values["spectroscopy"] is False:
            left_out.add("flat")
            if values["focal_plane_mask"] == _FOCUS_MASK:
                left_out.add("dark")
    return [each for each in _SHOWN_TYPES if each in applicable and each not in left_out]


def _far_hours(caltype: str, values: Mapping[str, Any]) -> float | None:
    if caltype == "dark" and _is_gmos(values):
        return _FAR_GMOS_DARK_HOURS
    return _FAR_HOURS.get(caltype)


def _is_gmos(values: Mapping[str, Any]) -> bool:
    return str(values["instrument"]).startswith("GMOS")
