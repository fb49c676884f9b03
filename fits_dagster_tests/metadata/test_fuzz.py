"""Whatever stands in a header: no exception, no wrong type, and every value fits its column.

Headers are those of every simulated instrument, of a bundle, and (where they are there) real ones; each
example damages some cards of one of them, down to single bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Integer, Numeric, SmallInteger, Text, Time
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from benchmarks.samples import ghost_bundle
from fits_dagster.fits.fulltext import full_text
from fits_dagster.fits.hdu import HDU
from fits_dagster.fits.reading import headers_from_text, inspect_file
from fits_dagster.fits.verify import check_structure, completeness
from fits_dagster.metadata import Description, describe, summary
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.tables import HEADER_COLUMNS, header, reduction
from fits_dagster.simulator import frame_bytes, instruments_available, plan_night

BASES: list[list[str]] = []
#: About as many of them are simulated; they come first.
SIMULATED = 10

INSTRUMENTS = [
    *(
        "ALOPEKE",
        "BHROS",
        "CIRPASS",
        "F2",
        "FLAMINGOS",
        "GHOST",
        "GMOS-N",
        "GMOS-S",
        "GNIRS",
        "GPI",
        "GRACES",
    ),
    *("GSAOI", "Hokupaa+QUIRC", "IGRINS", "IGRINS-2", "MAROON-X", "NICI", "NIFS", "NIRI", "OSCIR", "PHOENIX"),
    *("TEXES", "TReCS", "ZORRO", "bHROS", "hrwfs", "michelle", "abu", "sky camera", "unheard of", ""),
]
NUMBERS = st.one_of(
    st.sampled_from(
        ["99.9999999", "9999.99999999", "32768", "99999.99999", "2147483648", "359.99999999999999"]
    ),
    st.sampled_from(
        ["0", "-0.", "1E400", "1D5", "-1E-320", "99999999999999999999999", "99.9999999", "9999.99999999"]
    ),
    st.sampled_from(["32767.5", "2147483648", "-9223372036854775809", "359.9999999999999", "99999.99999"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
)
WORDS = st.one_of(
    st.sampled_from(
        ["", "nan", "inf", "-inf", "1_000", "2020-13-45", "2020-02-30T25:61:61", "0001-01-01", "9999-12-31"]
    ),
    st.sampled_from(["24:00:00", "23:59:60.0", "12:00:00.0000001", "[0:0,0:0]", "[99999999999:1,1:1]", "_G"]),
    st.sampled_from(["² ²", "٣ ٣", "1 1 1", "99999999999 1", "None", "red", "RA---TAN", "20-percentile"]),
    st.sampled_from(["²²²²-percentile", "+ 75:00:36.0", "-999:99:99.9", "2007-Sep-14", "31/12/999", "1e999"]),
    st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=68),
)
VALUES = st.one_of(
    NUMBERS,
    WORDS.map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.sampled_from(["T", "F", "(1.0, 2.0)", "", "/ only a comment", "'unfinished", "T / '", "''' '"]),
)
#: Keywords that rules of many instruments look at; they are set where they are missing.
KEYWORDS = """
AIRMASS AMPNAME ANODCNT ARCBEFOR AZIMUTH BIASPWR CAMERA CCDSUM CD1_1 CDELT1 CENTWAVE COADDS CRPA CROTA2
CRPIX1 CRVAL1 CRVAL2 CTYPE1 CWAVE DATASEC DATE DATE-OBS DEC DECKER DETBIAS DETECTOR DETRO1X DETRO1XS
DETSEC DETTYPE DISPERSR ELEVATIO EPOCH EXPTIME EXTNAME EXTVER FILTER FILTER1 FILTER3 FRAME GAIN GCALLAMP
GEMPRGID GRATING GRATWAVE GRISM GRORDER GRWLEN INPORT INSTRUME LNRS LT MASKNAME MASKTYP MJD-OBS MOSPOS
NAMPS NAXIS1 NDAVGS NODPIX NUMEXPOS OBJECT OBSCLASS OBSSTART OBSTYPE PMRA PREPARED PRISM PRSM_ENG
PROCLEVL PROCMODE RA RAWIQ READMODE RELEASE SLIT TELESCOP TIME-OBS UT UTDATE UTSTART WAVELENG XTENSION
ZIMAGE EXPTIME EXPTIME EXPTIME COADDS COADDS AIRMASS CENTWAVE GRWLEN WAVELENG CCDSUM NODPIX ANODCNT GRORDER
"""
#: (which HDU, which card: both as fractions, what to do, with what)
DAMAGE = st.tuples(
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.sampled_from(["value", "value", "value", "drop", "double", "byte", "keyword", "cut"])
    | st.sampled_from(KEYWORDS.split())
    | st.sampled_from(KEYWORDS.split()),
    VALUES,
)


def bases(reference: Path | None) -> list[list[str]]:
    """Header texts of many files, made once."""
    if not BASES:
        for instrument in instruments_available():
            seen = set()
            for frame in plan_night("20251123", files=20, instruments=[instrument]):
                if frame.mode not in seen:
                    seen.add(frame.mode)
                    content = frame_bytes(frame)
                    BASES.append(header_texts(content))
        bundle = [hdu.text for hdu in ghost_bundle()]
        BASES.extend([[bundle[0], bundle[1], *bundle[21:]], [bundle[0], *bundle[-5:]]])
        for dump in sorted(reference.glob("gemini-headers/headers/*/*.txt")) if reference is not None else ():
            hdus = headers_from_text(dump.read_text(errors="replace"))
            BASES.append([hdu.text for hdu in hdus[:16]])
    return BASES


def header_texts(content: bytes) -> list[str]:
    from fits_dagster.fits.walker import Walker

    walker = Walker()
    walker.feed(content, 0)
    return [hdu.text for hdu in walker.hdus]


def damaged(texts: Sequence[str], damages: Sequence[tuple[float, float, str, str]]) -> list[str]:
    """Apply damages to the headers of a file."""
    files = [[text[i : i + 80].ljust(80) for i in range(0, len(text), 80)] for text in texts]
    cut = None
    for place, part, action, value in damages:
        # half of all damages go to the primary header, where most rules look
        number = 0 if place < 0.5 else int((place - 0.5) * 2 * len(files))
        cards = files[number]
        if not cards:
            continue
        at = int(part * len(cards))
        card = cards[at]
        if action.isupper() and part < 0.5:
            for header in files:  # wherever it stands
                for i, one in enumerate(header):
                    if one[:8].rstrip() == action:
                        header[i] = f"{action:8}= {value}"[:80].ljust(80)
        elif action.isupper():
            at = next((i for i, one in enumerate(cards) if one[:8].rstrip() == action), len(cards))
            cards[at : at + 1] = [f"{action:8}= {value}"[:80].ljust(80)]
        elif action == "value":
            cards[at] = f"{card[:8]}= {value}"[:80].ljust(80)
        elif action == "drop":
            del cards[at]
        elif action == "double":
            cards.insert(at, card)
        elif action == "byte":
            position = int(place * 1e6) % 80
            cards[at] = card[:position] + (value or " ")[0] + card[position + 1 :]
        elif action == "keyword":
            cards[at] = value[:8].ljust(8) + card[8:]
        else:
            cut = (number, at * 80 + len(value) % 80)
    joined = ["".join(cards) for cards in files]
    if cut is not None:
        joined[cut[0]] = joined[cut[0]][: cut[1]]
    return joined


def renamed(texts: list[str], instrument: str | None) -> list[str]:
    if instrument is None:
        return texts
    first = "".join(
        f"INSTRUME= '{instrument:8}'".ljust(80) if card.startswith("INSTRUME=") else card
        for card in (texts[0][i : i + 80] for i in range(0, len(texts[0]), 80))
    )
    return [first, *texts[1:]]


def assert_fits(kind: TypeEngine[Any], value: object, name: str) -> None:
    """Assert that PostgreSQL takes a value for a column."""
    if value is None:
        return
    what = (name, kind, value)
    match kind:
        case Numeric(precision=int(precision), scale=int(scale)):
            assert type(value) in (int, float) and math.isfinite(value), what
            assert abs(round(value, scale)) < 10 ** (precision - scale), what
        case SmallInteger():
            assert type(value) is int and abs(value) < 2**15, what
        case BigInteger():
            assert type(value) is int and -(2**63) <= value < 2**63, what
        case Integer():
            assert type(value) is int and abs(value) < 2**31, what
        case Boolean():
            assert type(value) is bool, what
        case Date():
            assert type(value) is date, what
        case DateTime():
            assert type(value) is datetime, what
        case Time():
            assert type(value) is time, what
        case ARRAY():
            assert isinstance(value, list), what
            assert all(type(v) is str and "\0" not in v for v in value), what
        case Text():
            assert type(value) is str and "\0" not in value, what
            value.encode()
        case _:
            raise AssertionError(f"no rule for {kind!r}")


def assert_storable(described: Description, filename: str) -> None:
    """Assert that every value can be written into its table."""
    for name in HEADER_COLUMNS:
        assert_fits(header.c[name].type, described.record[name], name)
    for name, value in described.reduction_row.items():
        assert_fits(reduction.c[name].type, value, f"reduction.{name}")
    for row in described.instrument_rows:
        assert described.instrument_table is not None
        columns = INSTRUMENT_TABLES[described.instrument_table].c
        for name, value in row.items():
            assert_fits(columns[name].type, value, f"{described.instrument_table}.{name}")
    labels = [footprint.label for footprint in described.footprints]
    assert len(set(labels)) == len(labels)
    for footprint in described.footprints:
        assert "\0" not in footprint.label
        json.dumps(footprint.corners, allow_nan=False)
    json.dumps(summary(described.record, filename), allow_nan=False, default=str)


def check_description(texts: Sequence[str]) -> None:
    hdus = [HDU(text) for text in texts]
    name = "N20251123S0001.fits"
    described = describe(hdus, name)
    assert_storable(described, name)
    assert "\0" not in full_text(name, described.tags, hdus)


def check_file(texts: Sequence[str], path: Path) -> None:
    """Write headers as a file without the data that they may declare, and look at it in every way."""
    blocks = []
    for text in texts:
        whole = f"{text}END".encode("latin-1", "replace")
        blocks.append(whole.ljust(-(-len(whole) // 2880) * 2880))
    path.write_bytes(b"".join(blocks))
    completeness(path)
    inspection = inspect_file(path)
    problems = check_structure(inspection, path=path, verify_checksums=True)
    assert problems == check_structure(path, verify_checksums=True)
    if inspection.hdus:
        assert_storable(describe(inspection.hdus, path.name), path.name)


def without_data(texts: Sequence[str]) -> list[str]:
    return ["".join(_without_axes(text)) for text in texts]


def _without_axes(text: str) -> list[str]:
    cards = [text[i : i + 80].ljust(80) for i in range(0, len(text), 80)]
    return [
        f"{'NAXIS':8}= {0:20d}".ljust(80) if card.startswith("NAXIS   ") else card
        for card in cards
        if not (card.startswith("NAXIS") and card[5].isdigit()) and not card.startswith("PCOUNT")
    ]


fuzz = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
long_fuzz = settings(fuzz, max_examples=10_000)
examples = given(
    which=st.integers(0, 10**6),
    instrument=st.one_of(st.none(), st.none(), st.sampled_from(INSTRUMENTS)),
    damages=st.lists(DAMAGE, min_size=1, max_size=25),
)


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> Path | None:
    """Directory of real headers, or None: the simulated ones are enough."""
    try:
        path: Path = request.getfixturevalue("reference_data")
    except pytest.skip.Exception:
        return None
    return path


@pytest.fixture
def on_request(request: pytest.FixtureRequest) -> None:
    """Skip a test of some minutes unless the command line asks for slow ones."""
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("takes minutes; run with -m slow")


def chosen(reference: Path | None, which: int) -> list[str]:
    made = bases(reference)
    # every other one is simulated or a bundle, however many real ones there are
    return made[which % (len(made) if which % 2 else min(len(made), SIMULATED))]


@fuzz
@examples
def test_records_of_damaged_headers_fit_the_database(reference, which, instrument, damages):
    check_description(damaged(renamed(chosen(reference, which), instrument), damages))


@fuzz
@examples
def test_damaged_files_are_looked_at_without_an_exception(
    reference, tmp_path_factory, which, instrument, damages
):
    texts = without_data(renamed(chosen(reference, which), instrument))
    check_file(damaged(texts, damages), tmp_path_factory.getbasetemp() / "N20251123S0001.fits")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@long_fuzz
@examples
def test_records_of_very_many_damaged_headers_fit_the_database(
    on_request, reference, which, instrument, damages
):
    check_description(damaged(renamed(chosen(reference, which), instrument), damages))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@long_fuzz
@examples
def test_very_many_damaged_files_are_looked_at_without_an_exception(
    on_request, reference, tmp_path_factory, which, instrument, damages
):
    texts = without_data(renamed(chosen(reference, which), instrument))
    check_file(damaged(texts, damages), tmp_path_factory.getbasetemp() / "N20251123S0001.fits")
