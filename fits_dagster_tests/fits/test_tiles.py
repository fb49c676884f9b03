"""Images compressed by tiles: described, edited and shown as the images that they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fits_dagster.fits.reading import read_headers
from fits_dagster.fits.tiles import image_hdus, primary_index
from fits_dagster.metadata import describe
from fits_dagster.stages.edit import edit_file

CARDS = {
    "INSTRUME": "NIRI",
    "OBJECT": "made up",
    "GEMPRGID": "GN-2025B-Q-1",
    "DATE-OBS": "2025-11-23",
    "UT": "06:30:00",
    "EXPTIME": 10.0,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 20.0,
    "CRPIX1": 75.0,
    "CRPIX2": 50.0,
    "CD1_1": 1e-4,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 1e-4,
}
PIXELS = np.arange(15_000, dtype="i2").reshape(100, 150)


def plain(path: Path) -> Path:
    fits.PrimaryHDU(PIXELS, fits.Header(CARDS)).writeto(path)
    return path


def packed(path: Path) -> Path:
    """The primary image, compressed as fpack does it: a bare primary header, and a table with ZSIMPLE."""
    image = fits.CompImageHDU(PIXELS, fits.Header(CARDS), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    old, new = b"ZTENSION= 'IMAGE   '", b"ZSIMPLE =                    T"
    content = path.read_bytes()
    at = content.index(old)
    path.write_bytes(content[:at] + new.ljust(80) + content[at + 80 :])
    return path


def test_the_record_is_that_of_the_image(tmp_path: Path) -> None:
    before = describe(read_headers(plain(tmp_path / "a.fits")), "x.fits")
    after = describe(read_headers(packed(tmp_path / "b.fits")), "x.fits")
    assert after.record == before.record
    assert after.record["numpix"] == 15_000
    assert after.footprints[0].corners == before.footprints[0].corners
    assert after.warnings == before.warnings


def test_an_extension_that_is_compressed_keeps_its_place(tmp_path: Path) -> None:
    wcs = {key: CARDS[key] for key in CARDS if key.startswith("C")}
    for name, kind in (("a.fits", fits.ImageHDU), ("b.fits", fits.CompImageHDU)):
        image = kind(PIXELS, fits.Header(wcs), name="SCI")
        fits.HDUList([fits.PrimaryHDU(header=fits.Header(CARDS)), image]).writeto(tmp_path / name)
    before, after = (describe(read_headers(tmp_path / name), "x.fits") for name in ("a.fits", "b.fits"))
    assert after.record == before.record
    assert after.footprints == before.footprints
    assert primary_index(read_headers(tmp_path / "b.fits")) == 0


def test_an_edit_goes_to_the_header_that_the_record_is_made_of(tmp_path: Path) -> None:
    path = packed(tmp_path / "b.fits")
    edit_file(path, {"OBJECT": "another"})
    assert describe(read_headers(path), "x.fits").record["object"] == "another"
    with fits.open(path) as file:
        assert file[1].header["OBJECT"] == "another"
        assert np.array_equal(file[1].data, PIXELS)


def test_files_without_compressed_images_are_as_they_are(tmp_path: Path) -> None:
    hdus = read_headers(plain(tmp_path / "a.fits"))
    assert image_hdus(hdus) == hdus


@pytest.mark.parametrize("blank", [0, -5])
def test_blank_pixels_are_none_in_a_preview(tmp_path: Path, blank: int) -> None:
    from fits_dagster.previews.reading import open_images

    pixels = PIXELS.copy()
    pixels[0] = blank
    header = fits.Header({"BLANK": blank})
    fits.PrimaryHDU(pixels, header).writeto(tmp_path / "a.fits", output_verify="ignore")
    with open_images(tmp_path / "a.fits") as file:
        stored = file.images[0].stored()
    assert np.isnan(stored[0]).all() and np.isfinite(stored[1:]).all()
