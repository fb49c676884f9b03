"""Structure: every fault has a code and a message that names the place; nothing raises."""

from __future__ import annotations

import bz2

import numpy
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from fits_dagster.fits.reading import inspect_file
from fits_dagster.fits.verify import CompletenessState, check_structure, completeness


def changed(key: str, value: str):
    """Make a file whose image extension has another value of one card."""

    def make(build) -> bytes:
        cards = tuple((name, value if name == key else old) for name, old in build.image())
        return with_image(build, cards)

    return make


def cut(count: int):
    """Make a file that lacks its last bytes."""
    return lambda build: with_image(build, build.image())[:-count]


def cut_at(size: int):
    """Make a file that ends at a byte."""
    return lambda build: with_image(build, build.image())[:size]


def with_image(build, cards) -> bytes:
    return build.fits_bytes((build.PRIMARY, b""), (cards, bytes(10_000)))


def without_bitpix(build) -> bytes:
    return with_image(build, tuple(card for card in build.image() if card[0] != "BITPIX"))


def without_end(build) -> bytes:
    return build.header_bytes(build.PRIMARY).replace(b"END", b"   ")


def with_odd_simple(build) -> bytes:
    return with_image(build, build.image()).replace(b" T", b" 5", 1)


def with_swallowed_header(build) -> bytes:
    return with_image(build, build.image()).replace(b"END ", b"END=", 1)


def without_fill(build) -> bytes:
    return with_image(build, build.image()).replace(b"END" + b" " * 77, b"END" + b" " * 77 + b"\xf3\x01", 1)


BLOCK = 2880
REFUSED = {
    "empty": (lambda build: b"", "zero_bytes", "empty"),
    "text": (lambda build: b"some text, long enough to be read" * 200, "not_fits", "SIMPLE"),
    "gzip": (lambda build: b"\x1f\x8b\x08\x00" + bytes(5000), "not_fits", "gzip"),
    "short text": (lambda build: b"log", "not_fits", "SIMPLE"),
    "simple": (with_odd_simple, "bad_mandatory_card", "SIMPLE of HDU 0"),
    "bitpix": (changed("BITPIX", "17"), "bad_mandatory_card", "BITPIX of HDU 1"),
    "no bitpix": (without_bitpix, "bad_mandatory_card", "missing"),
    "naxis": (changed("NAXIS", "'two'"), "bad_mandatory_card", "NAXIS of HDU 1"),
    "many axes": (changed("NAXIS", "100000"), "bad_mandatory_card", "NAXIS of HDU 1"),
    "naxis2": (changed("NAXIS2", "-4"), "bad_mandatory_card", "NAXIS2 of HDU 1"),
    "pcount": (changed("PCOUNT", "1.5"), "bad_mandatory_card", "PCOUNT of HDU 1"),
    "gcount": (changed("GCOUNT", "-1"), "bad_mandatory_card", "GCOUNT of HDU 1"),
    "xtension": (changed("XTENSION", "5"), "bad_mandatory_card", "XTENSION of HDU 1"),
    "absurd": (changed("NAXIS1", "99999999999999"), "bad_mandatory_card", "cannot be"),
    "larger than the file": (changed("NAXIS1", "200"), "truncated", "bytes missing"),
    "no end": (without_end, "missing_end", "header of HDU 0"),
    "cut in a header": (cut_at(BLOCK + 500), "missing_end", "header of HDU 1"),
    "cut in the data": (cut(9000), "truncated", "9000 bytes missing: HDU 1"),
    "swallowed header": (with_swallowed_header, "missing_end", "next header begins at byte 2880"),
    "no fill": (without_fill, "header_not_filled", "no blanks"),
    "nothing written yet": (lambda build: bytes(BLOCK * 4), "truncated", "nothing has been written"),
    "cut after the end card": (cut_at(BLOCK + 80 * 10), "truncated", "is not whole"),
}


@pytest.mark.parametrize(("make", "code", "part"), REFUSED.values(), ids=REFUSED)
def test_broken_files_are_refused_with_a_reason(build, saved, make, code, part):
    path = saved(make(build))
    (first, *_) = check_structure(path)
    assert (first.severity, first.code) == ("refuse", code)
    assert part in first.message
    assert check_structure(inspect_file(path))[0] == first


WARNED = {
    "cut in the padding": (lambda whole: whole[:-1], "padding_missing"),
    "NUL after END": (
        lambda whole: whole.replace(b"END".ljust(900), b"END".ljust(900, b"\0"), 1),
        "header_fill",
    ),
    "END with a value": (lambda whole: whole.replace(b"END     ", b"END     = 1", 1), "text_after_end"),
    "cards after END": (
        lambda whole: whole.replace(b"END".ljust(160), b"END".ljust(80) + b"OBSERVER= 'me'".ljust(80), 1),
        "text_after_end",
    ),
    "trailing block": (lambda whole: whole + bytes(BLOCK), "trailing_bytes"),
    "trailing bytes": (lambda whole: whole + b"rest", "trailing_bytes"),
    "padding": (lambda whole: whole[:-1] + b"x", "padding"),
    "letters": (lambda whole: whole.replace(b"SCI", b"SC\xe9"), "non_ascii_cards"),
    "value": (lambda whole: whole.replace(b"'SCI'", b"SCI: "), "unparsable_cards"),
    "order": (lambda whole: whole.replace(b"PCOUNT  ", b"OTHER   "), "keyword_order"),
}


@pytest.mark.parametrize(("damage", "code"), WARNED.values(), ids=WARNED)
def test_lesser_faults_are_warnings(saved, whole_file, damage, code):
    problems = check_structure(saved(damage(whole_file)))
    assert code in {problem.code for problem in problems}
    assert {problem.severity for problem in problems} == {"warn"}


def test_a_sound_file_has_no_problems(saved, whole_file):
    path = saved(whole_file)
    assert check_structure(path) == []
    assert check_structure(inspect_file(path), path=path, verify_checksums=True) == []


def test_checksums_are_verified_on_request(tmp_path):
    path = tmp_path / "sums.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(name="A")]).writeto(path, checksum=True)
    content = path.read_bytes()
    assert check_structure(path, verify_checksums=True) == []
    path.write_bytes(content.replace(b"'A       '", b"'B       '"))
    assert check_structure(path) == []
    assert [problem.code for problem in check_structure(path, verify_checksums=True)] == ["checksum"]


@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_a_datasum_that_does_not_fit_is_told(tmp_path, suffix):
    path = tmp_path / f"sums.fits{suffix}"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(numpy.arange(6, dtype="i2"))]).writeto(path, checksum=True)
    assert check_structure(path, verify_checksums=True) == []
    pack, unpack = (bz2.compress, bz2.decompress) if suffix else (bytes, bytes)
    content = unpack(path.read_bytes())
    path.write_bytes(pack(content[:-2880] + b"\1" + content[-2879:]))
    assert [found.code for found in check_structure(path, verify_checksums=True)] == ["datasum", "checksum"]


@pytest.mark.timeout(30)
def test_a_header_that_swallows_the_next_is_no_record(saved):
    def header(*cards: str, cut: int = 0) -> bytes:
        text = "".join(card.ljust(80) for card in cards)
        return (text[: len(text) - cut] + "END").ljust(2880).encode()

    # END is out of place: one header for us, for other readers two, of which the second has very many axes
    first = header("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "OBJECT  = 'x'", cut=30)
    second = header("XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 2000000001", "CHECKSUM= 'x'")
    [problem] = check_structure(saved(first + second), verify_checksums=True)
    assert (problem.code, problem.severity) == ("missing_end", "refuse")


def test_a_missing_file_is_a_finding_too(tmp_path):
    assert check_structure(tmp_path / "none.fits")[0].code == "unreadable"
    with pytest.raises(FileNotFoundError):  # whether it is whole cannot be told
        completeness(tmp_path / "none.fits")


def test_a_growing_file_is_incomplete_until_its_last_byte(saved, whole_file):
    boundaries = {BLOCK, BLOCK * 2 + 11_520}  # between two HDUs arithmetic alone cannot tell
    fills = [range(end - 1520, end) for end in (BLOCK * 2 + 11_520, len(whole_file))]
    for size in [*range(0, len(whole_file), 777), len(whole_file) - 1, *boundaries]:
        found = completeness(saved(whole_file[:size]))
        in_fill = any(size in fill for fill in fills)
        whole = size in boundaries or in_fill
        assert found.state is (CompletenessState.COMPLETE if whole else CompletenessState.INCOMPLETE), size
        # the pixels of the first image are zeros: as if they were still to be written
        assert bool(found.doubt) is (in_fill or size == BLOCK * 2 + 11_520), size
    found = completeness(saved(whole_file))
    assert found.state is CompletenessState.COMPLETE
    assert found.doubt == ""
    assert (found.size, found.expected_size, found.extensions) == (len(whole_file), len(whole_file), 2)


@pytest.mark.parametrize("written", [0, 100, BLOCK, BLOCK + 500, BLOCK * 2 + 100, BLOCK * 2 + 11_520])
def test_a_file_with_room_for_what_is_not_written_yet_is_in_doubt(saved, whole_file, written):
    found = completeness(saved(whole_file[:written] + bytes(len(whole_file) - written)))
    assert found.state is CompletenessState.INCOMPLETE or found.doubt


def test_a_header_without_end_never_ends(saved, whole_file):
    endless = whole_file[:240] + b"HISTORY ".ljust(80) * 210_000
    found = completeness(saved(endless))
    assert (found.state, found.code) == (CompletenessState.BROKEN, "missing_end")


def test_the_number_of_extensions_that_the_writer_means_is_told(build, saved):
    primary = (*build.PRIMARY, ("NEXTEND", "2"))
    content = build.fits_bytes((primary, b""), (build.image(), bytes(10_000)))
    found = completeness(saved(content))
    assert (found.extensions, found.declared_extensions) == (1, 2)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("text", CompletenessState.NOT_FITS),
        ("bitpix", CompletenessState.BROKEN),
        ("swallowed header", CompletenessState.BROKEN),
        ("no fill", CompletenessState.BROKEN),
        ("nothing written yet", CompletenessState.INCOMPLETE),
    ],
)
def test_what_more_bytes_cannot_mend_is_told_from_what_they_can(build, saved, name, state):
    assert completeness(saved(REFUSED[name][0](build))).state is state


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nothing_raises_on_damaged_bytes(build, tmp_path_factory, data):
    content = bytearray(with_image(build, build.image()))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, BLOCK * 2 - 1))
        content[position : position + 8] = data.draw(st.binary(min_size=0, max_size=12))
    path = tmp_path_factory.getbasetemp() / "damaged.fits"
    path.write_bytes(content)
    check_structure(path, verify_checksums=True)
    completeness(path)
    for hdu in inspect_file(path).hdus:
        for key in hdu.cards:
            hdu.cards[key]
