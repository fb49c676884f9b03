"""No file is refused for its metadata: damaged headers give nulls, no exceptions, no wrong types."""

from __future__ import annotations

from datetime import date, datetime, time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fits_dagster.fits.hdu import HDU
from fits_dagster.fits.reading import headers_from_text
from fits_dagster.metadata import describe, summary
from fits_dagster.metadata.record import FIELDS

TYPES = {
    "text": str,
    "enum": str,
    "bool": bool,
    "int": int,
    "float": float,
    "date": date,
    "time": time,
    "datetime": datetime,
    "set": list,
}
VALUES = st.one_of(
    st.sampled_from(
        [
            "''",
            "'No Value'",
            "'-9999'",
            "-9999.",
            "T",
            "1e308",
            "-1e300",
            "'nan'",
            "'inf'",
            "99999999999999999999",
            "(1.0, 2.0)",
            "/ nothing",
            "'2020-13-45'",
            "'25:61:61'",
            "0",
            "'2 2 2'",
            "'x y'",
            "'[1:2'",
            "'_G'",
        ]
    ),
    st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=30),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_never_raise_and_never_give_a_wrong_type(reference_files, data):
    file = data.draw(st.sampled_from([file for file in reference_files if len(file.hdus) < 20]))
    hdus = []
    for hdu in file.hdus:
        cards = [hdu.text[i : i + 80] for i in range(0, len(hdu.text), 80)]
        for _ in range(data.draw(st.integers(0, 12))):
            number = data.draw(st.integers(1, len(cards) - 1))
            if data.draw(st.booleans()):
                cards[number] = f"{cards[number][:10]}{data.draw(VALUES)}"[:80].ljust(80)
            else:
                cards[number] = "COMMENT lost".ljust(80)
        hdus.append(HDU("".join(cards)))
    described = describe(hdus[: data.draw(st.integers(1, len(hdus)))], file.filename)
    for name, value in described.record.items():
        assert value is None or type(value) is TYPES[FIELDS[name].kind], (name, value)
    for row in described.instrument_rows:
        assert all(type(value) in (str, bool, int, float, type(None)) for value in row.values())
    summary(described.record, file.filename)


def test_a_nul_in_an_extension_name_does_not_reach_the_footprint() -> None:
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                   16",
        "NAXIS   =                    0",
        "XTENSION= 'IMAGE   '",
        "BITPIX  =                   16",
        "NAXIS   =                    2",
        "NAXIS1  =                   10",
        "NAXIS2  =                   10",
        "EXTNAME = 'S\x00CI'",
        "CTYPE1  = 'RA---TAN'",
        "CTYPE2  = 'DEC--TAN'",
        "CRVAL1  =                 10.0",
        "CRVAL2  =                 10.0",
        "CRPIX1  =                  5.0",
        "CRPIX2  =                  5.0",
        "CD1_1   =               0.0001",
        "CD2_2   =               0.0001",
    ]
    described = describe(headers_from_text("\n".join(cards)), "N20251123S0001.fits")
    assert [footprint.label for footprint in described.footprints] == ["SCI-Unknown"]
