"""Previews of every layout, the reasons for having none, and real structures."""

from __future__ import annotations

import bz2
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from fits_dagster.previews import NoPreview, PreviewRequest, preview_name, render
from fits_dagster.simulator import plan_night, rebuild_from_headers, write_frame

UNKNOWN = PreviewRequest(None)


def picture(path: Path, request: PreviewRequest = UNKNOWN) -> np.ndarray:
    """The decoded JPEG, first row at the top."""
    out = BytesIO()
    info = render(path, request, out)
    with Image.open(BytesIO(out.getvalue())) as image:
        assert image.format == "JPEG" and image.mode == "L"
        assert image.size == (info.width, info.height)
        assert info.size == len(out.getvalue())
        assert image.width <= 640 and image.height <= 480 and (image.width == 640 or image.height == 480)
        return np.asarray(image).astype(float)


def write(path: Path, *hdus: fits.ImageHDU | fits.CompImageHDU | fits.BinTableHDU, **primary: object) -> Path:
    header = fits.Header({keyword: value for keyword, value in primary.items()})
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(path, overwrite=True)
    return path


def gradient(rows: int = 120, columns: int = 160) -> np.ndarray:
    """Dark at the first row, bright at the last."""
    return np.repeat(np.arange(rows, dtype=np.int32)[:, None], columns, axis=1)


@pytest.mark.parametrize(
    ("path", "filename", "name"),
    [
        ("", "N20180329S0134.fits", "N20180329S0134.jpg"),
        ("", "N20180329S0134.fits.bz2", "N20180329S0134.jpg"),
        ("20180329", "N20180329S0134.fits", "20180329/N20180329S0134.jpg"),
        ("2018/03/", "02jul07.0034.fits.bz2", "2018/03/02jul07.0034.jpg"),
    ],
)
def test_a_preview_is_named_after_its_file(path: str, filename: str, name: str) -> None:
    assert preview_name(path, filename) == name


def test_the_first_row_is_at_the_bottom(tmp_path: Path) -> None:
    shown = picture(write(tmp_path / "a.fits", fits.ImageHDU(gradient())))
    assert shown[:40].mean() > 200 > 55 > shown[-40:].mean()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_every_pixel_type_gives_the_same_picture(tmp_path: Path, kind: type[np.generic]) -> None:
    shown = picture(write(tmp_path / "a.fits", fits.ImageHDU(gradient().astype(kind))))
    expected = picture(write(tmp_path / "b.fits", fits.ImageHDU(gradient())))
    assert np.abs(shown - expected).max() <= 2


def test_a_negative_scale_turns_the_stored_numbers_round(tmp_path: Path) -> None:
    hdu = fits.ImageHDU(gradient().astype(np.float32))
    hdu.scale("int16", bscale=-2.0, bzero=50.0)
    shown = picture(write(tmp_path / "a.fits", hdu))
    assert shown[:40].mean() > 200 > 55 > shown[-40:].mean()


def test_data_of_the_primary_are_shown_where_there_is_no_extension(tmp_path: Path) -> None:
    fits.PrimaryHDU(gradient()).writeto(tmp_path / "a.fits")
    assert picture(tmp_path / "a.fits")[:40].mean() > 200


def test_a_compressed_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", fits.ImageHDU(gradient()))
    packed = tmp_path / "a.fits.bz2"
    packed.write_bytes(bz2.compress(path.read_bytes()))
    plain, unpacked = BytesIO(), BytesIO()
    assert render(path, UNKNOWN, plain) == render(packed, UNKNOWN, unpacked)
    assert plain.getvalue() == unpacked.getvalue()


def test_tile_compressed_images_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", fits.CompImageHDU(gradient(), compression_type="RICE_1"))
    assert picture(path)[:40].mean() > 200


def test_axes_of_length_one_are_removed_and_cubes_averaged(tmp_path: Path) -> None:
    flat = picture(write(tmp_path / "a.fits", fits.ImageHDU(gradient()[None])))
    cube = np.stack([gradient() * 2.0, gradient() * 0.0, np.full((120, 160), np.nan)]).astype(np.float32)
    assert np.abs(picture(write(tmp_path / "b.fits", fits.ImageHDU(cube))) - flat).max() <= 2
    hyper = np.zeros((2, 60, 120, 160), np.int16) + gradient().astype(np.int16)
    assert np.abs(picture(write(tmp_path / "c.fits", fits.ImageHDU(hyper))) - flat).max() <= 2


def test_companions_of_an_image_are_passed_over(tmp_path: Path) -> None:
    quality = fits.ImageHDU(np.zeros((50, 50), np.int16), name="DQ")
    path = write(tmp_path / "a.fits", quality, fits.ImageHDU(gradient(), name="SCI"))
    assert picture(path)[:40].mean() > 200


def test_nan_and_infinity_do_not_spoil_the_picture(tmp_path: Path) -> None:
    values = gradient().astype(np.float32)
    values[50:60, 50:60] = np.nan
    values[0, 0], values[1, 1] = np.inf, -np.inf
    shown = picture(write(tmp_path / "a.fits", fits.ImageHDU(values)))
    assert shown[:40].mean() > 200 > 55 > shown[-40:].mean()


def test_a_constant_image_is_grey(tmp_path: Path) -> None:
    shown = picture(write(tmp_path / "a.fits", fits.ImageHDU(np.full((30, 40), 5, np.int16))))
    assert np.abs(shown - 128).max() <= 1


def _empty(path: Path) -> None:
    write(path, fits.ImageHDU(np.zeros((0, 5), np.float32)))


def _table(path: Path) -> None:
    write(path, fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1])]))


def _cut(path: Path) -> None:
    write(path, fits.ImageHDU(gradient()))
    path.write_bytes(path.read_bytes()[:9000])


def _broken_bzip(path: Path) -> None:
    path.with_name("a.fits.bz2").write_bytes(b"BZh9 and no more")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "not_fits"),
        (lambda path: path.write_text("no FITS at all"), "not_fits"),
        (lambda path: write(path), "no_image"),
        (_table, "no_image"),
        (_empty, "empty_image"),
        (lambda path: write(path, fits.ImageHDU(np.arange(9.0))), "one_dimensional"),
        (lambda path: write(path, fits.ImageHDU(np.zeros((1, 1, 7)))), "one_dimensional"),
        (lambda path: write(path, fits.ImageHDU(np.full((9, 9), np.nan))), "no_finite_pixels"),
        (_cut, "truncated"),
        (_broken_bzip, "unreadable"),
    ],
)
def test_what_cannot_be_shown_says_why(tmp_path: Path, make, reason: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "a.fits")
    (path,) = tmp_path.iterdir()
    with pytest.raises(NoPreview) as caught:
        render(path, UNKNOWN, tmp_path / "a.jpg")
    assert caught.value.reason == reason
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_a_path_receives_the_whole_picture_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", fits.ImageHDU(gradient()))
    out = tmp_path / "previews"
    out.mkdir()
    info = render(path, UNKNOWN, out / "a.jpg")
    assert [left.name for left in out.iterdir()] == ["a.jpg"]
    assert (out / "a.jpg").stat().st_size == info.size


@pytest.mark.parametrize("frame", plan_night("20251123", files=40)[::3], ids=lambda frame: frame.name)
def test_simulated_frames_have_previews(frame, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_frame(frame, tmp_path / frame.filename)
    assert picture(tmp_path / frame.filename, PreviewRequest(frame.instrument)).std() > 3


def test_ghost_bundles_show_their_second_extension(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", fits.ImageHDU(gradient()[::-1]), fits.ImageHDU(gradient()))
    assert picture(path, PreviewRequest("GHOST", frozenset({"BUNDLE"})))[:40].mean() > 200
    assert picture(path, PreviewRequest("GHOST", frozenset({"RED"})))[:40].mean() < 55


def test_real_structures_give_a_preview_or_a_reason(reference_data: Path, tmp_path: Path) -> None:
    headers = reference_data / "gemini-headers" / "headers"
    instruments = {dump.name.removesuffix(".txt"): dump.parent.name for dump in headers.rglob("*.txt")}
    shown, reasons = 0, set()
    for path in rebuild_from_headers(headers, tmp_path, data="shrunk"):
        try:
            picture(path, PreviewRequest(instruments[path.name.removesuffix(".fits")]))
            shown += 1
        except NoPreview as error:
            reasons.add(error.reason)
    assert shown > 170
    assert reasons <= {"no_image", "empty_image", "one_dimensional"}
