"""NIRI, GNIRS, F2, NIFS and GSAOI: arrays read as one image (GSAOI: four).

Source: Gemini header conventions. Shrunk frames are windows about the array's centre, as the regions of
interest of the instruments are; the section keywords say which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fits_dagster.simulator.cards import Card
from fits_dagster.simulator.facility import modified_julian_date, wcs_cards
from fits_dagster.simulator.frames import PlannedFrame
from fits_dagster.simulator.scenes import encode, expose, make_scene

__all__ = ["ARRAYS", "Array", "array_cards", "array_extensions"]


@dataclass(frozen=True, kw_only=True)
class Array:
    """One instrument's detector: shapes as numpy has them, pixel type, arc seconds a pixel."""

    full: tuple[int, ...]
    window: tuple[int, ...]
    extensions: int
    bitpix: int
    scale: float
    gain: float
    primary: tuple[Card, ...]
    #: cards of an extension beyond the structural ones
    cards: Callable[[PlannedFrame, int], list[Card]]
    #: the coordinates stand in the primary header, in the extensions, or in both
    wcs_in_primary: bool = False
    wcs_in_extension: bool = True
    frame_keyword: str = "RADECSYS"

    def shape(self, full_size: bool) -> tuple[int, ...]:
        """Shape of one extension."""
        return self.full if full_size else self.window


def _window(frame: PlannedFrame, size: int) -> tuple[int, int, int, int]:
    """First and last row, first and last column (zero based) of the window read of a square array."""
    rows, columns = frame.shape[-2:]
    low_row, low_column = (size - rows) // 2, (size - columns) // 2
    return low_row, low_row + rows - 1, low_column, low_column + columns - 1


def _aladdin(frame: PlannedFrame, number: int) -> list[Card]:
    low_row, high_row, low_column, high_column = _window(frame, 1024)
    return [
        ("DROINUM", number - 1, "Which Region of Interest"),
        ("LOWROW", low_row, "Start row of region of interest"),
        ("LOWCOL", low_column, "Start col of region of interest"),
        ("HIROW", high_row, "End row of region of interest"),
        ("HICOL", high_column, "End col of region of interest"),
        ("FRMNAME", f"{frame.name}:0", "Frame name"),
        ("FRAMEID", "0", "Frame ID"),
    ]


def _flamingos2(frame: PlannedFrame, number: int) -> list[Card]:
    return [
        ("AXISLAB1", "Xaxis", "Axis label"),
        ("AXISLAB2", "Yaxis", "Axis label"),
        ("AXISLAB3", "Extensions", "Axis label"),
        ("INHERIT", False, "Inherits primary header"),
        ("FRMNAME", f" {number} of 1", "Name assigned to a frame of data."),
        ("FRAMEID", "0", "Frame ID"),
        ("DATATYP", "Intensity", "Type of data frame"),
    ]


def _nifs(frame: PlannedFrame, number: int) -> list[Card]:
    rows, columns = frame.shape
    return [
        ("INHERIT", False, "inherit the primary header"),
        ("DATASEC", f"[1:{columns},1:{rows}]", "Current datasection of the frame"),
        ("FRMNAME", f"NIFS_Frame{number}", "Frame name"),
        ("FRAMEID", str(number - 1), "Frame ID"),
        ("DATATYP", "Intensity", "Data type"),
    ]


# Array name and where its corner lies in the mosaic (column, row).
GSAOI_ARRAYS = (
    ("H2RG-032-074", 2048, 0),
    ("H2RG-032-060", 0, 0),
    ("H2RG-041-032", 0, 2048),
    ("H2RG-041-048", 2048, 2048),
)


def _gsaoi(frame: PlannedFrame, number: int) -> list[Card]:
    rows, columns = frame.shape
    name, corner_x, corner_y = GSAOI_ARRAYS[number - 1]
    # windows touch the centre of the mosaic, so that the four of them are one field
    x0 = 0 if corner_x else 2048 - columns
    y0 = 0 if corner_y else 2048 - rows
    detector = f"[{corner_x + x0 + 1}:{corner_x + x0 + columns},{corner_y + y0 + 1}:{corner_y + y0 + rows}]"
    return [
        ("INHERIT", False, "inherit the primary header"),
        ("CCDNAME", f"G{number}", "Array name"),
        ("CCDSIZE", "[1:2048,1:2048]", "Array dimensions"),
        ("CCDSUM", "1 1", "Array binning"),
        ("CCDSEC", f"[{x0 + 1}:{x0 + columns},{y0 + 1}:{y0 + rows}]", "Array section"),
        ("DETSEC", detector, "Detector section (wrt mosaic)"),
        ("DATASEC", f"[1:{columns},1:{rows}]", "Current datasection of the frame"),
        ("ARRAYID", name, "Array serial number"),
        ("FRMNAME", f"GSAOI_Frame{number}", "Name assigned to a data frame"),
        ("FRAMEID", str(number - 1), "GSAOI Frame identifier"),
        ("DATATYP", "Intensity", "Type of data frame"),
        ("GAIN", 2.4, "Gain (e-/ADU)"),
        ("RDNOISE", 14.5, "Read noise (e-)"),
    ]


NIRI_PRIMARY: tuple[Card, ...] = (
    ("ARRAYID", "47911", "Array identification"),
    ("ARRAYTYP", "ALADDIN_II", "Array type"),
    ("CAMERA", "f6", "NIRI camera (f6|f14|f32)"),
    ("FILTER1", "open", "Filter 1 name"),
    ("FILTER2", "open", "Filter 2 name"),
    ("FILTER3", "Pupil38_G5207", "Pupil mask, grism, or filter name"),
    ("FPMASK", "f6-cam_G5208", "Focal plane mask name"),
    ("BEAMSPLT", "f6", "Beam splitter position name"),
    ("WINDCOVR", "open", "Window cover position name (open|closed)"),
    ("INPORT", 5, "Number of ISS port where NIRI was located"),
    ("LNRS", 1, "Number of non-destructive read pairs"),
    ("NDAVGS", 16, "Number of digital averages"),
    ("MODE", "STARE", "Stare or sep"),
    ("TDETABS", 33.48, "Science detector temperature (K)"),
    ("VDDUC", -3.2, "VDDUC detector bias voltage"),
    ("VDET", -2.6, "VDETCOM detector bias voltage"),
    ("A_VDDUC", -3.2, "VDDUC detector bias voltage (post exposure)"),
    ("A_VDET", -2.6, "VDETCOM detector bias voltage (post exposure)"),
)
GNIRS_PRIMARY: tuple[Card, ...] = (
    ("INPORT", 3, "Number of ISS port where GNIRS was located"),
    ("ARRAYID", "SN7638228.1.2", "ID # of array"),
    ("ARRAYTYP", "ALADDIN_III_1024", "ALADDIN II or ALADDIN III"),
    ("FILTER1", "Open", "filter wheel 1 position"),
    ("FILTER2", "XD_G0526", "filter wheel 2 position"),
    ("CAMERA", "ShortBlue_G5540", "Camera position"),
    ("SLIT", "0.68arcsec_G5530", "slit position"),
    ("DECKER", "SCXD_G5531", "decker position"),
    ("GRATING", "32/mmSB_G5533", "grating position"),
    ("GRATWAVE", 1.65, "grating wavelength"),
    ("GRATORD", 4, "order of grating"),
    ("PRISM", "SB+SXD_G5536", "prism position"),
    ("PRSM_ENG", 82500, "Prism Eng position (steps)"),
    ("ACQMIR", "Out", "acquisition mirror position"),
    ("COVER", "Open", "cover position"),
    ("DETBIAS", -0.277198, "Achieved Detector Bias"),
    ("LNRS", 32, "# of fowler samples"),
    ("NDAVGS", 16, "# of digital averages"),
    ("ROWS", 1024, "array rows"),
    ("COLS", 1024, "array cols"),
    ("DETTEMP", 29.1, "detector temperature (K)"),
)
F2_PRIMARY: tuple[Card, ...] = (
    ("INPORT", 5, "ISS port where F-2 installed"),
    ("READMODE", "Bright", "Detector Readout mode"),
    ("LNRS", 1, "Number of non-destructive read pairs"),
    ("NREADS", 1, "Number of reads"),
    ("GAIN", 4.44, "Detector Gain (e/ADU)"),
    ("RDNOISE", 11.7, "Detector Readnoise (ADU) for CDS Reads"),
    ("GRWLEN", 1.9, "Central wavelength (microns)"),
    ("PIXSCALE", 0.18, "Plate scale in arcsec/pixel"),
    ("DECKER", "Long_slit", "Decker Position"),
    ("DETID", "109", "Rockwell Detector ID Number"),
    ("DETTYPE", "Hawaii-2 2048", "Detector Type (Rockwell; HgCdTe 2048x2048)"),
    ("FILTER", "HK_G0817", "Effective Filter Position"),
    ("FILTER1", "Open", "Filter Wheel 1 Position"),
    ("FILTER2", "HK_G0817", "Filter Wheel 2 Position"),
    ("FOCUS", "f/16", "Detector Focus Position"),
    ("GRISM", "HK_G5802", "Grism Wheel Position"),
    ("LYOT", "f/16_G5830", "Lyot Wheel Position"),
    ("MASKID", "30500002", "Barcode of Mos Wheel Position in Beam"),
    ("MASKNAME", "2pix-slit", "Maskname of Mos Wheel Position in Beam"),
    ("MASKTYPE", "1", "MOS MODE"),
    ("MOSPOS", "2pix-slit", "Mos Position"),
    ("WINDOW", "Open", "Window Position"),
)
NIFS_PRIMARY: tuple[Card, ...] = (
    ("GRATING", "K_G5605", "Grating name"),
    ("APERTURE", "3.0_Mask_G5610", "Focal plane mask"),
    ("INPORT", 1, "Number of ISS port where NIFS was located"),
    ("FILTER", "HK_G0603", "Filter name"),
    ("WINDCOVR", "Opened", "Window cover position name (open|closed)"),
    ("GRATWAVE", 2.2, "Grating central wavelength"),
    ("FLIP", "Out", "Imaging (flip) mirror"),
    ("EXPMODE", "NONDESTRUCTIVE", "Exposure mode"),
    ("RDTIME", 5.3, "Read time"),
    ("BIASPWR", 3.299145, "Source voltage of bias P-FET"),
    ("LNRS", 1, "Number of non-destructive read pairs"),
    ("OBSMODE", "IFU", "Observing mode configuration"),
    ("DETSIZE", "[1:2048,1:2048]", "Dimensions of detector"),
    ("DETECTOR", "NIFS", "Name of detector"),
    ("NAMPS", 4, "Number of CCD amps"),
    ("NEXTEND", 1, "Number of image extensions"),
)
GSAOI_PRIMARY: tuple[Card, ...] = (
    ("INPORT", 1, "Number of ISS port where instrument is located"),
    ("FILTER1", "Kshort_G1112", "Upper filter wheel component in beam"),
    ("FILTER2", "Clear", "Lower filter wheel component in beam"),
    ("UTLWHEEL", "Clear", "Utility wheel component in beam"),
    ("COVER", "OPEN", "Cover status"),
    ("DETTEMP", 70.0, "Detector temperature"),
    ("SAMPMODE", "FOWLER", "Read method"),
    ("READMODE", "FOWLER", "Detector Readout mode"),
    ("EXPMODE", "NONDESTRUCTIVE", "Read mode"),
    ("LNRS", 2, "Number of Non-destructive reads"),
    ("BUNIT", "ADU", "Units of quantity read from detector array"),
    ("DETSIZE", "[1:4096,1:4096]", "Detector size"),
    ("DETECTOR", "GSAOI", "Detector"),
    ("NCCDS", 4, "Number of CCD chips"),
    ("NAMPS", 16, "Number of Amplifiers in this image"),
    ("NEXTEND", 4, "Number of standard extensions"),
    ("LGSLOOP", "OPEN", "Status of the LGS loop"),
)

ARRAYS: dict[str, Array] = {
    "NIRI": Array(
        full=(1024, 1024),
        window=(512, 512),
        extensions=1,
        bitpix=32,
        scale=0.1171,
        gain=12.3,
        primary=NIRI_PRIMARY,
        cards=_aladdin,
        wcs_in_primary=True,
        frame_keyword="FRAME",
    ),
    "GNIRS": Array(
        full=(1022, 1024),
        window=(510, 512),
        extensions=1,
        bitpix=32,
        scale=0.15,
        gain=13.5,
        primary=GNIRS_PRIMARY,
        cards=_aladdin,
        wcs_in_primary=True,
        wcs_in_extension=False,
    ),
    "F2": Array(
        full=(1, 2048, 2048),
        window=(1, 512, 512),
        extensions=1,
        bitpix=32,
        scale=0.18,
        gain=4.44,
        primary=F2_PRIMARY,
        cards=_flamingos2,
    ),
    "NIFS": Array(
        full=(2048, 2048),
        window=(512, 512),
        extensions=1,
        bitpix=-32,
        scale=0.043,
        gain=2.8,
        primary=NIFS_PRIMARY,
        cards=_nifs,
        wcs_in_primary=True,
        wcs_in_extension=False,
    ),
    "GSAOI": Array(
        full=(2048, 2048),
        window=(256, 256),
        extensions=4,
        bitpix=-32,
        scale=0.02,
        gain=2.4,
        primary=GSAOI_PRIMARY,
        cards=_gsaoi,
    ),
}


def array_cards(frame: PlannedFrame) -> list[Card]:
    """Primary cards of the instrument."""
    array = ARRAYS[frame.instrument]
    cards = list(array.primary)
    if array.wcs_in_primary:
        cards += wcs_cards(frame, array.scale, (frame.shape[-1] / 2 + 0.5, frame.shape[-2] / 2 + 0.5))
    mjd = "MJD_OBS" if array.cards is _aladdin else "MJD-OBS"
    return [*cards, (mjd, modified_julian_date(frame), "MJD of start of observation")]


def array_extensions(frame: PlannedFrame, rng: np.random.Generator) -> Iterator[tuple[list[Card], bytes]]:
    """Header cards and data unit of each extension."""
    array = ARRAYS[frame.instrument]
    rows, columns = frame.shape[-2:]
    side = 2 if array.extensions == 4 else 1
    scene = make_scene(frame.kind, frame.mode, (rows * side, columns * side), frame.object)
    scene.read_noise = 12.0
    for number in range(1, array.extensions + 1):
        left, bottom = _corner(number, rows, columns) if side == 2 else (0, 0)
        part = slice(left, left + columns), slice(bottom, bottom + rows)
        counts = expose(scene, rng, *part, bias=0.0, gain=array.gain)
        yield _extension_cards(frame, array, number, left, bottom), encode(counts, array.bitpix)


def _corner(number: int, rows: int, columns: int) -> tuple[int, int]:
    _, x, y = GSAOI_ARRAYS[number - 1]
    return (columns if x else 0), (rows if y else 0)


def _extension_cards(frame: PlannedFrame, array: Array, number: int, left: int, bottom: int) -> list[Card]:
    axes = frame.shape[::-1]
    side = 2 if array.extensions == 4 else 1
    centre = (axes[0] * side / 2 - left + 0.5, axes[1] * side / 2 - bottom + 0.5)
    return [
        ("XTENSION", "IMAGE", "IMAGE extension"),
        ("BITPIX", array.bitpix, "number of bits per data pixel"),
        ("NAXIS", len(axes), "number of data axes"),
        *((f"NAXIS{axis}", length, f"length of data axis {axis}") for axis, length in enumerate(axes, 1)),
        ("PCOUNT", 0, "required keyword; must = 0"),
        ("GCOUNT", 1, "required keyword; must = 1"),
        ("EXTNAME", "SCI", "Name of the extension"),
        ("EXTVER", number, "Version of the extension"),
        *(
            wcs_cards(frame, array.scale, centre, frame_card=array.frame_keyword)
            if array.wcs_in_extension
            else ()
        ),
        *array.cards(frame, number),
    ]
