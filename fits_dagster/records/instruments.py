"""Instrument tables: one row per header (GHOST: one per arm), values with their component ids kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Integer, MetaData, Numeric, Table, Text
from sqlalchemy.types import TypeEngine

from fits_dagster.metadata.registry import plug_ins
from fits_dagster.records.tables import header, metadata

__all__ = ["INSTRUMENT_TABLES", "instrument_table", "plug_in_tables"]

_COLUMNS: Mapping[str, Mapping[str, type[TypeEngine[Any]] | TypeEngine[Any]]] = {
    "gmos": {
        "disperser": Text,
        "filter_name": Text,
        "detector_x_bin": Integer,
        "detector_y_bin": Integer,
        "array_name": Text,
        "amp_read_area": Text,
        "read_speed_setting": Text,
        "gain_setting": Text,
        "focal_plane_mask": Text,
        "nodandshuffle": Boolean,
        "nod_count": Integer,
        "nod_pixels": Integer,
        "prepared": Boolean,
        "overscan_subtracted": Boolean,
        "overscan_trimmed": Boolean,
        "grating_order": Integer,
    },
    "niri": {
        "disperser": Text,
        "filter_name": Text,
        "read_mode": Text,
        "well_depth_setting": Text,
        "data_section": Text,
        "camera": Text,
        "focal_plane_mask": Text,
    },
    "gnirs": {
        "disperser": Text,
        "filter_name": Text,
        "read_mode": Text,
        "well_depth_setting": Text,
        "camera": Text,
        "focal_plane_mask": Text,
        "array_name": Text,
        "prism_motor_steps": Integer,
    },
    "f2": {
        "disperser": Text,
        "filter_name": Text,
        "lyot_stop": Text,
        "read_mode": Text,
        "focal_plane_mask": Text,
    },
    "nifs": {"disperser": Text, "filter_name": Text, "read_mode": Text, "focal_plane_mask": Text},
    "gsaoi": {"filter_name": Text, "read_mode": Text},
    "gpi": {
        "filter_name": Text,
        "disperser": Text,
        "focal_plane_mask": Text,
        "pupil_mask": Text,
        "astrometric_standard": Boolean,
        "wollaston": Boolean,
        "prism": Boolean,
    },
    "ghost": {
        "arm": Text,
        "want_before_arc": Boolean,
        "detector_name": Text,
        "detector_x_bin": Integer,
        "detector_y_bin": Integer,
        "exposure_time": Numeric(8, 4),
        "gain_setting": Text,
        "read_speed_setting": Text,
        "focal_plane_mask": Text,
        "prepared": Boolean,
        "overscan_subtracted": Boolean,
        "overscan_trimmed": Boolean,
    },
    "michelle": {"disperser": Text, "filter_name": Text, "read_mode": Text, "focal_plane_mask": Text},
    "nici": {"filter_name": Text, "focal_plane_mask": Text, "disperser": Text},
}

_KINDS: Mapping[type, type[TypeEngine[Any]]] = {str: Text, int: Integer, float: Float, bool: Boolean}


def _table(name: str, tables: MetaData, columns: Mapping[str, Any]) -> Table:
    return Table(
        name,
        tables,
        Column("id", BigInteger, primary_key=True),
        Column("header_id", BigInteger, ForeignKey(header.c.id), nullable=False, index=True),
        *(Column(column, kind) for column, kind in columns.items()),
    )


#: Table by name; the names are those that a record's ``instrument_table`` uses.
INSTRUMENT_TABLES: Mapping[str, Table] = {
    name: _table(name, metadata, columns) for name, columns in _COLUMNS.items()
}


@cache
def plug_in_tables() -> MetaData:
    """Return the tables that instruments of other packages declare, in a schema of their own."""
    tables = MetaData(schema="instruments")
    for translator in dict.fromkeys(plug_ins().values()):
        if translator.table is not None and translator.table not in INSTRUMENT_TABLES:
            kinds = {name: _KINDS[kind] for name, kind in translator.column_kinds.items()}
            _table(translator.table, tables, kinds)
    return tables


def instrument_table(name: str) -> Table:
    """Return the table of an instrument, of this package or another."""
    found = INSTRUMENT_TABLES.get(name)
    return plug_in_tables().tables[f"instruments.{name}"] if found is None else found
