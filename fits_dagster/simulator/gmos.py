"""GMOS: three chips of four amplifiers, one extension an amplifier.

Source: Gemini header conventions of the Hamamatsu detectors: amplifiers are 512 unbinned columns, numbered
4 to 1 on each chip; their overscan of 32 columns is to the right (4, 2) or to the left (3, 1) of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fits_dagster.simulator.cards import Card, Value, fill
from fits_dagster.simulator.facility import modified_julian_date, wcs_cards
from fits_dagster.simulator.frames import PlannedFrame
from fits_dagster.simulator.scenes import encode, expose, make_scene, overscan

__all__ = ["Amplifier", "amplifiers", "gmos_cards", "gmos_extensions", "gmos_layout"]

AMPLIFIER_COLUMNS = 512
OVERSCAN_COLUMNS = 32
DETECTOR = (4224, 6144)
#: unbinned (first row, end row, first column, end column), zero based, end not included
REGIONS = {
    "Full Frame": (0, 4224, 0, 6144),
    "Central Spectrum": (1624, 2648, 0, 6144),
    "Half Height": (1056, 3168, 0, 6144),
    "CCD2": (0, 4224, 2048, 4096),
}
CHIPS = {
    "GMOS-N": ("BI13-20-4k-1", "BI12-09-4k-2", "BI13-18-4k-2"),
    "GMOS-S": ("BI5-36-4k-2", "BI11-33-4k-1", "BI12-34-4k-1"),
}
GAINS = {
    "GMOS-N": (1.66, 1.63, 1.62, 1.57, 1.68, 1.65, 1.64, 1.68, 1.61, 1.63, 1.58, 1.65),
    "GMOS-S": (1.83, 1.79, 1.78, 1.83, 1.80, 1.85, 1.83, 1.82, 1.86, 1.83, 1.80, 1.78),
}
BIAS_LEVELS = (3268, 3247, 3195, 3200, 3163, 3201, 3138, 3244, 3240, 3177, 3220, 3157)
READ_NOISE = 3.98
NOMINAL_GAIN = 1.7
SCALE = {"GMOS-N": 0.0807, "GMOS-S": 0.08}
WELL_KNOWN = {
    "GMOS-N": {"DETECTOR": "GMOS-N + Hamamatsu", "DETTYPE": "S10892-N", "DETID": ",".join(CHIPS["GMOS-N"])},
    "GMOS-S": {"DETECTOR": "GMOS + Hamamatsu_new", "DETTYPE": "S10892", "DETID": ",".join(CHIPS["GMOS-S"])},
}

PRIMARY: tuple[Card, ...] = (
    ("INPORT", 5, "Number of ISS port where GMOS was located"),
    ("CONID", "ARC-III", "Detector controller ID"),
    ("DETECTOR", "", "Detector name"),
    ("DETTYPE", "", "Detector array type"),
    ("DETID", "", "Chip IDs"),
    ("DETSIZE", "[1:6144,1:4224]", "Detector size"),
    ("NCCDS", 3, "Number of CCD chips"),
    ("NAMPS", 4, "Number of amplifiers"),
    ("SHUTTER", "OPEN", "Shutter state during observation"),
    ("AMPINTEG", 11880, "Amplifier integration time"),
    ("NSUBEXP", 1, "Number of sub exposures"),
    ("MASKID", -99, "Mask/IFU barcode"),
    ("MASKNAME", "None", "Mask name"),
    ("MASKTYP", 0, "Mask/IFU type (0=none/-1=IFU/1=mask)"),
    ("MASKLOC", 1, "Mask/IFU location (-1=unknown/0=FP/1=cassette)"),
    ("FILTER1", "open1-6", "Filter 1 name"),
    ("FILTER2", "open2-8", "Filter 2 name"),
    ("GRATING", "MIRROR", "Grating name"),
    ("GRWLEN", 0.0, "Grating wavelength at slit (nm)"),
    ("CENTWAVE", 0.0, "Central wavelength (nm)"),
    ("GRORDER", 0, "Grating order"),
    ("DTMODE", "FOLLOW", "Detector translation stage mode"),
    ("DETNROI", 1, "No. regions of interest"),
    ("DETRO1X", 1, "ROI 1 X start"),
    ("DETRO1XS", 0, "ROI 1 X size"),
    ("DETRO1Y", 1, "ROI 1 Y start"),
    ("DETRO1YS", 0, "ROI 1 Y size"),
)


@dataclass(frozen=True)
class Amplifier:
    """One amplifier's part of the detector (zero based, binned pixels) and its place in the extension."""

    index: int
    rows: slice
    columns: slice
    unbinned: tuple[int, int, int, int]
    overscan_left: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the extension, overscan included."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start + OVERSCAN_COLUMNS


def amplifiers(region: tuple[int, int, int, int], xbin: int, ybin: int) -> list[Amplifier]:
    """Amplifiers that read a region of the detector, in order of their columns."""
    y0, y1, x0, x1 = region
    rows = slice(y0 // ybin, y1 // ybin)
    return [
        Amplifier(
            index=first // AMPLIFIER_COLUMNS,
            rows=rows,
            columns=slice(first // xbin, (first + AMPLIFIER_COLUMNS) // xbin),
            unbinned=(y0, y1, first, first + AMPLIFIER_COLUMNS),
            overscan_left=first // AMPLIFIER_COLUMNS % 2 == 1,
        )
        for first in range(x0, x1, AMPLIFIER_COLUMNS)
    ]


def gmos_layout(setup: Mapping[str, Value]) -> tuple[tuple[int, int, int, int], int, int]:
    """Region and binning of a configuration, from its pseudo keywords ``roi``, ``xbin``, ``ybin``."""
    return REGIONS[str(setup["roi"])], int(setup["xbin"]), int(setup["ybin"])


def gmos_cards(frame: PlannedFrame) -> list[Card]:
    """Primary cards of the instrument."""
    (y0, y1, x0, x1), xbin, ybin = gmos_layout(frame.setup)
    values: dict[str, Value] = {
        **WELL_KNOWN[frame.instrument],
        "SHUTTER": "CLOSED" if frame.kind in ("bias", "dark") else "OPEN",
        "DETRO1X": x0 + 1,
        "DETRO1XS": (x1 - x0) // xbin,
        "DETRO1Y": y0 + 1,
        "DETRO1YS": (y1 - y0) // ybin,
    }
    return fill(PRIMARY, values)


def gmos_extensions(frame: PlannedFrame, rng: np.random.Generator) -> Iterator[tuple[list[Card], bytes]]:
    """Header cards and data unit of each amplifier."""
    region, xbin, ybin = gmos_layout(frame.setup)
    scene = make_scene(frame.kind, frame.mode, (DETECTOR[0] // ybin, DETECTOR[1] // xbin), frame.object)
    scene.read_noise = READ_NOISE
    for number, amplifier in enumerate(amplifiers(region, xbin, ybin), start=1):
        bias, gain = float(BIAS_LEVELS[amplifier.index]), GAINS[frame.instrument][amplifier.index]
        part = amplifier.columns, amplifier.rows
        counts = expose(scene, rng, *part, bias=bias, gain=gain, response=NOMINAL_GAIN / gain)
        strip = overscan(rng, (counts.shape[0], OVERSCAN_COLUMNS), bias, READ_NOISE)
        sides = (strip, counts) if amplifier.overscan_left else (counts, strip)
        yield _amplifier_cards(frame, amplifier, number, xbin, ybin), encode(np.hstack(sides), 16)


def _amplifier_cards(
    frame: PlannedFrame, amplifier: Amplifier, number: int, xbin: int, ybin: int
) -> list[Card]:
    rows, columns = amplifier.shape
    data = columns - OVERSCAN_COLUMNS
    first = OVERSCAN_COLUMNS if amplifier.overscan_left else 0
    strip = 0 if amplifier.overscan_left else data
    y0, y1, x0, x1 = amplifier.unbinned
    chip, on_chip = divmod(amplifier.index, 4)
    chip_name = CHIPS[frame.instrument][chip]
    reference = ((DETECTOR[1] / 2 - x0) / xbin + first + 0.5, (DETECTOR[0] / 2 - y0) / ybin + 0.5)
    return [
        ("XTENSION", "IMAGE", "IMAGE extension"),
        ("BITPIX", 16, "number of bits per data pixel"),
        ("NAXIS", 2, "number of data axes"),
        ("NAXIS1", columns, "length of data axis 1"),
        ("NAXIS2", rows, "length of data axis 2"),
        ("PCOUNT", 0, "required keyword; must = 0"),
        ("GCOUNT", 1, "required keyword; must = 1"),
        ("BZERO", 32768, "offset data range to that of unsigned short"),
        ("BSCALE", 1, "default scaling factor"),
        ("EXTNAME", "SCI", "Name of the extension"),
        ("EXTVER", number, "Version of the extension"),
        ("INHERIT", False, "inherit the primary header"),
        *wcs_cards(frame, SCALE[frame.instrument] * xbin, reference, angle=180.0),
        ("MJD-OBS", modified_julian_date(frame), "MJD of start of observation"),
        ("CCDNAME", chip_name, "CCD chip name(s)"),
        ("AMPNAME", f"{chip_name}, {4 - on_chip}", "Amplifier name(s)"),
        ("GAIN", GAINS[frame.instrument][amplifier.index], "Amplifier gain"),
        ("RDNOISE", READ_NOISE, "Readout noise"),
        ("CCDSIZE", "[1:2048,1:4224]", "CCD chip size"),
        ("CCDSUM", f"{xbin} {ybin}", "CCD sum"),
        ("CCDSEC", f"[{x0 % 2048 + 1}:{(x1 - 1) % 2048 + 1},{y0 + 1}:{y1}]", "CCD section(s)"),
        ("DETSEC", f"[{x0 + 1}:{x1},{y0 + 1}:{y1}]", "Detector section(s)"),
        ("DATASEC", f"[{first + 1}:{first + data},1:{rows}]", "Data section(s)"),
        ("BIASSEC", f"[{strip + 1}:{strip + OVERSCAN_COLUMNS},1:{rows}]", "Bias section(s)"),
        ("FRMNAME", f"FRAME-0 ROI-0, AMP-{amplifier.index}", "Frame name"),
        ("FRAMEID", str(number - 1), "Frame Id"),
        ("DATATYP", "", "Type of data frame"),
    ]
