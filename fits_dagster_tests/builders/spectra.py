"""Spectra of GNIRS and GMOS, and what may calibrate them, as records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "ARC",
    "FLAT",
    "GMOS_BIAS",
    "GMOS_ROW",
    "GMOS_STAR",
    "KINDS",
    "MASK",
    "PINHOLE",
    "RECORD",
    "REDUCED_FLAT",
    "ROW",
    "SCIENCE",
    "SHIFTED",
    "SPECTRUM",
    "STANDARD",
    "UT",
    "arrive",
    "targets",
]

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "instrument": "GNIRS",
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "spectroscopy": True,
    "observation_class": "science",
    "central_wavelength": "1.65",
    "detector_binning": "1x1",
    "exposure_time": "30",
    "types": ["SPECT"],
}
ROW: dict[str, Any] = {
    "disperser": "32/mm&SXD",
    "camera": "ShortBlue",
    "filter_name": "XD",
    "array_name": "a",
    "well_depth_setting": "Shallow",
    "focal_plane_mask": "0.3&SCXD",
}
SCIENCE = {"observation_type": "OBJECT"}
STANDARD = {"observation_type": "OBJECT", "observation_class": "partnerCal"}
PINHOLE = {"observation_type": "PINHOLE"}
MASK = {"observation_type": "BPM", "reduction": "PROCESSED_BPM"}
FLAT = {"observation_type": "FLAT", "gcal_lamp": "IRhigh"}
QUARTZ = {"observation_type": "FLAT", "gcal_lamp": "QH"}
REDUCED_FLAT = {"observation_type": "FLAT", "reduction": "PROCESSED_FLAT"}
ARC = {"observation_type": "ARC"}
KINDS = [SCIENCE, STANDARD, PINHOLE, MASK, FLAT, QUARTZ, REDUCED_FLAT, ARC]


SPECTRUM: dict[str, Any] = RECORD | {
    "instrument": "GMOS-N",
    "detector_roi_setting": "Full Frame",
    "central_wavelength": "0.600",
    "elevation": "70",
    "types": ["SPECT", "LS"],
}
GMOS_ROW: dict[str, Any] = {
    "disperser": "R400_G5305",
    "filter_name": "open",
    "focal_plane_mask": "1.0arcsec",
    "array_name": "CCD1",
    "amp_read_area": "a",
    "detector_x_bin": 1,
    "detector_y_bin": 1,
}
GMOS_STAR = STANDARD | {"types": ["SPECT", "LS", "STANDARD"], "object": "Feige 34"}
GMOS_BIAS = {"observation_type": "BIAS"}
SHIFTED = {"central_wavelength": "0.607"}


def arrive(archive: Any, name: str, days: float, *changes: dict[str, Any], camera: str = "ShortBlue") -> Any:
    """Let a file of GNIRS come so many days after `UT`; returns its header and the work that follows."""
    record = RECORD | {"ut_datetime": UT + timedelta(days=days)}
    for change in changes:
        record = record | change
    return archive.arrive(name, record, "gnirs", [ROW | {"camera": camera}])


def targets(work: list[Any]) -> set[str]:
    """Names of those that are to be associated again."""
    assert {item.stage for item in work} <= {"associate"}
    return {item.filename for item in work}
