"""What operators look at: which raw calibrations files need, which of them are far or missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.facts import HeaderFacts, load_facts
from fits_dagster.calibration.index import applicable_types

__all__ = ["SHOWN_TYPES", "CalibrationNeed", "TargetNeeds", "calibration_needs"]

SHOWN_TYPES: Final = ("arc", "dark", "bias", "flat", "pinhole", "ronchi_mask")

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


_NAMES = text("""
select h.id, f.name from header h join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
where h.id = any(:ids)
""")
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
        _FOUND, {"ids": list(header_ids), "caltypes": list(SHOWN_TYPES)}
    ):
        found.setdefault((header, caltype), []).append((name, seconds))
    names = {header: name for header, name in connection.execute(_NAMES, {"ids": list(header_ids)})}
    known = {each.header_id: each for each in load_facts(connection, header_ids)}
    told = []
    for header in header_ids:
        facts = known.get(header)
        if facts is None or not facts.is_target:
            continue
        needs = tuple(
            CalibrationNeed(
                caltype, tuple(found.get((header, caltype), ())), _far_hours(caltype, facts.values)
            )
            for caltype in _shown(facts)
        )
        if needs:
            told.append(TargetNeeds(names[header], facts.values, needs))
    return told


def _shown(facts: HeaderFacts) -> list[str]:
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
    return [each for each in SHOWN_TYPES if each in applicable and each not in left_out]


def _far_hours(caltype: str, values: Mapping[str, Any]) -> float | None:
    if caltype == "dark" and _is_gmos(values):
        return _FAR_GMOS_DARK_HOURS
    return _FAR_HOURS.get(caltype)


def _is_gmos(values: Mapping[str, Any]) -> bool:
    return str(values["instrument"]).startswith("GMOS")
