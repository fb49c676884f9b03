"""What an instrument's frames of late have been set to: what a search may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, select

from fits_dagster.records.tables import header

__all__ = ["SETTINGS", "known_settings"]

#: Columns of the record that narrow a search of one instrument.
SETTINGS: Final = (
    *("filter_name", "disperser", "focal_plane_mask", "camera", "detector_binning"),
    *("detector_roi_setting", "detector_readmode_setting", "detector_readspeed_setting"),
    *("detector_gain_setting", "detector_welldepth_setting"),
)
_FRAMES: Final = 2000
_MOST: Final = 60


def known_settings(connection: Connection, instruments: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the values of each setting in the latest frames of some instruments, in order."""
    columns = [header.c[name] for name in SETTINGS]
    found: dict[str, set[str]] = {name: set() for name in SETTINGS}
    for instrument in instruments:
        latest = (
            select(*columns)
            .where(header.c.instrument == instrument)
            .order_by(header.c.ut_datetime.desc())
            .limit(_FRAMES)
            .subquery()
        )
        for row in connection.execute(select(latest).distinct()):
            for name, value in row._mapping.items():
                if value is not None:
                    found[name].add(value)
    return {name: sorted(values)[:_MOST] for name, values in found.items()}
