"""Files that are odd in ways that real files have been: each has its right outcome, and harms no other.

What can be kept is kept, with a finding; what cannot be told apart from a damaged file is refused, with a
reason that says what to do; a fault of one file is an answer about that file.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fits_dagster.errors import FileError
from fits_dagster.fits.edit import Edit, EditError, edit_headers
from fits_dagster.fits.verify import completeness
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.previews import NoPreview, PreviewRequest, rendered
from fits_dagster.sites import Site
from fits_dagster.stages import copy, export, ingest, preview, store
from fits_dagster.stages.ingest import observe
from fits_dagster_tests.builders.flow import copy_in

NEWLINE = "N20251123S0903\nnewline.fits"
LONG_NAMES = ("N20251123S0919" + "x" * 236 + ".fits", "N20251123S0909" + "é" * 110 + ".fits")
ODD_NAMES = (*LONG_NAMES, "N20251123S0904 blank 'quote\" Ω.fits")
HALF_PAST_SIX = datetime(2025, 11, 23, 6, 30, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Outcome:
    """What must become of a file."""

    name: str
    #: Reason with which it is refused; None if it is ingested.
    refused: str | None = None
    #: Part of the message of the refusal.
    message: str = ""
    #: Codes of the structural findings; each must be there.
    findings: tuple[str, ...] = ()
    #: Values of the record.
    record: dict[str, Any] = field(default_factory=dict)
    #: Part of a finding about the record.
    told: str = ""
    #: Reasons for having no preview of which one must be given; empty: there is a picture.
    no_preview: tuple[str, ...] = ()


def damaged_tiles(name: str) -> Outcome:
    return Outcome(name, no_preview=("unreadable",))


OUTCOMES = [
    Outcome("good.fits", record={"object": "made up", "instrument": "NIRI"}),
    # the end of the header, and what fills it
    Outcome("end_with_value.fits", findings=("text_after_end",)),
    Outcome("end_with_words.fits", findings=("text_after_end",)),
    Outcome("end_then_cards.fits", findings=("text_after_end",), record={"object": "x"}),
    Outcome("end_without_blank.fits", "missing_end"),
    Outcome("end_lower_case.fits", "missing_end"),
    Outcome("header_filled_with_nul.fits", findings=("header_fill",)),
    Outcome("header_not_filled.fits", "header_not_filled", "no blanks"),
    Outcome("header_not_filled_data_long.fits", "header_not_filled", "no blanks"),
    Outcome("no_end_16MB.fits", "missing_end"),
    # cards
    Outcome("text_utf8.fits", findings=("non_ascii_cards",), record={"object": "café"}),
    Outcome(
        "unquoted_nan.fits", findings=("unparsable_cards",), record={"airmass": None, "exposure_time": None}
    ),
    Outcome("continue_with_equals.fits", record={"object": "a survey of"}),
    Outcome("simple_false.fits", findings=("not_conforming",)),
    Outcome("xtension_lower_case.fits", findings=("unknown_extension",)),
    Outcome("timesys_tai.fits", record={"ut_datetime": HALF_PAST_SIX}, told="TAI"),
    Outcome("ut_as_number.fits", record={"ut_datetime": HALF_PAST_SIX}, told="hours"),
    Outcome("sums_wrong.fits", findings=("datasum", "checksum")),
    # images
    Outcome("axes_70.fits"),
    Outcome("bzero_beyond_float32.fits"),
    Outcome("float64_extremes.fits", no_preview=("no_finite_pixels",)),
    # compression of whole files
    Outcome("bz2_then_zeros.fits.bz2", findings=("trailing_bytes",)),
    Outcome("bz2_then_words.fits.bz2", findings=("trailing_bytes",)),
    Outcome("bz2_two_streams.fits.bz2"),
    Outcome("bz2_cut.fits.bz2", "bad_compression", "ends too early"),
    Outcome("plain_named_bz2.fits.bz2", "bad_compression", "uncompressed FITS"),
    Outcome("bz2_named_plain.fits", "not_fits", "bzip2 data"),
    Outcome("gzip.fits.gz", "not_fits", "gzip data"),
    # tiles
    Outcome("rice_good.fits"),
    *map(damaged_tiles, ["rice_heap_ff.fits", "rice_heap_nul.fits", "rice_descriptor_wild.fits"]),
    *map(damaged_tiles, ["rice_tile_zero.fits", "rice_more_rows.fits", "rice_image_huge.fits"]),
    *map(damaged_tiles, ["gzip_tiles_noise.fits", "hcompress_noise.fits"]),
    # names
    *(Outcome(name, record={"object": "made up"}) for name in ODD_NAMES),
]
REFUSED = {outcome.name: outcome.refused for outcome in OUTCOMES if outcome.refused}


@pytest.fixture(scope="session")
def odd_files(reference_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the odd files, made anew."""
    recipe = reference_data / "odd-files" / "make.py"
    if not recipe.is_file():
        pytest.skip("no recipe of odd files")
    made = tmp_path_factory.mktemp("odd")
    subprocess.run([sys.executable, str(recipe), str(made)], check=True, capture_output=True, timeout=120)
    return made


def test_every_odd_file_has_an_outcome(odd_files: Path) -> None:
    made = {path.name for path in odd_files.iterdir()}
    assert made == {outcome.name for outcome in OUTCOMES} | {NEWLINE}


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name[:30])
def test_it_is_kept_with_its_findings_or_refused_with_its_reason(odd_files: Path, outcome: Outcome) -> None:
    path = odd_files / outcome.name
    if outcome.refused is not None:
        with pytest.raises(FileError, match=outcome.message or None) as caught:
            observe(path, path.name)
        assert caught.value.reason == outcome.refused
        return
    seen = observe(path, path.name)
    codes = {problem.code for problem in seen.problems}
    # a finding is told only where something is odd
    assert codes == set(outcome.findings)
    assert seen.description is not None
    found = {name: seen.description.record[name] for name in outcome.record}
    assert found == outcome.record
    assert outcome.told in " ".join(seen.description.warnings)


KEPT = [outcome for outcome in OUTCOMES if outcome.refused is None]


@pytest.mark.parametrize("outcome", KEPT, ids=lambda outcome: outcome.name[:30])
def test_its_preview_shows_something_or_says_why_not(odd_files: Path, outcome: Outcome) -> None:
    request = PreviewRequest("NIRI")
    if outcome.no_preview:
        with pytest.raises(NoPreview) as caught:
            rendered(odd_files / outcome.name, request)
        assert caught.value.reason in outcome.no_preview
        assert caught.value.reason != "unreadable" or "HDU 1" in str(caught.value)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        info, jpeg = rendered(odd_files / outcome.name, request)
    assert (info.width, info.height) == (640, 427)
    assert info.low < info.high
    assert len(jpeg) > 2000  # a black picture is smaller


@pytest.mark.parametrize("name", ["end_with_value.fits", "end_with_words.fits", "end_then_cards.fits"])
def test_text_after_end_is_not_dropped_by_an_edit(odd_files: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(odd_files / name, path)
    with pytest.raises(EditError) as caught:
        edit_headers(path, [Edit(set={"OBJECT": "another"})])
    assert caught.value.reason == "text_after_end"
    assert path.read_bytes() == (odd_files / name).read_bytes()


CARDS = [
    b"XTENSION= 'BINTABLE'", b"ZIMAGE  = T", b"ZCMPTYPE= 'PLIO_1'", b"ZQUANTIZ= 'x'", b"ZBITPIX = -32",
    b"ZNAXIS  = 3", b"NAXIS   = 3", b"NAXIS   = 0", b"NAXIS1  = 0", b"NAXIS2  = 1", b"BITPIX  = -64",
    b"BZERO   = 1e300", b"BLANK   = 1", b"BSCALE  = 0", b"BSCALE  = NAN", b"GROUPS  = T", b"PCOUNT  = 100",
    b"END", bytes(80), b"DETSEC  = '[1:10,1:10]'", b"DATASEC = '[5:1,9:2]'", b"CCDSUM  = '0 0'",
    b"GAIN    = 1e308", b"EXTNAME = 5", b"DATE-OBS= '9999-99-99'", b"EXPTIME = 1e400", b"TFORM1  = 'xx'",
]  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the bytes of a file with other cards, wild bytes, a cut, a tail, or a block in between."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        kind, at = chance.choice("ccccbbbxtn"), chance.randrange(len(changed) + 1)
        card = min(at, 12_000) // 80 * 80
        if kind == "c":
            changed[card : card + 80] = chance.choice(CARDS).ljust(80)
        elif kind == "b":
            changed[at : at + chance.randint(0, 8)] = chance.randbytes(chance.randint(0, 8))
        elif kind == "x":
            del changed[at:]
        elif kind == "t":
            changed += chance.randbytes(chance.randint(1, 5000))
        else:
            changed[at // 2880 * 2880 : at // 2880 * 2880] = bytes(2880)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_wrong_with_a_file_is_an_answer_about_that_file(
    odd_files: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    small = sorted(path for path in odd_files.iterdir() if path.stat().st_size < 200_000)
    for _ in range(100):
        source = chance.choice(small)
        path = tmp_path / f"damaged.fits{'.bz2' * source.name.endswith('.bz2')}"
        path.write_bytes(damaged(source.read_bytes(), chance))
        request = PreviewRequest(chance.choice(["NIRI", "GMOS-N", "GSAOI", "TReCS", "GHOST"]))
        completeness(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with suppress(FileError):
                observe(path, path.name)
            with suppress(NoPreview):
                rendered(path, request)
        with suppress(EditError):
            edit_headers(path, [Edit(set={"OBJECT": "another"}, delete=["RA"])])


def outcomes_of(site: Site) -> dict[str, str]:
    with site.engine.connect() as connection:
        rows = connection.execute(text("select filename, reason from work_item where state = 'failed'"))
        return {name: reason for name, reason in rows}


def test_all_of_them_pass_from_the_dhs_to_the_archive_or_are_refused_alone(
    odd_files: Path, connected_summit: Site, archive: Site
) -> None:
    summit = connected_summit
    assert summit.settings.dhs_directory is not None and summit.settings.store_directory is not None
    for path in odd_files.iterdir():
        if path.name.endswith(".fits"):
            shutil.copy(path, summit.settings.dhs_directory / path.name)
    copy_in(summit)
    expected = {name: reason for name, reason in REFUSED.items() if name.endswith(".fits")}
    expected[NEWLINE.replace("\n", r"\x0a")] = "unsafe_name"
    assert outcomes_of(summit) == expected
    assert copy.scan_dhs(summit) == []

    landed = {path.name for path in summit.settings.store_directory.iterdir() if path.is_file()}
    good = {outcome.name for outcome in KEPT if outcome.name.endswith(".fits")}
    assert landed == good
    for stage in (ingest.STAGE, export.ExportStage()):
        drain(summit, stage)
    for stage in (store.STAGE, ingest.STAGE, preview.STAGE):
        drain(archive, stage)
    assert outcomes_of(summit) == expected
    assert outcomes_of(archive) == {
        name if name in LONG_NAMES[:1] else f"{name}.bz2": "unreadable"
        for name in good
        if "unreadable" in next(o.no_preview for o in KEPT if o.name == name)
    }
    with archive.engine.connect() as connection:
        assert set(connection.scalars(text("select name from file"))) == good


def test_what_is_in_the_store_is_told_in_the_report_of_the_file(odd_files: Path, archive: Site) -> None:
    assert archive.settings.store_directory is not None
    shutil.copy(odd_files / "sums_wrong.fits", archive.settings.store_directory)
    with archive.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename="sums_wrong.fits")])
    assert drain(archive, ingest.STAGE).done == 1
    with archive.engine.connect() as connection:
        report = connection.scalar(text("select fvreport from diskfilereport"))
    assert "DATASUM of HDU 0" in report and "CHECKSUM of HDU 0" in report
