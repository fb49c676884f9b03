"""The lazy card reader gives what astropy gives."""

from __future__ import annotations

import warnings

import pytest
from astropy.io.fits import Header
from astropy.io.fits.card import Undefined

from fits_dagster.fits.cards import Cards
from fits_dagster.fits.reading import headers_from_text


def cards_of(*lines: str) -> Cards:
    return Cards("".join(line.ljust(80) for line in lines))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY     =                   12 / whole", 12),
        ("KEY     =                 -.5E2", -50.0),
        ("KEY     =               1.25D-3", 0.00125),
        ("KEY     =                   3.", 3.0),
        ("KEY     =                    T", True),
        ("KEY     = 'O''Hara  '          / with an apostrophe", "O'Hara"),
        ("KEY     = 'a / b'", "a / b"),
        ("KEY     = ''", ""),
        ("KEY     =  / no value", None),
        ("KEY     = INDEF", None),
        ("KEY     = 12:34:56", None),
        ("KEY     =             - 12", -12),
        ("KEY     = (1.0, 2.0)", 1 + 2j),
        ("HIERARCH KEY = 5", 5),
        ("key     = 7", 7),
        ("KEY= 9", 9),
        ("KEY\t    = 9", 9),
        ("KEY\t= 9", 9),
        ("KEY     = 12345678901234567890", 12345678901234567890),
    ],
)
def test_values_of_all_kinds_are_read(line, value):
    found = cards_of("SIMPLE  = T", line)
    assert "KEY" in found
    assert found["KEY"] == value
    assert type(found["KEY"]) is type(value)


def test_long_strings_are_joined():
    found = cards_of("LONGSTR = 'one &'", "CONTINUE  'two &'", "CONTINUE  'three' / done", "AFTER   = 1")
    assert found["LONGSTR"] == "one two three"
    assert found["AFTER"] == 1


def test_the_first_of_repeated_cards_counts():
    assert cards_of("KEY     = 1", "KEY     = 2")["KEY"] == 1


def test_missing_keywords_are_told_from_empty_ones():
    found = cards_of("EMPTY   =  / nothing", "COMMENT text")
    assert "EMPTY" in found and found["EMPTY"] is None
    assert "OTHER" not in found and found.get("OTHER", 3) == 3
    assert list(found) == ["EMPTY"] and len(found) == 1
    with pytest.raises(KeyError):
        found["OTHER"]


def test_letters_beyond_ascii_do_not_shift_cards():
    found = Cards("OBSERVER= 'Jos\xe9 \xdf\xff'".ljust(80) + "KEY     = 1".ljust(80))
    assert found["KEY"] == 1
    assert found["OBSERVER"] == "Jos\xe9 \xdf\xff"


def test_utf8_is_read_as_what_it_is():
    found = Cards("OBJECT  = 'caf\u00e9'".encode().decode("latin-1").ljust(80))
    assert found["OBJECT"] == "caf\u00e9"


def test_all_real_headers_read_as_astropy_reads_them(reference_data):
    compared, wrong = 0, []
    for dump in sorted((reference_data / "gemini-headers" / "headers").glob("*/*.txt")):
        if dump.stem == "S20240607S0038":
            continue  # sixty like headers, for speed
        for number, hdu in enumerate(headers_from_text(dump.read_text(errors="replace"))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = Header.fromstring(hdu.text)
                for key in set(header) - {"COMMENT", "HISTORY", ""}:
                    expected = None if isinstance(header[key], Undefined) else header[key]
                    compared += 1
                    if hdu.cards.get(key, "missing") != expected:
                        wrong.append(f"{dump.stem}[{number}] {key}: {expected!r}, {hdu.cards.get(key)!r}")
    assert not wrong, "\n".join(wrong[:20])
    assert compared > 50_000
