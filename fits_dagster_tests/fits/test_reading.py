"""One pass over a file: digests, sizes, headers."""

from __future__ import annotations

import bz2
import hashlib
import pickle

import pytest
from astropy.io import fits

from fits_dagster.fits.reading import headers_from_text, inspect_file, read_headers


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("chunk", [1000, 2880, 7777, 1 << 20], ids=str)
def test_one_pass_finds_all_headers_whatever_the_chunks(whole_file, saved, chunk):
    found = inspect_file(saved(whole_file), chunk=chunk)
    assert found.problems == ()
    assert (found.file_md5, found.file_size) == (md5(whole_file), len(whole_file))
    assert (found.data_md5, found.data_size) == (found.file_md5, found.file_size)
    assert [hdu.shape for hdu in found.hdus] == [(), (50, 100), (50, 100)]
    assert [hdu.data_bytes for hdu in found.hdus] == [0, 10_000, 10_000]


def test_a_compressed_file_has_digests_of_both_forms(whole_file, saved):
    stored = bz2.compress(whole_file)
    found = inspect_file(saved(stored, "N20240101S0001.fits.bz2"), chunk=100)
    assert found.compressed
    assert (found.file_md5, found.file_size) == (md5(stored), len(stored))
    assert (found.data_md5, found.data_size) == (md5(whole_file), len(whole_file))
    assert found.hdus == inspect_file(saved(whole_file)).hdus


def test_concatenated_bzip2_streams_are_one_file(whole_file, saved):
    stored = bz2.compress(whole_file[:5000]) + bz2.compress(whole_file[5000:])
    found = inspect_file(saved(stored, "a.fits.bz2"), chunk=64)
    assert (found.data_md5, found.problems) == (md5(whole_file), ())


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:60] + b"x" * 20 + b[80:]])
def test_a_damaged_compressed_file_is_refused_and_still_hashed(whole_file, saved, damage):
    stored = damage(bz2.compress(whole_file))
    found = inspect_file(saved(stored, "a.fits.bz2"))
    assert (found.file_md5, found.file_size) == (md5(stored), len(stored))
    assert found.problems[0].code == "bad_compression"


@pytest.mark.parametrize("content", [b"", b"an observation log\n", bytes(10_000), b"SIMPLE"])
def test_other_files_have_digests_and_no_headers(saved, content):
    found = inspect_file(saved(content, "20240101_GN-2024A-Q-1_obslog.txt"))
    assert (found.file_md5, found.file_size, found.hdus) == (md5(content), len(content), ())


def test_offsets_lead_to_the_data(whole_file, saved):
    path = saved(whole_file)
    with fits.open(path) as expected:
        for hdu, other in zip(read_headers(path), expected, strict=True):
            assert hdu.offset == other.fileinfo()["hdrLoc"]
            assert hdu.data_offset == other.fileinfo()["datLoc"]


def test_an_inspection_survives_pickling(whole_file, saved):
    found = inspect_file(saved(whole_file))
    assert found.hdus[1].cards["NAXIS1"] == 100
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_compressed_image_in_a_table_is_an_image(tmp_path):
    import numpy

    path = tmp_path / "tiles.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(numpy.zeros((30, 40), "int16"), name="SCI")]).writeto(
        path
    )
    primary, tiles = inspect_file(path).hdus
    assert primary.is_primary and tiles.is_image and not tiles.is_primary
    assert (tiles.shape, tiles.bitpix, tiles.has_pixels) == ((30, 40), 16, True)


def test_random_groups_are_measured_by_the_standard(build, saved):
    cards = (*build.PRIMARY[:2], ("NAXIS", "2"), ("NAXIS1", "0"), ("NAXIS2", "10"))
    groups = (*cards, ("GROUPS", "T"), ("PCOUNT", "5"), ("GCOUNT", "3"))
    (hdu,) = read_headers(saved(build.fits_bytes((groups, bytes(90)))))
    assert hdu.data_bytes == 2 * 3 * (5 + 10)


def test_a_dump_gives_the_headers_of_the_file(whole_file, saved):
    hdus = read_headers(saved(whole_file))
    dump = "Filename: a.fits\n\nAstroData Tags: {'RAW'}\n\n\n--- PHU ---\n"
    dump += "\n--- HDU 0 ---\n".join("\n".join([*hdu.lines, "END", ""]) for hdu in hdus)
    assert headers_from_text(dump) == hdus


def test_text_without_headers_gives_none():
    assert headers_from_text("nothing here\n\n= = =\n") == []
