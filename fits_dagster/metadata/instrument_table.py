"""Rows of the instrument tables: raw values, ids kept, since calibrations match the very same element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

__all__ = ["COMMON_COLUMNS", "fill_row"]

#: A :class:`~fits_dagster.metadata.translator.Translator`.
Subject: TypeAlias = Any

#: Largest number of an integer column.
_LARGEST_NUMBER: Final = 2**31 - 1
#: Largest number of the columns that are no integers: what numeric(8,4) holds after rounding.
_LARGEST_REAL: Final = {"exposure_time": 9999.9999}


def _tagged(tag: str) -> Callable[[Subject], bool]:
    return lambda subject: tag in subject.tags


#: What fills a column, unless the instrument has a method ``column_<name>``.
COMMON_COLUMNS: Final[Mapping[str, Callable[[Subject], object]]] = {
    "disperser": lambda subject: subject.disperser(pretty=False),
    "filter_name": lambda subject: subject.filter_name(pretty=False),
    "focal_plane_mask": lambda subject: subject.focal_plane_mask(pretty=False),
    "pupil_mask": lambda subject: subject.pupil_mask(pretty=False),
    "camera": lambda subject: subject.camera(pretty=False),
    "detector_x_bin": lambda subject: subject.x_bin(),
    "detector_y_bin": lambda subject: subject.y_bin(),
    "read_mode": lambda subject: subject.read_mode(),
    "read_speed_setting": lambda subject: subject.read_speed(),
    "gain_setting": lambda subject: subject.gain_setting(),
    "well_depth_setting": lambda subject: subject.well_depth(),
    "exposure_time": lambda subject: subject.exposure_time(),
    "prepared": _tagged("PREPARED"),
    "overscan_subtracted": _tagged("OVERSCAN_SUBTRACTED"),
    "overscan_trimmed": _tagged("OVERSCAN_TRIMMED"),
    "nodandshuffle": _tagged("NODANDSHUFFLE"),
}


def fill_row(subject: Subject, warnings: list[str]) -> dict[str, object]:
    """Fill one row of the table of an instrument.

    Parameters
    ----------
    subject : Translator
        The file; its class names the columns and the closed lists of values.
    warnings : list of str
        Takes a line for each column that could not be filled; that column is null.
    """
    row: dict[str, object] = {}
    for column in subject.columns or subject.column_kinds:
        try:
            own = getattr(subject, f"column_{column}", None)
            value = COMMON_COLUMNS[column](subject) if own is None else own()
        except Exception as error:  # one bad keyword must not cost the other columns
            warnings.append(f"{subject.table}.{column}: {type(error).__name__}: {error}")
            value = None
        allowed = subject.column_values.get(column)
        fits = _fits_the_database(column, value) and (allowed is None or value in allowed)
        row[column] = value if fits else None
    return row


def _fits_the_database(column: str, value: object) -> bool:
    """Tell whether a number is within the range of its column; anything else is."""
    limit = _LARGEST_REAL.get(column, _LARGEST_NUMBER)
    return not isinstance(value, int | float) or abs(value) <= limit
