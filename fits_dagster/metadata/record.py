"""The target record: its fields, their types and ranges, and the check of a value before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final, Literal

__all__ = [
    "ENUMS",
    "FIELDS",
    "REDUCTION_FIELDS",
    "FieldDefinition",
    "RejectedValueError",
    "checked",
]

Kind = Literal["text", "bool", "int", "float", "date", "time", "datetime", "enum", "set"]

#: Values of the enumerated fields. ``processing`` is ordered from least to most processed.
ENUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "observation_type": (
        "DARK",
        "ARC",
        "FLAT",
        "BIAS",
        "OBJECT",
        "PINHOLE",
        "RONCHI",
        "CAL",
        "FRINGE",
        "MASK",
        "STANDARD",
        "SLITILLUM",
        "BPM",
    ),
    "observation_class": ("dayCal", "partnerCal", "acqCal", "acq", "science", "progCal", "nightCal"),
    "mode": ("imaging", "spectroscopy", "LS", "MOS", "IFS", "IFP"),
    "qa_state": ("Fail", "CHECK", "Undefined", "Usable", "Pass"),
    "processing": ("Failed", "Raw", "Quick-Look", "Science-Quality", "Quality-Assessment"),
    "reduction": (
        "RAW",
        "PREPARED",
        "PROCESSED_FLAT",
        "PROCESSED_BIAS",
        "PROCESSED_FRINGE",
        "PROCESSED_ARC",
        "PROCESSED_DARK",
        "PROCESSED_TELLURIC",
        "PROCESSED_SCIENCE",
        "PROCESSED_BPM",
        "PROCESSED_STANDARD",
        "PROCESSED_SLITILLUM",
        "PROCESSED_PINHOLE",
        "PROCESSED_UNKNOWN",
    ),
    "detector_gain_setting": ("high", "low", "standard"),
    "detector_readspeed_setting": (
        "fast",
        "medium",
        "slow",
        "standard",
        *(
            f"red:{red},blue:{blue}"
            for red in ("fast", "medium", "slow")
            for blue in ("fast", "medium", "slow")
        ),
    ),
    "detector_welldepth_setting": ("Shallow", "Deep", "Invalid"),
}


class RejectedValueError(ValueError):
    """The value does not fit its field."""


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field of the record."""

    kind: Kind
    #: What it holds, with the unit.
    doc: str
    #: Smallest value, if limited.
    minimum: float | None = None
    #: Largest value, if limited.
    maximum: float | None = None
    #: Whether the largest value itself is too large.
    below_maximum: bool = False
    #: Decimals that are kept of a float.
    decimals: int | None = None
    #: Digits before the point that the database holds of a float, if a rounded value may have more.
    whole_digits: int | None = None
    #: Allowed values of an enumerated field.
    values: frozenset[str] = frozenset()


def _enum(name: str, doc: str) -> FieldDefinition:
    return FieldDefinition("enum", doc, values=frozenset(ENUMS[name]))


def _angle(doc: str, minimum: float | None = None, maximum: float | None = None) -> FieldDefinition:
    # numeric(16,12) in the database: four digits before the point
    return FieldDefinition(
        "float", doc, -9999.0 if minimum is None else minimum, maximum or 9999.0, decimals=12
    )


_INT32: Final = 2**31 - 1
_PERCENTILE: Final = FieldDefinition("int", "sky condition, percentile; 100 is any", 0, 100)

#: Fields of the record in the order of the archive's table.
FIELDS: Final[Mapping[str, FieldDefinition]] = {
    "program_id": FieldDefinition("text", "program identifier, upper case"),
    "engineering": FieldDefinition("bool", "engineering data, or no valid program identifier"),
    "science_verification": FieldDefinition("bool", "science verification program"),
    "calibration_program": FieldDefinition("bool", "calibration program"),
    "processing": _enum("processing", "how far and for what purpose the data are processed"),
    "processing_tag": FieldDefinition("text", "tag of the reduction that made the file"),
    "observation_id": FieldDefinition("text", "observation identifier, upper case"),
    "data_label": FieldDefinition("text", "data label, upper case"),
    "telescope": FieldDefinition("text", "telescope, in official spelling"),
    "instrument": FieldDefinition("text", "instrument in official spelling"),
    "ut_datetime": FieldDefinition("datetime", "UTC start of the observation"),
    "ut_datetime_secs": FieldDefinition("int", "the same, whole seconds since 2000-01-01T00:00:00"),
    "local_time": FieldDefinition("time", "local time at the start"),
    "observation_type": _enum("observation_type", "kind of the frame"),
    "observation_class": _enum("observation_class", "class of the observation"),
    "object": FieldDefinition("text", "name of the target"),
    "ra": _angle("right ascension, ICRS degrees", 0.0, 360.0),
    "dec": _angle("declination, ICRS degrees", -90.0, 90.0),
    "azimuth": _angle("azimuth of the telescope, degrees"),
    "elevation": _angle("elevation of the telescope, degrees"),
    "cass_rotator_pa": _angle("position angle of the Cassegrain rotator, degrees", -360.0, 360.0),
    "airmass": FieldDefinition(
        "float", "airmass", 1.0, 100.0, below_maximum=True, decimals=6, whole_digits=2
    ),
    "filter_name": FieldDefinition("text", "filter, ids cut"),
    "exposure_time": FieldDefinition(
        "float", "exposure, seconds", 0.0, 10000.0, below_maximum=True, decimals=6
    ),
    "disperser": FieldDefinition("text", "disperser, id cut"),
    "camera": FieldDefinition("text", "camera, id cut"),
    "central_wavelength": FieldDefinition(
        "float",
        "central wavelength of a spectrum, micron",
        0.0,
        100.0,
        below_maximum=True,
        decimals=6,
        whole_digits=2,
    ),
    "wavelength_band": FieldDefinition("text", "band nearest to the effective wavelength"),
    "focal_plane_mask": FieldDefinition("text", "slit or mask, id cut"),
    "pupil_mask": FieldDefinition("text", "pupil mask, id cut"),
    "detector_binning": FieldDefinition("text", "binning as XxY"),
    "detector_gain_setting": _enum("detector_gain_setting", "gain setting"),
    "detector_roi_setting": FieldDefinition("text", "region of interest"),
    "detector_readspeed_setting": _enum("detector_readspeed_setting", "read speed"),
    "detector_welldepth_setting": _enum("detector_welldepth_setting", "well depth"),
    "detector_readmode_setting": FieldDefinition("text", "read mode, blanks as _"),
    "coadds": FieldDefinition("int", "number of coadds", 0, _INT32),
    "spectroscopy": FieldDefinition("bool", "spectroscopic data"),
    "mode": _enum("mode", "imaging or kind of spectroscopy"),
    "adaptive_optics": FieldDefinition("bool", "adaptive optics in use"),
    "laser_guide_star": FieldDefinition("bool", "laser guide star in use"),
    "wavefront_sensor": FieldDefinition("text", "guiding wavefront sensors, joined by &"),
    "gcal_lamp": FieldDefinition("text", "calibration lamp that shone, or Off"),
    "raw_iq": _PERCENTILE,
    "raw_cc": _PERCENTILE,
    "raw_wv": _PERCENTILE,
    "raw_bg": _PERCENTILE,
    "requested_iq": _PERCENTILE,
    "requested_cc": _PERCENTILE,
    "requested_wv": _PERCENTILE,
    "requested_bg": _PERCENTILE,
    "qa_state": _enum("qa_state", "quality assessment"),
    "release": FieldDefinition("date", "end of the proprietary period"),
    "reduction": _enum("reduction", "state of reduction"),
    "site_monitoring": FieldDefinition("bool", "site monitoring data"),
    "types": FieldDefinition("set", "tags, sorted"),
    "phot_standard": FieldDefinition("bool", "true when a photometric standard is in the field"),
    "proprietary_coordinates": FieldDefinition("bool", "coordinates are shown to owners only"),
    "pre_image": FieldDefinition("bool", "image taken for the design of a mask"),
    "numpix": FieldDefinition("int", "pixels of all extensions", 0, 2**63 - 1),
}

#: Fields of the row that tells how processed data were made.
REDUCTION_FIELDS: Final[Mapping[str, FieldDefinition]] = {
    "processing_intent": _enum("processing", "purpose of the reduction"),
    "software_mode": _enum("processing", "mode of the software"),
    "software_used": FieldDefinition("text", "name of the software"),
    "software_version": FieldDefinition("text", "version of the software"),
    "processing_initiated_by": FieldDefinition("text", "who began the reduction"),
    "processing_reviewed_by": FieldDefinition("text", "who reviewed it"),
    "processing_review_outcome": _enum("processing", "what the review found"),
    "processing_level": FieldDefinition("int", "level of processing; 0 is raw", -_INT32, _INT32),
    "processing_tag": FieldDefinition("text", "tag of the reduction"),
}


def checked(name: str, value: Any, fields: Mapping[str, FieldDefinition] = FIELDS) -> Any:
    """Check a value against its field.

    Parameters
    ----------
    name : str
        Name of the field.
    value : object
        The value that a rule gave, or None.
    fields : mapping
        The definitions; by default those of the record.

    Returns
    -------
    object
        The value as it is stored (floats rounded to the decimals of the field), or None.

    Raises
    ------
    RejectedValueError
        If the type is wrong or the value is out of its range or list.
    """
    if value is None:
        return None
    definition = fields[name]
    return _CHECKS[definition.kind](name, definition, value)


def _number(name: str, definition: FieldDefinition, value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedValueError(f"{name} is no number: {value!r}")
    low, high = definition.minimum, definition.maximum
    inside = (low is None or value >= low) and (high is None or value <= high)
    if not inside or (definition.below_maximum and value == high):
        raise RejectedValueError(f"{name} is out of range: {value!r}")
    return value


def _check_int(name: str, definition: FieldDefinition, value: Any) -> int:
    number = _number(name, definition, value)
    if number != int(number):
        raise RejectedValueError(f"{name} is no whole number: {value!r}")
    return int(number)


def _check_float(name: str, definition: FieldDefinition, value: Any) -> float:
    number = float(_number(name, definition, value))
    if definition.decimals is not None:
        number = round(number, definition.decimals)
    if definition.whole_digits is not None and abs(number) >= 10**definition.whole_digits:
        raise RejectedValueError(f"{name} is out of range when rounded: {value!r}")
    return number


def _check_enum(name: str, definition: FieldDefinition, value: Any) -> str:
    if value not in definition.values:
        raise RejectedValueError(f"{name} is not one of its values: {value!r}")
    return str(value)


def _check_set(name: str, _: FieldDefinition, value: Any) -> list[str]:
    return sorted(value)


def _instance(*types: type) -> Callable[[str, FieldDefinition, Any], Any]:
    def check(name: str, _: FieldDefinition, value: Any) -> Any:
        if type(value) not in types:
            raise RejectedValueError(f"{name} has the wrong type: {value!r}")
        return value

    return check


_CHECKS: Final[Mapping[Kind, Callable[[str, FieldDefinition, Any], Any]]] = {
    "text": _instance(str),
    "bool": _instance(bool),
    "int": _check_int,
    "float": _check_float,
    "date": _instance(date),
    "time": _instance(time),
    "datetime": _instance(datetime),
    "enum": _check_enum,
    "set": _check_set,
}
