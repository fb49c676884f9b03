"""Mosaics and chop-nod canvases agree with the rules written out at full size."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fits_dagster.metadata.instruments.gmos import Gmos
from fits_dagster.previews import PreviewInfo, PreviewRequest, render
from fits_dagster.previews.chopnod import FIRST, SECOND, STACK, chop_nod_picture
from fits_dagster.previews.mosaic import amplifier_parts, array_parts, paste
from fits_dagster.previews.reading import open_images
from fits_dagster.previews.sections import Section, binning, parse_section
from fits_dagster.previews.shrink import block_of
from fits_dagster.simulator import plan_night, write_frame


def section(text: str) -> tuple[slice, slice]:
    x1, x2, y1, y2 = (int(number) for number in re.findall(r"\d+", text))
    return slice(y1 - 1, y2), slice(x1 - 1, x2)


def naive_gmos(path: Path) -> np.ndarray:
    """The mosaic by the letter of the rule, pixel by pixel."""
    with fits.open(path) as file:
        xbin, ybin = (int(part) for part in file[1].header["CCDSUM"].split())
        corners = [section(hdu.header["DETSEC"]) for hdu in file[1:]]
        left, right = min(c[1].start for c in corners), max(c[1].stop for c in corners)
        low, high = min(c[0].start for c in corners), max(c[0].stop for c in corners)
        canvas = np.zeros(((high - low) // ybin, (right - left + 2 * Gmos.chip_gap) // xbin))
        for hdu, (y, x) in zip(file[1:], corners, strict=True):
            data = hdu.data[section(hdu.header["DATASEC"])].astype(float)
            bias = np.median(hdu.data[section(hdu.header["BIASSEC"])])
            row = (y.start - low) // ybin
            column = (x.start - left + x.start // 2048 * Gmos.chip_gap) // xbin
            canvas[row : row + data.shape[0], column : column + data.shape[1]] = (data - bias) * hdu.header[
                "GAIN"
            ]
    return canvas


def simulated(tmp_path: Path, instrument: str, kind: str = "science", **options: object) -> Path:
    frames = plan_night("20251123", files=40, instruments=[instrument], **options)  # type: ignore[arg-type]
    frame = next(frame for frame in frames if frame.kind == kind)
    write_frame(frame, tmp_path / frame.filename)
    return tmp_path / frame.filename


@pytest.mark.parametrize("options", [{}, {"full_size": True}])
def test_the_gmos_mosaic_is_that_of_the_rule(tmp_path: Path, options: dict[str, object]) -> None:
    path = simulated(tmp_path, "GMOS-N", **options)
    expected = naive_gmos(path)
    with open_images(path) as file:
        parts = amplifier_parts(file.images, Gmos.chip_columns, Gmos.chip_gap)
        assert parts is not None
        shown, (low, high) = paste(parts, 5.0)
    block = block_of(expected.shape)
    rows, columns = expected.shape[0] // block, expected.shape[1] // block
    means = expected[: rows * block, : columns * block].reshape(rows, block, columns, block).mean(axis=(1, 3))
    assert shown.shape == means.shape
    np.testing.assert_allclose(
        shown, means, rtol=1e-4, atol=4.0
    )  # the bias is a median of a part of the overscan
    assert [low, high] == pytest.approx(np.percentile(expected, [5, 95]), abs=4.0)


def test_a_gmos_file_without_sections_shows_its_first_extension(tmp_path: Path) -> None:
    path = simulated(tmp_path, "GMOS-S")
    with fits.open(path, mode="update") as file:
        del file[5].header["DETSEC"]
    assert layout(path, "GMOS-S").layout == "image"


def test_a_gmos_file_whose_sections_exceed_the_array_shows_its_first_extension(tmp_path: Path) -> None:
    path = simulated(tmp_path, "GMOS-S")
    with fits.open(path, mode="update") as file:
        file[5].header["DATASEC"] = "[1:5000,1:5000]"
    assert layout(path, "GMOS-S").layout == "image"


def test_a_gmos_file_whose_mosaic_would_fill_the_memory_shows_its_first_extension(tmp_path: Path) -> None:
    path = simulated(tmp_path, "GMOS-S")
    with fits.open(path, mode="update") as file:
        file[5].header["DETSEC"] = "[2000000001:2000000512,1:100]"
    assert layout(path, "GMOS-S").layout == "image"


def test_a_mosaicked_gmos_file_of_one_extension_is_an_image(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.random.default_rng(1).random((40, 50)))]).writeto(
        tmp_path / "m.fits"
    )
    assert layout(tmp_path / "m.fits", "GMOS-N").layout == "image"


def test_without_overscan_the_bias_is_zero_counts(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU()]
    for first in (1, 11):
        hdu = fits.ImageHDU(np.full((8, 10), 100, np.uint16))
        hdu.header["DETSEC"], hdu.header["DATASEC"] = f"[{first}:{first + 9},1:8]", "[1:10,1:8]"
        hdu.header["GAIN"] = 2.0
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with open_images(tmp_path / "a.fits") as file:
        parts = amplifier_parts(file.images, Gmos.chip_columns, Gmos.chip_gap)
        assert parts is not None
        shown, _ = paste(parts, 5.0)
    assert shown.shape == (8, 20) and set(shown.ravel()) == {200.0}


def test_gsaoi_arrays_stand_125_pixels_apart(tmp_path: Path) -> None:
    path = simulated(tmp_path, "GSAOI")
    with open_images(path) as file:
        parts = array_parts(file.images)
    assert parts is not None
    assert sorted((part.x, part.y) for part in parts) == [(0, 0), (0, 381), (381, 0), (381, 381)]
    info = layout(path, "GSAOI")
    assert info.layout == "mosaic" and (info.width, info.height) == (480, 480)


def mid_infrared(path: Path, *arrays: np.ndarray, nods: str = "", **primary: str) -> Path:
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU(header=fits.Header(primary))]
    for number, array in enumerate(arrays):
        hdu = fits.ImageHDU(array.astype(np.int32))
        if nods:
            hdu.header["NOD"] = nods[number]
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)
    return path


def chopped(on: int, off: int, sets: int = 1) -> np.ndarray:
    return np.stack([np.stack([np.full((240, 320), on), np.full((240, 320), off)])] * sets)


def canvas(path: Path) -> np.ndarray | None:
    with open_images(path) as file:
        return chop_nod_picture(file.images, file.primary.cards.get("CYCLE"))


def test_trecs_nods_are_added_and_subtracted_and_save_sets_summed(tmp_path: Path) -> None:
    shown = canvas(
        mid_infrared(tmp_path / "a.fits", chopped(30, 10, sets=3), chopped(10, 15, sets=3), nods="AB")
    )
    assert shown is not None and shown.shape == (500, 660)
    assert set(shown[STACK].ravel()) == {3 * 20 + 3 * 5}
    assert set(shown[FIRST].ravel()) == {90} and set(shown[SECOND].ravel()) == {30}


@pytest.mark.parametrize(("cycle", "total"), [({}, 0), ({"CYCLE": "AB"}, 0), ({"CYCLE": "A"}, 40)])
def test_michelle_nods_follow_the_cycle(tmp_path: Path, cycle: dict[str, str], total: int) -> None:
    planes = np.stack([np.full((240, 320), value) for value in (10, 7, 2)])[None]
    shown = canvas(mid_infrared(tmp_path / "a.fits", planes, planes, planes, planes, **cycle))
    assert shown is not None
    assert set(shown[STACK].ravel()) == {total}
    assert set(shown[FIRST].ravel()) == {7} and set(shown[SECOND].ravel()) == {2}


def test_nodding_without_chopping_shows_the_two_first_positions(tmp_path: Path) -> None:
    first, second = np.full((1, 1, 240, 320), 9), np.full((1, 1, 240, 320), 4)
    shown = canvas(mid_infrared(tmp_path / "a.fits", first, second, nods="AB"))
    assert shown is not None
    assert set(shown[STACK].ravel()) == {5}
    assert set(shown[FIRST].ravel()) == {9} and set(shown[SECOND].ravel()) == {4}


def test_a_single_stare_is_the_stack_alone(tmp_path: Path) -> None:
    path = mid_infrared(tmp_path / "a.fits", np.arange(240 * 320).reshape(1, 1, 240, 320))
    shown = canvas(path)
    assert shown is not None and shown.shape == (240, 320)
    assert layout(path, "michelle").layout == "chop_nod"


def test_other_shapes_of_mid_infrared_data_are_shown_as_images(tmp_path: Path) -> None:
    path = mid_infrared(tmp_path / "a.fits", np.arange(6400).reshape(80, 80))
    assert canvas(path) is None
    assert layout(path, "TReCS").layout == "image"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1:10,5:8]", Section(0, 10, 4, 8)),
        ("[1024:513,1:2048]", Section(512, 1024, 0, 2048)),  # NIFS writes the direction of reading
        (" [ 1 : 2 , 3 : 4 ] ", Section(0, 2, 2, 4)),
        ("[1:10]", None),
        (None, None),
        (7, None),
    ],
)
def test_sections_are_read(text: object, expected: Section | None) -> None:
    assert parse_section(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("2 4", (2, 4)), ("1x2", (1, 2)), ("1,1", (1, 1)), (None, (1, 1)), ("two", (1, 1))]
)
def test_binning_is_read(text: object, expected: tuple[int, int]) -> None:
    assert binning(text) == expected


def layout(path: Path, instrument: str) -> PreviewInfo:
    return render(path, PreviewRequest(instrument), path.with_suffix(".jpg"))
