"""Associated calibrations: those of a list of files, those that the calibrations need, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from fits_dagster.calibration.caltypes import CALTYPES

__all__ = ["MOST_LEVELS", "AssociatedCalibration", "associated_calibrations"]

#: The calibrations themselves, and four further levels.
MOST_LEVELS: Final = 5


@dataclass(frozen=True)
class AssociatedCalibration:
    """A calibration of the files that were asked about, or of a calibration."""

    header_id: int
    #: File name without ``.bz2``.
    name: str
    #: The first in the order of the vocabulary of the types for which it serves at its level.
    caltype: str
    #: The best of its ranks at its level.
    rank: int
    #: 0 for a calibration of the files themselves.
    level: int

    @property
    def is_primary(self) -> bool:
        """Whether the files themselves have it as a calibration."""
        return self.level == 0


_LEVEL = text("""
with best as (
    select c.cal_hid, min(array_position(cast(:caltypes as text[]), a.caltype)) - 1 as type,
           min(c.place) - 1 as rank
    from calibration_answer a cross join lateral unnest(a.cal_hids) with ordinality as c(cal_hid, place)
    where a.header_id = any(:ids) and a.caltype = any(cast(:caltypes as text[]))
    group by c.cal_hid)
select b.cal_hid, f.name, b.type, b.rank from best b
join header h on h.id = b.cal_hid join diskfile d on d.id = h.diskfile_id join file f on f.id = d.file_id
order by b.type, b.rank, b.cal_hid desc
""")


def associated_calibrations(
    connection: Connection,
    header_ids: Sequence[int],
    *,
    levels: int = MOST_LEVELS,
    caltype: str | None = None,
) -> list[AssociatedCalibration]:
    """Return the calibrations of files, those of the calibrations, and so on, as the cache has them.

    One query per level; a level asks only for what no level before it has found, so that needs in a circle
    end by themselves.

    Parameters
    ----------
    header_ids
        Headers of the files. One that serves as a calibration is told like any other.
    levels
        1 for the calibrations of the files only, up to :data:`MOST_LEVELS`.
    caltype
        The only type to tell; calibrations of calibrations are not asked for then.

    Returns
    -------
    list of AssociatedCalibration
        Each once: level by level, in a level by type and rank, the latest header first among equals.
    """
    types = list(CALTYPES) if caltype is None else [caltype]
    found: dict[int, AssociatedCalibration] = {}
    asked = list(header_ids)
    for level in range(min(levels, MOST_LEVELS) if caltype is None else 1):
        if not asked:
            break
        rows = connection.execute(_LEVEL, {"ids": asked, "caltypes": types}).all()
        asked = [row.cal_hid for row in rows if row.cal_hid not in found]
        for header, name, place, rank in rows:
            found.setdefault(header, AssociatedCalibration(header, name, types[place], rank, level))
    return list(found.values())
