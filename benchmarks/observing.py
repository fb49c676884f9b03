"""Simulated records of nights with all instruments that have calibration rules: configurations as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

__all__ = ["Frame", "simulate_records"]

_Values = Mapping[str, Any]


@dataclass(frozen=True)
class Frame:
    """One file: its header record and its rows in the instrument's table."""

    record: dict[str, Any]
    table: str | None
    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class _Instrument:
    """How an instrument is used in a night."""

    table: str | None
    #: Files of each kind, for each configuration of a night.
    frames: Mapping[str, int]
    #: Values that one configuration draws from, by column of the table, or of the header.
    row: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    header: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    #: Calibrations of the whole night.
    daily: Mapping[str, int] = field(default_factory=dict)
    configurations: int = 2
    arms: Sequence[str] = ()


#: Nights after which masks of bad pixels are made anew.
_MASK_NIGHTS: Final = 12
_EXPOSURES: Final = (5, 10, 30, 60, 120, 300, 600)
_COMMON: Final[_Values] = {
    "engineering": False,
    "calibration_program": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "observation_class": "science",
    "object": "NGC 628",
    "detector_binning": "1x1",
    "coadds": 1,
    "elevation": 60.0,
    "cass_rotator_pa": 90.0,
    "types": ["GEMINI"],
}


def _processed(kind: str, **more: Any) -> _Values:
    return {
        "observation_type": kind,
        "observation_class": "dayCal",
        "reduction": f"PROCESSED_{kind}",
        "processing": "Science-Quality",
        "object": kind.title(),
        **more,
    }


def _calibration(kind: str, **more: Any) -> _Values:
    return {"observation_type": kind, "observation_class": "dayCal", "object": kind.title(), **more}


_KINDS: Final[Mapping[str, _Values]] = {
    "science": {"observation_type": "OBJECT"},
    "acquisition": {"observation_type": "OBJECT", "observation_class": "acq"},
    "star": {
        "observation_type": "OBJECT",
        "observation_class": "partnerCal",
        "object": "Feige 34",
        "program_id": "GN-CAL20180101",
        "phot_standard": True,
        "types": ["GEMINI", "STANDARD"],
    },
    "twilight": _calibration("OBJECT", object="Twilight"),
    "dome": _calibration("OBJECT", object="Domeflat"),
    "dome_off": _calibration("OBJECT", object="Domeflat OFF"),
    "sky": _calibration("OBJECT", object="Blank sky"),
    "flat": _calibration("FLAT", gcal_lamp="IRhigh", observation_class="partnerCal"),
    "quartz": _calibration("FLAT", gcal_lamp="QHalogen", observation_class="partnerCal"),
    "lamp_off": _calibration("FLAT", gcal_lamp="Off", observation_class="partnerCal"),
    "slit_light": _calibration("FLAT", types=["GEMINI", "SLITILLUM"]),
    "arc": _calibration("ARC"),
    "bias": _calibration("BIAS"),
    "dark": _calibration("DARK"),
    "pinhole": _calibration("PINHOLE"),
    "ronchi": _calibration("RONCHI"),
    "reduced_bias": _processed("BIAS"),
    "reduced_flat": _processed("FLAT", gcal_lamp="IRhigh"),
    "reduced_arc": _processed("ARC"),
    "bad_pixels": _processed("BPM"),
}

_GMOS_ROW: Final = {
    "read_speed_setting": ("slow", "slow", "fast"),
    "gain_setting": ("low",),
    "detector_x_bin": (1, 2, 2),
    "detector_y_bin": (1, 2, 2),
    "array_name": ("CCD1,CCD2,CCD3",),
    "amp_read_area": ("CCD1'HM', CCD2'HM', CCD3'HM'",),
}
_GMOS_DAILY: Final = {"bias": 15, "reduced_bias": 1, "bad_pixels": 1}
_GMOS_IMAGING: Final = _Instrument(
    "gmos",
    {"science": 10, "twilight": 4, "star": 2, "acquisition": 2, "reduced_flat": 1},
    row={
        **_GMOS_ROW,
        "filter_name": ("g_G0301", "r_G0303", "i_G0302", "z_G0304"),
        "disperser": ("MIRROR",),
        "focal_plane_mask": ("Imaging",),
    },
    header={"spectroscopy": (False,), "detector_roi_setting": ("Full Frame",), "exposure_time": _EXPOSURES},
    daily=_GMOS_DAILY,
)
_GMOS_SPECTRA: Final = _Instrument(
    "gmos",
    {"science": 8, "flat": 3, "arc": 2, "star": 1, "slit_light": 1, "acquisition": 2, "reduced_arc": 1},
    row={
        **_GMOS_ROW,
        "filter_name": ("open1-6&open2-8", "GG455_G0305&open2-8"),
        "disperser": ("B600+_G5307", "R400+_G5305", "R831+_G5302", "B480+_G5309"),
        "focal_plane_mask": ("0.75arcsec", "1.0arcsec", "IFU-2", "5.0arcsec"),
    },
    header={
        "spectroscopy": (True,),
        "types": (["GEMINI", "LS", "SPECT"], ["GEMINI", "SPECT"]),
        "detector_roi_setting": ("Full Frame", "Central Spectrum"),
        "central_wavelength": (0.455, 0.52, 0.6, 0.66, 0.705, 0.76, 0.82),
        "elevation": (42.0, 51.0, 63.0, 77.0),
        "cass_rotator_pa": (10.0, 90.0, 175.0, 271.0),
        "exposure_time": _EXPOSURES,
    },
    daily=_GMOS_DAILY,
    configurations=3,
)

_INSTRUMENTS: Final[Sequence[tuple[str, _Instrument]]] = (
    ("GMOS-N", _GMOS_IMAGING),
    ("GMOS-N", _GMOS_SPECTRA),
    ("GMOS-S", _GMOS_IMAGING),
    ("GMOS-S", _GMOS_SPECTRA),
    (
        "GNIRS",
        _Instrument(
            "gnirs",
            {"science": 8, "star": 4, "flat": 4, "quartz": 3, "arc": 1, "pinhole": 1, "lamp_off": 2},
            row={
                "disperser": ("32/mm&SXD", "111/mm_G5534", "10/mm"),
                "camera": ("ShortBlue_G5540", "LongBlue_G5542"),
                "filter_name": ("XD", "K_G0503", "H_G0504"),
                "array_name": ("HRNIRS",),
                "read_mode": ("Faint", "Bright"),
                "well_depth_setting": ("Shallow", "Deep"),
                "focal_plane_mask": ("0.3arcsec&SCXD", "0.45arcsec&LC"),
            },
            header={
                "spectroscopy": (True, True, False),
                "central_wavelength": (1.25, 1.65, 2.2, 3.5),
                "exposure_time": _EXPOSURES,
            },
            daily={"dark": 6, "bad_pixels": 1},
        ),
    ),
    (
        "NIRI",
        _Instrument(
            "niri",
            {"science": 10, "flat": 5, "lamp_off": 5, "dark": 5, "star": 3, "reduced_flat": 1},
            row={
                "disperser": ("none",),
                "filter_name": ("J_G0202", "H_G0203", "K_G0204", "Kprime_G0206"),
                "camera": ("f6", "f14", "f32"),
                "focal_plane_mask": ("f6-cam_G5208",),
                "data_section": ("[0, 1024, 0, 1024]", "[256, 768, 256, 768]"),
                "read_mode": ("Low Background", "High Background"),
                "well_depth_setting": ("Shallow",),
            },
            header={"spectroscopy": (False,), "exposure_time": _EXPOSURES, "coadds": (1, 4)},
            daily={"bad_pixels": 1},
        ),
    ),
    (
        "F2",
        _Instrument(
            "f2",
            {"science": 8, "flat": 3, "arc": 1, "star": 4, "dark": 5, "reduced_flat": 1},
            row={
                "disperser": ("R3K_G5802", "JH_G5801", "Open"),
                "filter_name": ("JH_G0809", "K-long_G0812", "J_G0802"),
                "lyot_stop": ("f/16_G5830",),
                "read_mode": ("1", "4"),
                "focal_plane_mask": ("2-pix-slit", "4-pix-slit", "Open"),
            },
            header={
                "spectroscopy": (True, False),
                "central_wavelength": (1.39, 2.2, 1.25),
                "exposure_time": _EXPOSURES,
            },
            daily={"bad_pixels": 1},
        ),
    ),
    (
        "NIFS",
        _Instrument(
            "nifs",
            {"science": 8, "star": 4, "flat": 3, "lamp_off": 3, "arc": 1, "ronchi": 1, "dark": 3},
            row={
                "disperser": ("K_G5605", "H_G5604", "J_G5603"),
                "filter_name": ("HK_G0602", "ZJ_G0601"),
                "read_mode": ("Faint Object", "Bright Object"),
                "focal_plane_mask": ("3.0_Mask_G5610",),
            },
            header={
                "spectroscopy": (True,),
                "central_wavelength": (1.25, 1.65, 2.2),
                "exposure_time": _EXPOSURES,
            },
            daily={"bad_pixels": 1},
            configurations=1,
        ),
    ),
    (
        "GSAOI",
        _Instrument(
            "gsaoi",
            {"science": 10, "dome": 5, "dome_off": 5, "star": 2, "reduced_flat": 1},
            row={"filter_name": ("J_G1102", "H_G1103", "Kshort_G1105"), "read_mode": ("Bright Objects",)},
            header={"spectroscopy": (False,), "exposure_time": _EXPOSURES},
            daily={"bad_pixels": 1},
            configurations=1,
        ),
    ),
    (
        "GPI",
        _Instrument(
            "gpi",
            {"science": 10, "arc": 2, "star": 2, "dark": 3},
            row={
                "disperser": ("DISP_PRISM_G6262", "DISP_WOLLASTON_G6261"),
                "filter_name": ("IFSFILT_H_G1213", "IFSFILT_K1_G1214", "IFSFILT_J_G1212"),
                "focal_plane_mask": ("FPM_H_G6225",),
                "astrometric_standard": (False, False, False, True),
                "wollaston": (False,),
            },
            header={"spectroscopy": (True,), "exposure_time": _EXPOSURES},
            daily={"bad_pixels": 1},
            configurations=1,
        ),
    ),
    (
        "GHOST",
        _Instrument(
            "ghost",
            {"science": 6, "flat": 2, "arc": 2, "star": 1, "bias": 5, "reduced_flat": 1},
            row={
                "detector_x_bin": (1, 2),
                "detector_y_bin": (1, 2, 4),
                "gain_setting": ("low",),
                "read_speed_setting": ("slow", "medium"),
                "focal_plane_mask": ("SR", "HR"),
            },
            header={"spectroscopy": (True,), "exposure_time": _EXPOSURES},
            daily={"bad_pixels": 1},
            configurations=1,
            arms=("blue", "red", "slitv"),
        ),
    ),
    (
        "IGRINS-2",
        _Instrument(
            None,
            {"science": 8, "flat": 6, "sky": 2, "star": 4},
            header={"spectroscopy": (True,), "exposure_time": _EXPOSURES},
            daily={"bad_pixels": 1},
            configurations=1,
        ),
    ),
    (
        "NICI",
        _Instrument(
            "nici",
            {"science": 8, "flat": 4, "lamp_off": 4, "dark": 4},
            row={
                "filter_name": ("CH4-H4%L_G0740&CH4-H4%S_G0743", "Ks_G0718&H_G0715"),
                "focal_plane_mask": ("0.32arcsec_G5725",),
                "disperser": ("CH4_G5705", "H_G5701"),
            },
            header={"spectroscopy": (False,), "exposure_time": _EXPOSURES},
            daily={"bad_pixels": 1},
            configurations=1,
        ),
    ),
    (
        "michelle",
        _Instrument(
            "michelle",
            {"science": 8, "flat": 2, "dark": 3},
            row={
                "disperser": ("LowN", "MIRROR"),
                "filter_name": ("Np", "Si-2", "Qa"),
                "read_mode": ("chop-nod", "nod"),
                "focal_plane_mask": ("2_pixel", "Imaging"),
            },
            header={"spectroscopy": (True, False), "exposure_time": _EXPOSURES, "coadds": (1, 10)},
            daily={"bad_pixels": 1},
            configurations=1,
        ),
    ),
)


def simulate_records(first: datetime, *, nights: int, files: int, seed: int = 1) -> Iterator[Frame]:
    """Simulate the records of nights in a row, in order of time.

    Parameters
    ----------
    first
        Midnight before the first night, UTC.
    files
        Files of a night; all instruments take part, each with its usual share.
    """
    random = Random(seed)
    epoch = datetime(2000, 1, 1, tzinfo=first.tzinfo)
    for night in range(nights):
        taken: list[tuple[timedelta, Frame]] = []
        while len(taken) < files:
            for name, instrument in _INSTRUMENTS:
                frames = list(_night(name, instrument, random, with_masks=night % _MASK_NIGHTS == 0))
                # ten hours, each exposure a little after the one before
                step = timedelta(hours=10) / len(frames)
                start = timedelta(hours=4, seconds=random.randrange(60))
                taken += [(start + place * step, frame) for place, frame in enumerate(frames)]
        kept = sorted(random.sample(taken, files), key=lambda each: each[0])
        for place, (moment, frame) in enumerate(kept):
            ut = first + timedelta(days=night) + moment
            yield Frame(
                {
                    **frame.record,
                    "ut_datetime": ut,
                    "ut_datetime_secs": int((ut - epoch).total_seconds()),
                    "observation_id": f"GN-2018A-Q-{night}-{place // 8}",
                },
                frame.table,
                frame.rows,
            )


def _night(name: str, instrument: _Instrument, random: Random, *, with_masks: bool) -> Iterator[Frame]:
    for number in range(instrument.configurations):
        row = {column: random.choice(values) for column, values in instrument.row.items()}
        header = {column: random.choice(values) for column, values in instrument.header.items()}
        counts = instrument.frames if number else {**instrument.daily, **instrument.frames}
        for kind, count in counts.items():
            for _ in range(count if with_masks or kind != "bad_pixels" else 0):
                yield _frame(name, instrument, kind, header, row)


def _frame(name: str, instrument: _Instrument, kind: str, header: _Values, row: _Values) -> Frame:
    record = {**_COMMON, **header, "instrument": name}
    kind_values = _KINDS[kind]
    record |= {key: value for key, value in kind_values.items() if key != "types"}
    record["types"] = sorted({*record["types"], *kind_values.get("types", ())})
    arms = [{"arm": arm} for arm in instrument.arms] or [{}]
    if "focal_plane_mask" in row:
        record["focal_plane_mask"] = row["focal_plane_mask"]
    return Frame(record, instrument.table, [{**row, **arm} for arm in arms] if instrument.table else [])
