"""Records as rows of ObsCore 1.1 (IVOA): the columns that it asks for, in its words and units.

What the records do not hold (field of view, resolutions, spectral limits) is empty, as the standard allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select

from fits_dagster.records.selected import headers_query
from fits_dagster.records.tables import diskfile, file, header

__all__ = ["COLUMNS", "Column", "obscore_query", "obscore_row"]


@dataclass(frozen=True)
class Column:
    """A column of the table ``ivoa.ObsCore``."""

    name: str
    #: Type as VOTables have it.
    datatype: str
    ucd: str
    utype: str
    unit: str = ""


def _text(name: str, ucd: str, utype: str) -> Column:
    return Column(name, "char", ucd, f"obscore:{utype}")


def _number(name: str, ucd: str, utype: str, unit: str = "", datatype: str = "double") -> Column:
    return Column(name, datatype, ucd, f"obscore:{utype}", unit)


#: Those of table 5 of the recommendation, in its order.
COLUMNS: Final[Sequence[Column]] = (
    _text("dataproduct_type", "meta.id", "ObsDataset.dataProductType"),
    _number("calib_level", "meta.code;obs.calib", "ObsDataset.calibLevel", datatype="int"),
    _text("obs_collection", "meta.id", "DataID.Collection"),
    _text("obs_id", "meta.id", "DataID.observationID"),
    _text("obs_publisher_did", "meta.ref.ivoid", "Curation.PublisherDID"),
    _text("access_url", "meta.ref.url", "Access.Reference"),
    _text("access_format", "meta.code.mime", "Access.Format"),
    _number("access_estsize", "phys.size;meta.file", "Access.Size", "kbyte", "long"),
    _text("target_name", "meta.id;src", "Target.Name"),
    _number("s_ra", "pos.eq.ra", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C1", "deg"),
    _number("s_dec", "pos.eq.dec", "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2.C2", "deg"),
    _number("s_fov", "phys.angSize;instr.fov", "Char.SpatialAxis.Coverage.Bounds.Extent.diameter", "deg"),
    _text("s_region", "pos.outline;obs.field", "Char.SpatialAxis.Coverage.Support.Area"),
    _number("s_xel1", "meta.number", "Char.SpatialAxis.numBins1", datatype="long"),
    _number("s_xel2", "meta.number", "Char.SpatialAxis.numBins2", datatype="long"),
    _number("s_resolution", "pos.angResolution", "Char.SpatialAxis.Resolution.Refval.value", "arcsec"),
    _number("t_min", "time.start;obs.exposure", "Char.TimeAxis.Coverage.Bounds.Limits.StartTime", "d"),
    _number("t_max", "time.end;obs.exposure", "Char.TimeAxis.Coverage.Bounds.Limits.StopTime", "d"),
    _number("t_exptime", "time.duration;obs.exposure", "Char.TimeAxis.Coverage.Support.Extent", "s"),
    _number("t_resolution", "time.resolution", "Char.TimeAxis.Resolution.Refval.value", "s"),
    _number("t_xel", "meta.number", "Char.TimeAxis.numBins", datatype="long"),
    _number("em_min", "em.wl;stat.min", "Char.SpectralAxis.Coverage.Bounds.Limits.LoLimit", "m"),
    _number("em_max", "em.wl;stat.max", "Char.SpectralAxis.Coverage.Bounds.Limits.HiLimit", "m"),
    _number("em_res_power", "spect.resolution", "Char.SpectralAxis.Resolution.ResolPower.refVal"),
    _number("em_xel", "meta.number", "Char.SpectralAxis.numBins", datatype="long"),
    _text("o_ucd", "meta.ucd", "Char.ObservableAxis.ucd"),
    _text("pol_states", "meta.code;phys.polarization", "Char.PolarizationAxis.stateList"),
    _number("pol_xel", "meta.number", "Char.PolarizationAxis.numBins", datatype="long"),
    _text("facility_name", "meta.id;instr.tel", "Provenance.ObsConfig.Facility.name"),
    _text("instrument_name", "meta.id;instr", "Provenance.ObsConfig.Instrument.name"),
)
_MJD_0: Final = datetime(1858, 11, 17, tzinfo=UTC)
_DAY_S: Final = 86_400.0


def obscore_query(where: ColumnElement[bool], *columns: ColumnElement[Any]) -> Select[Any]:
    """Select what the rows of a selection are made of, by time, the latest first."""
    names = (
        *("observation_id", "ut_datetime", "exposure_time", "coadds", "object", "ra", "dec", "telescope"),
        *("instrument", "spectroscopy", "mode", "reduction"),
    )
    chosen = [header.c[name] for name in names]
    of_file = (file.c.name, diskfile.c.path, diskfile.c.filename, diskfile.c.file_size)
    return (
        headers_query(*of_file, *chosen, *columns)
        .where(where)
        .order_by(header.c.ut_datetime.desc().nulls_last(), header.c.id.desc())
    )


def obscore_row(row: Any, *, shows_position: bool, url: str, publisher: str) -> Mapping[str, Any]:
    """Return a row; columns that are not in it are empty.

    Parameters
    ----------
    row
        Of :func:`obscore_query`.
    url
        Address of the file.
    publisher
        Identifier of who publishes it, before the name of the file.
    """
    begin = None if row.ut_datetime is None else (row.ut_datetime - _MJD_0).total_seconds() / _DAY_S
    seconds = None if row.exposure_time is None else float(row.exposure_time) * (row.coadds or 1)
    known: dict[str, Any] = {
        "dataproduct_type": _product(row),
        # in its standard form, as the instrument gave it, or reduced
        "calib_level": 1 if row.reduction in (None, "RAW") else 2,
        "obs_collection": "Gemini",
        "obs_id": row.observation_id or row.name.removesuffix(".fits"),
        "obs_publisher_did": f"{publisher}?{row.name}",
        "access_url": url,
        "access_format": "application/fits",
        "access_estsize": max(1, row.file_size // 1000),
        "t_min": begin,
        "t_max": None if begin is None or seconds is None else begin + seconds / _DAY_S,
        "t_exptime": seconds,
        "o_ucd": "phot.count",
        "facility_name": row.telescope,
        "instrument_name": row.instrument,
    }
    if shows_position:
        known |= {
            "target_name": row.object,
            "s_ra": None if row.ra is None else float(row.ra),
            "s_dec": None if row.dec is None else float(row.dec),
        }
    return known


def _product(row: Any) -> str | None:
    if row.mode in ("IFS", "IFP"):
        return "cube"
    return None if row.spectroscopy is None else "spectrum" if row.spectroscopy else "image"
