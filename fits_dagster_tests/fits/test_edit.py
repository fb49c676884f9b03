"""Header edits change what they name and nothing else; astropy is the judge."""

from __future__ import annotations

import bz2
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fits_dagster.fits.checksum import encoded_sum, ones_complement_sum
from fits_dagster.fits.edit import Edit, EditError, edit_headers
from fits_dagster.fits.reading import read_headers
from fits_dagster.fits.verify import check_structure


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """A file with checksums: primary, an image of unsigned integers, a table."""
    rng = np.random.default_rng(1)
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = ("NGC 1", "Name of the target")
    primary.header["RAWIQ"] = ("Any", "Raw image quality")
    primary.header["EXPTIME"] = 30.0
    primary.header["LONGTEXT"] = ("long " * 30, "continued")
    primary.header["HIERARCH ESO DET ID"] = "chip"
    primary.header["HISTORY"] = "made for a test"
    for number in range(60):
        primary.header[f"KEY{number}"] = (number / 7, "odd")
    image = fits.ImageHDU(rng.integers(0, 60000, (700, 801)).astype(np.uint16), name="SCI")
    table = fits.BinTableHDU(np.array([(1, "a"), (2, "b")], dtype=[("n", "i4"), ("s", "U3")]), name="T")
    path = tmp_path / "N20240101S0001.fits"
    fits.HDUList([primary, image, table]).writeto(path, checksum=True)
    path.chmod(0o640)
    return path


def cards_of(path: Path, hdu: int) -> list[str]:
    return [str(card) for card in fits.getheader(path, hdu).cards]


def data_units(path: Path) -> list[bytes]:
    content = bz2.decompress(path.read_bytes()) if path.suffix == ".bz2" else path.read_bytes()
    with fits.open(path, disable_image_compression=True) as hdus:
        places = [hdu.fileinfo() for hdu in hdus]
    return [content[place["datLoc"] : place["datLoc"] + place["datSpan"]] for place in places]


def compressed(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.bz2")
    packed.write_bytes(bz2.compress(path.read_bytes()))
    return packed


@pytest.mark.parametrize("pack", [False, True], ids=["plain", "bz2"])
def test_set_add_and_delete_change_only_what_they_name(frame, pack):
    path = compressed(frame) if pack else frame
    before, data = cards_of(path, 0), data_units(path)
    edit = Edit(
        set={"rawiq": "20-percentile", "EXPTIME": (31, "Seconds"), "NEWKEY": True},
        add={"RAWGEMQA": ("USABLE", "Quality")},
        delete=["KEY7", "LONGTEXT", "ABSENT"],
        history="Quality set by staff",
    )
    report = edit_headers(path, [edit, Edit(hdu=2, set={"EXTNAME": "TABLE"})])
    header = fits.getheader(path, 0)
    assert (header["RAWIQ"], header.comments["RAWIQ"]) == ("20-percentile", "Raw image quality")
    assert (header["EXPTIME"], header.comments["EXPTIME"]) == (31, "Seconds")
    assert (header["NEWKEY"], header["RAWGEMQA"]) == (True, "USABLE")
    assert list(header["HISTORY"]) == ["made for a test", "Quality set by staff"]
    assert not {"KEY7", "LONGTEXT"} & set(header)
    touched = (
        "RAWIQ",
        "EXPTIME",
        "NEWKEY",
        "RAWGEMQA",
        "KEY7 ",
        "LONGTEXT",
        "HISTORY",
        "CHECKSUM",
        "CONTINUE",
    )
    kept = [card for card in before if not card.startswith(touched)]
    assert [card for card in cards_of(path, 0) if not card.startswith(touched)] == kept
    assert data_units(path) == data
    assert fits.getheader(path, 2)["EXTNAME"] == "TABLE"
    assert len(report.changes) == 7
    assert check_structure(path) == []
    with fits.open(path, checksum=True) as hdus:  # warnings are errors of a wrong sum
        assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)


@pytest.mark.parametrize("pack", [False, True], ids=["plain", "bz2"])
def test_digests_are_those_of_the_bytes_before_and_after(frame, pack):
    path = compressed(frame) if pack else frame

    def digests() -> tuple[str, str, int]:
        content = path.read_bytes()
        plain = bz2.decompress(content) if pack else content
        return hashlib.md5(content).hexdigest(), hashlib.md5(plain).hexdigest(), len(plain)

    before = digests()
    report = edit_headers(path, [Edit(set={"RAWIQ": "85-percentile"})])
    assert (report.file_md5_before, report.data_md5_before) == before[:2]
    assert (report.file_md5, report.data_md5, report.data_size) == digests()
    assert report.file_size == path.stat().st_size
    assert report.data_md5 != report.data_md5_before
    assert not list(path.parent.glob("*.tmp-*"))
    if not pack:
        assert path.stat().st_mode & 0o777 == 0o640


def test_an_edit_that_changes_nothing_does_not_write(frame):
    before = frame.stat()
    report = edit_headers(frame, [Edit(set={"OBJECT": "NGC 1"}, delete=["ABSENT"], history="never")])
    assert report.changes == ()
    assert report.file_md5 == report.file_md5_before == hashlib.md5(frame.read_bytes()).hexdigest()
    assert frame.stat().st_ino == before.st_ino


def test_a_header_grows_and_shrinks_by_blocks(frame):
    data = data_units(frame)
    many = {f"EXTRA{number}": number for number in range(100)}
    edit_headers(frame, [Edit(set=many), Edit(hdu=1, set=many)])
    assert fits.getheader(frame, 1)["EXTRA99"] == 99
    assert data_units(frame) == data
    edit_headers(frame, [Edit(delete=list(many)), Edit(hdu=1, delete=list(many))])
    assert data_units(frame) == data
    assert check_structure(frame, verify_checksums=True) == []


def test_values_are_read_back_as_they_were_given(frame):
    values = {
        "A": "it's",
        "B": "",
        "C": -1.5e-7,
        "D": 10**12,
        "E": False,
        "F": None,
        "G": "x" * 200,
        "ESO INS ID": "grism",
        "ESO DET ID": "other chip",
    }
    edit_headers(frame, [Edit(set=values)])
    header = fits.getheader(frame, 0)
    for key, value in values.items():
        found = header[key]
        assert (None if isinstance(found, fits.card.Undefined) else found) == value
    assert edit_headers(frame, [Edit(set={k: v for k, v in values.items() if v is not None})]).changes == ()
    edit_headers(frame, [Edit(set={"G": "short"})])
    assert fits.getheader(frame, 0)["G"] == "short"
    assert not any(card.startswith("CONTINUE  'xx") for card in cards_of(frame, 0))


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([Edit(set={"NAXIS1": 5})], "bad_keyword"),
        ([Edit(set={"BITPIX": 8})], "bad_keyword"),
        ([Edit(set={"BZERO": 0})], "bad_keyword"),
        ([Edit(set={"CHECKSUM": "x"})], "bad_keyword"),
        ([Edit(delete=["END"])], "bad_keyword"),
        ([Edit(set={"NO=GOOD": 1})], "bad_keyword"),
        ([Edit(set={"OBJECT": "two\nlines"})], "bad_value"),
        ([Edit(set={"OBJECT": "Übung"})], "bad_value"),
        ([Edit(set={"EXPTIME": float("nan")})], "bad_value"),
        ([Edit(set={"EXPTIME": 1.0}, history="a\tb")], "bad_value"),
        ([Edit(add={"OBJECT": "NGC 2"})], "exists"),
        ([Edit(hdu=3, set={"A": 1})], "no_such_hdu"),
        ([Edit(set={"A": 1}), Edit(set={"B": 1})], "bad_edit"),
    ],
)
def test_an_impossible_edit_leaves_the_file_alone(frame, edits, reason):
    before = frame.read_bytes()
    with pytest.raises(EditError) as caught:
        edit_headers(frame, edits)
    assert caught.value.reason == reason
    assert frame.read_bytes() == before
    assert [path.name for path in frame.parent.iterdir()] == [frame.name]


def test_files_that_are_not_whole_are_refused(frame):
    frame.write_bytes(frame.read_bytes()[:-3000])
    with pytest.raises(EditError) as caught:
        edit_headers(frame, [Edit(set={"A": 1})])
    assert caught.value.reason == "truncated"


def test_text_after_end_is_not_lost_by_an_edit(frame):
    content = frame.read_bytes().replace(b"END".ljust(160), b"END".ljust(80) + b"OBSERVER= 'me'".ljust(80), 1)
    frame.write_bytes(content)
    with pytest.raises(EditError) as caught:
        edit_headers(frame, [Edit(set={"A": 1})])
    assert caught.value.reason == "text_after_end"
    assert frame.read_bytes() == content


def test_a_change_by_somebody_else_meanwhile_is_not_lost(frame, monkeypatch):
    original = os.fchmod

    def meddle(descriptor: int, mode: int) -> None:
        original(descriptor, mode)
        with frame.open("ab") as other:
            other.write(b"more")

    monkeypatch.setattr(os, "fchmod", meddle)
    with pytest.raises(EditError) as caught:
        edit_headers(frame, [Edit(set={"A": 1})])
    assert caught.value.reason == "changed"
    assert frame.read_bytes().endswith(b"more")
    assert not list(frame.parent.glob("*.tmp-*"))


def test_bytes_beyond_the_last_hdu_and_odd_cards_are_kept(build, saved):
    primary = (*build.PRIMARY, ("ODD", "@ what"), ("OBJECT", "'x'"))
    content = build.fits_bytes((primary, b""), (build.image(), b"\7" * 10_000)) + b"tail"
    path = saved(content.replace(b"@ what", b"\xe9 what"))
    edit_headers(path, [Edit(set={"OBJECT": "y"})])
    changed = path.read_bytes()
    assert b"\xe9 what" in changed and changed.endswith(b"tail")
    assert changed[2880:] == content[2880:]


def test_a_stale_datasum_is_told_and_left(frame):
    content = frame.read_bytes()
    with fits.open(frame) as hdus:
        place = hdus[1].fileinfo()["datLoc"]
    frame.write_bytes(content[:place] + b"\xff\xfe" + content[place + 2 :])
    report = edit_headers(frame, [Edit(hdu=1, set={"NOTE": "damaged"})])
    assert report.warnings == ("DATASUM of HDU 1 does not fit its data",)


@pytest.mark.parametrize("cut", [1, 3, 1000, 2879])
def test_sums_do_not_depend_on_how_bytes_are_cut(cut):
    content = os.urandom(2880 * 3)
    pieces = [content[i : i + cut] for i in range(0, len(content), cut)]
    hdu = fits.ImageHDU(np.frombuffer(content, np.uint8))
    hdu.add_checksum()
    assert str(ones_complement_sum(pieces)) == hdu.header["DATASUM"]


@pytest.mark.parametrize("total", [0, 1, 0xFFFFFFFF, 0x3A3A3A3A, 868229149, 0xC0FFEE00])
def test_encoding_of_a_sum_is_that_of_astropy(total):
    expected = fits.ImageHDU()._char_encode(0xFFFFFFFF - total)
    assert encoded_sum(total) == expected


IRREGULAR = [
    "AIRMASS\t= 1.25",  # a tab in column eight
    "AIRMASS=  1.25",  # the sign in column eight
    "AIRMASS = 1.25",
    " AIRMASS= 1.25",
]


@pytest.mark.parametrize("card", IRREGULAR)
def test_a_card_with_its_sign_out_of_place_is_one_card_to_everybody(tmp_path, build, card):
    path = tmp_path / "odd.fits"
    whole = build.header_bytes((*build.PRIMARY, ("AIRMASS", "1.0")))
    path.write_bytes(whole.replace(build.header_bytes((("AIRMASS", "1.0"),))[:80], card.ljust(80).encode()))
    assert read_headers(path)[0].cards["AIRMASS"] == 1.25
    report = edit_headers(path, [Edit(set={"AIRMASS": 1.5})])
    assert report.changes == ("HDU 0: AIRMASS = 1.5, was 1.25",)
    assert fits.getheader(path)["AIRMASS"] == read_headers(path)[0].cards["AIRMASS"] == 1.5
    assert path.read_bytes().count(b"AIRMASS") == 1


@pytest.mark.parametrize("card", IRREGULAR)
def test_a_card_with_its_sign_out_of_place_can_be_deleted(tmp_path, build, card):
    path = tmp_path / "odd.fits"
    whole = build.header_bytes((*build.PRIMARY, ("AIRMASS", "1.0"), ("AIRMASS", "1.1")))
    path.write_bytes(whole.replace(build.header_bytes((("AIRMASS", "1.0"),))[:80], card.ljust(80).encode()))
    assert read_headers(path)[0].cards["AIRMASS"] == 1.25  # the first counts, however it is written
    edit_headers(path, [Edit(delete=["AIRMASS"])])
    assert b"AIRMASS" not in path.read_bytes()
