"""Files to measure with: simulated frames of true size, and headers of a GHOST bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fits_dagster.fits.hdu import BLOCK, HDU, padded
from fits_dagster.simulator import PlannedFrame, frame_bytes, plan_night
from fits_dagster.simulator.cards import Card, format_card
from fits_dagster.simulator.facility import facility_cards

__all__ = [
    "NIGHT",
    "Sample",
    "ghost_arm_sample",
    "ghost_bundle",
    "gmos_sample",
    "gsaoi_sample",
    "ifu_sample",
    "niri_sample",
]

#: Night label of all samples.
NIGHT: Final = "20251123"
#: GMOS binnings by the size of the file in MB, 12 amplifiers of 16 bit.
_GMOS_SIZES: Final = {55.0: (1, 1), 27.7: (1, 2), 14.7: (2, 2), 4.2: (4, 4)}
#: Exposures in a GHOST bundle, and cards in the header of one of the slit viewer.
_SLIT_VIEWER_EXPOSURES: Final = 20
_SLIT_VIEWER_CARDS: Final = 300
_ARM_EXPOSURES: Final = {"BLUE": 1, "RED": 3}
_AMPLIFIERS: Final = 4


@dataclass(frozen=True)
class Sample:
    """A file in memory, of which copies with names and contents of their own are made."""

    filename: str
    content: bytes

    def named(self, number: int) -> tuple[str, bytes]:
        """Return name and content of one copy."""
        name = f"{self.filename[0]}{NIGHT}S{number:04d}.fits"
        # the name stands in the header, so each copy has a digest of its own
        return name, self.content.replace(self.filename.encode(), name.encode(), 1)

    def write(self, directory: Path, numbers: Iterable[int]) -> list[Path]:
        """Write copies into a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for number in numbers:
            name, content = self.named(number)
            path = directory / name
            path.write_bytes(content)
            paths.append(path)
        return paths


def gmos_sample(megabytes: float) -> Sample:
    """Make an image of GMOS-N with 12 amplifiers, of the size nearest to the one wanted."""
    x_bin, y_bin = _GMOS_SIZES[min(_GMOS_SIZES, key=lambda size: abs(size - megabytes))]
    frame = _science_frame("GMOS-N")
    return _sample(replace(frame, setup={**frame.setup, "xbin": x_bin, "ybin": y_bin}))


def niri_sample() -> Sample:
    """Make an image of NIRI: one array of 1024 by 1024."""
    return _sample(_science_frame("NIRI"))


def gsaoi_sample() -> Sample:
    """Make an image of GSAOI: four arrays of 2048 by 2048."""
    return _sample(_science_frame("GSAOI"))


def ifu_sample() -> Sample:
    """Make a reduced cube of an integral field unit, 29 MB: 2218 wavelengths of 49 by 66."""
    frame = _science_frame("GMOS-N")
    cube = np.random.default_rng(1).normal(100.0, 10.0, (2218, 49, 66)).astype(">f4")
    return Sample(frame.filename, _file(frame, facility_cards(frame), [cube]))


def ghost_arm_sample() -> Sample:
    """Make one exposure of an arm of GHOST: four amplifiers of 2080 by 2080."""
    frame = _science_frame("GMOS-N")
    cards = [card if card[0] != "INSTRUME" else ("INSTRUME", "GHOST", "") for card in facility_cards(frame)]
    counts = np.random.default_rng(1).normal(1000.0, 30.0, (2080, 2080)).astype(">i2")
    return Sample(frame.filename, _file(frame, [*cards, ("CAMERA", "RED", "Camera name")], [counts] * 4))


def _file(frame: PlannedFrame, primary: Sequence[Card], arrays: Sequence[NDArray[Any]]) -> bytes:
    pieces = [_header([*primary, ("FILENAME", frame.filename, "")])]
    for array in arrays:
        bits = array.dtype.itemsize * (-8 if array.dtype.kind == "f" else 8)
        axes = [(f"NAXIS{n}", length, "") for n, length in enumerate(reversed(array.shape), 1)]
        structure: list[Card] = [
            ("XTENSION", "IMAGE", "IMAGE extension"),
            ("BITPIX", bits, ""),
            ("NAXIS", array.ndim, ""),
            *axes,
            ("PCOUNT", 0, ""),
            ("GCOUNT", 1, ""),
        ]
        pieces += [_header(structure), array.tobytes(), bytes(-array.nbytes % BLOCK)]
    return b"".join(pieces)


def _header(cards: Sequence[Card]) -> bytes:
    text = "".join(format_card(*card) for card in cards) + "END".ljust(80)
    return text.ljust(padded(len(text))).encode()


def _sample(frame: PlannedFrame) -> Sample:
    return Sample(frame.filename, frame_bytes(frame))


def _science_frame(instrument: str) -> PlannedFrame:
    frames = plan_night(NIGHT, files=40, instruments=[instrument], full_size=True)
    return next(frame for frame in frames if (frame.kind, frame.mode) == ("science", "image"))


def ghost_bundle() -> list[HDU]:
    """Make the headers of a raw GHOST bundle: slit viewer, then blue and red with four amplifiers each."""
    frame = _science_frame("GMOS-N")
    primary = [card if card[0] != "INSTRUME" else ("INSTRUME", "GHOST", "") for card in facility_cards(frame)]
    headers = [[*primary, ("SMPNAME", "LO_ONLY", ""), ("ARCBEFOR", False, "")]]
    for _ in range(_SLIT_VIEWER_EXPOSURES):
        headers.append(_exposure(frame, "SLITV", _image(150, 130), _SLIT_VIEWER_CARDS))
    for arm, exposures in _ARM_EXPOSURES.items():
        for _ in range(exposures):
            headers.append(_exposure(frame, arm, _image(0, 0)[:3], 0))
            headers += [_amplifier(arm, number) for number in range(1, _AMPLIFIERS + 1)]
    return [HDU("".join(format_card(*card) for card in cards)) for cards in headers]


def _image(columns: int, rows: int) -> list[Card]:
    return [
        ("XTENSION", "IMAGE", "IMAGE extension"),
        ("BITPIX", 16, "number of bits per data pixel"),
        ("NAXIS", 2 if columns else 0, "number of data axes"),
        ("NAXIS1", columns, "length of data axis 1"),
        ("NAXIS2", rows, "length of data axis 2"),
        ("PCOUNT", 0, "required keyword; must = 0"),
        ("GCOUNT", 1, "required keyword; must = 1"),
    ]


def _exposure(frame: PlannedFrame, camera: str, structure: list[Card], extra: int) -> list[Card]:
    return [
        *structure,
        ("CAMERA", camera, "Camera name"),
        ("EXPTIME", frame.exposure, "Exposure time in seconds"),
        ("OBSTYPE", frame.obstype, "Observation type"),
        ("DATE-OBS", f"{frame.ut:%Y-%m-%d}", "UT Date of observation"),
        ("UTSTART", f"{frame.ut:%H:%M:%S}.0", "UT at observation start"),
        ("DETECTOR", f"{camera} detector", "Detector identification"),
        ("READMODE", 0, "Readout mode"),
        *((f"IFU{number:05d}", number * 0.731, "Positioner, microns") for number in range(extra)),
    ]


def _amplifier(arm: str, number: int) -> list[Card]:
    return [
        *_image(2080, 2080),
        ("EXTNAME", "SCI", "Name of the extension"),
        ("EXTVER", number, "Version of the extension"),
        ("CAMERA", arm, "Camera name"),
        ("CCDNAME", f"{arm}-1", "CCD chip name"),
        ("AMPNAME", "EFGH"[number - 1], "Amplifier name"),
        ("CCDSUM", "1 1", "CCD sum"),
        ("GAIN", 0.6, "Amplifier gain"),
        ("RDNOISE", 2.2, "Readout noise"),
        ("DATASEC", "[1:2048,1:2080]", "Data section"),
        ("BIASSEC", "[2049:2080,1:2080]", "Bias section"),
    ]
