"""Primary header cards that every Gemini facility instrument writes.

Source: Gemini header conventions: observation identifiers, telescope, guiding, conditions, environment,
calibration unit. The instrument's own cards follow them.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import cos, radians, sin

from fits_dagster.simulator.cards import Card
from fits_dagster.simulator.frames import PlannedFrame
from fits_dagster.simulator.sky import julian_date, point

__all__ = ["clock", "facility_cards", "modified_julian_date", "reference_point", "release_date", "wcs_cards"]

PROPRIETARY_MONTHS = 12
PARKED = "AZEL_TOPO"
PROBES = ("PWFS1", "PWFS2", "OIWFS", "AOWFS")


def clock(frame: PlannedFrame, seconds: float = 0.0) -> str:
    """UTC time of day, `seconds` after the start, to a tenth of a second."""
    moment = frame.ut + timedelta(seconds=seconds)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100000}"


def modified_julian_date(frame: PlannedFrame) -> float:
    """MJD of the start of the exposure."""
    return round(julian_date(frame.ut) - 2400000.5, 8)


def release_date(frame: PlannedFrame) -> str:
    """End of the proprietary period: a year for science, at once for calibrations."""
    day = date.fromisoformat(f"{frame.ut:%Y-%m-%d}")
    if frame.obsclass not in ("science", "acq", "progCal"):
        return day.isoformat()
    year, month = divmod(day.year * 12 + day.month - 1 + PROPRIETARY_MONTHS, 12)
    return date(year, month + 1, min(day.day, 28)).isoformat()


def reference_point(frame: PlannedFrame) -> tuple[float, float]:
    """RA and Dec of the pointing, degrees; the zenith where the telescope is parked."""
    if frame.target is not None:
        return frame.target.ra, frame.target.dec
    pointing = point(frame.site, frame.ut, None)
    return round(pointing.sidereal_time * 15.0, 6), frame.site.latitude


def wcs_cards(
    frame: PlannedFrame,
    scale: float,
    reference: tuple[float, float],
    angle: float = 0.0,
    frame_card: str = "RADECSYS",
) -> list[Card]:
    """Tangent plane about the pointing.

    Parameters
    ----------
    frame : PlannedFrame
    scale : float
        Arc seconds a pixel (binned).
    reference : (float, float)
        Pixel (x, y; one based) of the pointing.
    angle : float
        Position angle of the columns, degrees.
    frame_card : str
        The keyword that says FK5; NIRI writes ``FRAME``.
    """
    ra, dec = reference_point(frame)
    step, turn = scale / 3600.0, radians(angle)
    return [
        ("CTYPE1", "RA---TAN", "R.A. in tangent plane projection"),
        ("CRPIX1", float(reference[0]), "Ref pix of axis 1"),
        ("CRVAL1", float(ra), "RA at Ref pix in decimal degrees"),
        ("CTYPE2", "DEC--TAN", "DEC. in tangent plane projection"),
        ("CRPIX2", float(reference[1]), "Ref pix of axis 2"),
        ("CRVAL2", float(dec), "DEC at Ref pix in decimal degrees"),
        ("CD1_1", float(f"{-step * cos(turn):.12g}"), "WCS matrix element 1 1"),
        ("CD1_2", float(f"{step * sin(turn):.12g}"), "WCS matrix element 1 2"),
        ("CD2_1", float(f"{step * sin(turn):.12g}"), "WCS matrix element 2 1"),
        ("CD2_2", float(f"{step * cos(turn):.12g}"), "WCS matrix element 2 2"),
        (frame_card, "FK5", "R.A./DEC. coordinate system reference"),
    ]


def facility_cards(frame: PlannedFrame) -> list[Card]:
    """Cards from SIMPLE to the calibration unit and the release date."""
    return [
        *_identity(frame),
        *_pointing(frame),
        *_conditions(frame),
        *_calibration_unit(frame),
        *_closing(frame),
    ]


def _identity(frame: PlannedFrame) -> list[Card]:
    telescope = frame.site.telescope
    observer = "K. Nakoa" if frame.site.letter == "N" else "C. Rojas"
    return [
        ("SIMPLE", True, "file does conform to FITS standard"),
        ("BITPIX", 16, "number of bits per data pixel"),
        ("NAXIS", 0, "number of data axes"),
        ("EXTEND", True, "FITS dataset may contain extensions"),
        ("COMMENT", "Simulated frame, not an observation", ""),
        ("INSTRUME", frame.instrument, "Instrument used to acquire data"),
        ("OBJECT", frame.object, "Object Name"),
        ("OBSTYPE", frame.obstype, "Observation type"),
        ("OBSCLASS", frame.obsclass, "Observe class"),
        ("GEMPRGID", frame.program_id, "Gemini programme ID"),
        ("OBSID", frame.observation_id, "Observation ID / Data label"),
        ("DATALAB", frame.data_label, "DHS data label"),
        ("OBSERVER", observer, "Observer"),
        ("OBSERVAT", telescope, "Name of telescope (Gemini-North|Gemini-South)"),
        ("TELESCOP", telescope, "Name of telescope"),
        ("ORIGNAME", frame.filename, "Original filename prior to processing"),
        ("SSA", "ssa", "SSA"),
    ]


def _pointing(frame: PlannedFrame) -> list[Card]:
    where = point(frame.site, frame.ut, frame.target)
    on_sky = frame.target is not None
    ra, dec = reference_point(frame)
    local = frame.ut + frame.site.local_offset(frame.ut.date())
    guiding = on_sky and frame.kind in ("science", "standard") and frame.lamp is None
    probe = _guide_probe(frame) if guiding else None
    probes = [(f"{name}_ST", "guiding" if name == probe else "parked") for name in PROBES]
    return [
        ("PARALLAX", 0.0, "Parallax of Target"),
        ("RADVEL", 0.0, "Heliocentric Radial Velocity"),
        ("EPOCH", 2000.0, "Epoch for Target coordinates"),
        ("EQUINOX", 2000.0, "Equinox of coordinate system"),
        ("TRKEQUIN", 2000.0, "Tracking equinox"),
        ("RA", float(ra), "Right Ascension"),
        ("DEC", float(dec), "Declination of Target"),
        ("ELEVATIO", round(where.elevation, 8), "Current Elevation"),
        ("AZIMUTH", round(where.azimuth, 8), "Current Azimuth"),
        ("CRPA", round(where.rotator, 8), "Current Cass Rotator Position Angle"),
        ("HA", _sexagesimal(where.hour_angle, sign=True), "Telescope hour angle"),
        ("LT", f"{local:%H:%M:%S}.{local.microsecond // 100000}", "Local time at start of observation"),
        ("TRKFRAME", "FK5" if on_sky else PARKED, "Tracking co-ordinate"),
        ("DECTRACK", 0.0, "Differential tracking rate Dec"),
        ("TRKEPOCH", modified_julian_date(frame), "Differential tracking reference epoch"),
        ("RATRACK", 0.0, "Differential tracking rate RA"),
        ("FRAME", "FK5" if on_sky else PARKED, "Target coordinate system"),
        ("PMDEC", 0.0, "Proper Motion in Declination"),
        ("PMRA", 0.0, "Proper Motion in RA"),
        ("WAVELENG", 6500.0, "Effective Target Wavelength"),
        ("UT", clock(frame), "UT at observation start"),
        ("DATE", f"{frame.ut:%Y-%m-%d}", "UT Date of observation (YYYY-MM-DD)"),
        ("ST", _sexagesimal(where.sidereal_time), "Sidereal time at the start of the exposure"),
        ("XOFFSET", 0.0, "Telescope offset in x in arcsec"),
        ("YOFFSET", 0.0, "Telescope offset in y in arcsec"),
        ("POFFSET", 0.0, "Telescope offset in p in arcsec"),
        ("QOFFSET", 0.0, "Telescope offset in q in arcsec"),
        ("RAOFFSET", 0.0, "Telescope offset in RA in arcsec"),
        ("DECOFFSE", 0.0, "Telescope offset in DEC in arcsec"),
        ("RATRGOFF", 0.0, "Target offset in RA in arcsec"),
        ("DECTRGOF", 0.0, "Target offset in DEC in arcsec"),
        ("PA", 0.0, "Sky Position Angle at start of exposure"),
        ("IAA", 359.87, "Instrument Alignment Angle"),
        ("SFTILT", 44.97, "Science fold tilt angle (degrees)"),
        ("AOFOLD", "IN" if probe == "AOWFS" else "park-pos.", "AO Pick-Off Mirror Position"),
        *((keyword, state, "probe state (frozen,guiding,parked)") for keyword, state in probes),
    ]


def _guide_probe(frame: PlannedFrame) -> str:
    probes = {"GMOS-N": "OIWFS", "GMOS-S": "OIWFS", "NIFS": "AOWFS", "F2": "PWFS2", "GSAOI": "PWFS1"}
    return probes.get(frame.instrument, "PWFS2")


def _conditions(frame: PlannedFrame) -> list[Card]:
    on_sky = frame.target is not None
    science = frame.obsclass == "science"
    choice = frame.seq % 3
    wanted = ("20-percentile", "70-percentile", "85-percentile")[choice] if science else "Any"
    reached = ("70-percentile", "70-percentile", "85-percentile")[choice] if on_sky else "UNKNOWN"
    return [
        ("RAWIQ", reached, "Raw Image Quality"),
        ("RAWCC", "50-percentile" if on_sky else "UNKNOWN", "Raw Cloud Cover"),
        ("RAWWV", "80-percentile" if on_sky else "UNKNOWN", "Raw Water Vapour/Transparency"),
        ("RAWBG", "Any" if on_sky else "UNKNOWN", "Raw Background"),
        ("RAWPIREQ", "UNKNOWN", "PI Requirements Met"),
        ("RAWGEMQA", "UNKNOWN", "Gemini Quality Assessment"),
        ("SCIBAND", 1 + choice if science else -9999, "Science Ranking Band"),
        ("REQIQ", wanted, "Requested Image Quality"),
        ("REQCC", "70-percentile" if science else "Any", "Requested Cloud Cover"),
        ("REQBG", "80-percentile" if science else "Any", "Requested Background"),
        ("REQWV", "Any", "Requested Water Vapour"),
        ("NUMREQTW", 0, "Number of Requested Timing Window REQTW entries"),
        ("CGUIDMOD", "Basic", "Driving mode for carousel"),
        ("M2BAFFLE", "VISIBLE", "Position of M2 baffle"),
        ("M2CENBAF", "OPEN", "Position of M2 central hole baffle"),
        ("HUMIDITY", 12.0 + frame.seq % 20, "The Relative Humidity (fraction, 0..101)."),
        ("TAMBIENT", round(4.0 + (frame.seq % 7) / 10, 1), "The ambient temp (C)."),
        ("PRESSUR2", 61700.0 if frame.site.letter == "N" else 72800.0, "The atmospheric pressure (Pa)."),
        ("DEWPOINT", -15.0, "The dew point (C)."),
        ("WINDSPEE", round(3.0 + (frame.seq % 11) / 2, 1), "The wind speed (m/s)."),
        ("WINDDIRE", 298.0, "The wind direction (degrees)."),
    ]


def _calibration_unit(frame: PlannedFrame) -> list[Card]:
    if frame.lamp is None:
        return []
    return [
        ("GCALLAMP", frame.lamp, "GCAL Lamp name"),
        ("GCALFILT", "ND4-5" if frame.lamp == "IRhigh" else "CLEAR", "GCAL Filter name"),
        ("GCALDIFF", "IR" if frame.lamp in ("IRhigh", "Ar") else "visible", "GCAL Diffuser name"),
        ("GCALSHUT", frame.shutter, "GCAL Shutter (OPEN or CLOSED)"),
    ]


def _closing(frame: PlannedFrame) -> list[Card]:
    start = point(frame.site, frame.ut, frame.target).airmass
    end = point(frame.site, frame.ut + timedelta(seconds=frame.exposure), frame.target).airmass
    return [
        ("PREIMAGE", False, "MOS pre-imaging"),
        ("DATE-OBS", f"{frame.ut:%Y-%m-%d}", "UT Date of observation (YYYY-MM-DD)"),
        ("TIME-OBS", clock(frame), "Time of observation"),
        ("UTSTART", clock(frame), "UT at observation start"),
        ("UTEND", clock(frame, frame.exposure), "UT at observation end"),
        ("TIMESYS", "UTC", "Time system used"),
        ("EXPTIME", float(frame.exposure), "Exposure time in seconds"),
        ("COADDS", 1, "Number of coadds summed"),
        ("AIRMASS", round((start + end) / 2, 4), "Mean airmass for the observation"),
        ("AMSTART", round(start, 4), "Airmass at start of exposure"),
        ("AMEND", round(end, 4), "Airmass at end of exposure"),
        ("PROP_MD", False, "Proprietary Metadata"),
        ("RELEASE", release_date(frame), "End of proprietary period YYYY-MM-DD"),
    ]


def _sexagesimal(hours: float, sign: bool = False) -> str:
    total = round(abs(hours) * 36000)
    text = f"{total // 36000:02d}:{total // 600 % 60:02d}:{total // 10 % 60:02d}.{total % 10}"
    if not sign:
        return text
    return ("-" if hours < 0 else "+") + text
