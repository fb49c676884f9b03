"""What the files of a night have of the calibrations that they need, and the check that watches it."""

from __future__ import annotations

import shutil
from pathlib import Path

from astropy.io import fits
from sqlalchemy import text

from fits_dagster.calibration import associate_headers, index_headers
from fits_dagster.calibration.coverage import CalibrationCoverage, calibration_coverage
from fits_dagster.calibration.match_keys import applicable_types, load_facts, needs_of
from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import rescan
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest

NIGHT = "20251123"


def bring(archive: Site, files: list[Path]) -> CalibrationCoverage:
    assert archive.settings.store_directory is not None
    for path in files:
        shutil.copy(path, archive.settings.store_directory)
    rescan(archive)
    for stage in (ingest.STAGE, associate.STAGE):
        assert not drain(archive, stage).failures
    with archive.engine.connect() as connection:
        return calibration_coverage(connection, [NIGHT], optional=archive.settings.optional_calibrations)


def test_a_late_calibration_completes_the_science_files_that_waited_for_it(
    archive: Site, night: list[Path]
) -> None:
    whole = bring(archive, [])
    assert (whole.files, whole.science_files, whole.incomplete) == (0, 0, [])
    gnirs = [path for path in night if b"GNIRS" in path.read_bytes()[:20000]]
    assert len(gnirs) > 4
    flats = [path for path in gnirs if fits.getval(path, "OBSTYPE") == "FLAT"]
    early = bring(archive, [path for path in gnirs if path not in flats])
    assert early.unusable, "science exposures wait for their flats"
    lacking = {caltype for each in early.unusable for caltype in each.demanded}
    assert "flat" in lacking
    assert early.missing["flat"] > 0 and "flat" not in early.found
    late = bring(archive, flats)
    assert late.science_files == early.science_files
    assert "flat" not in {caltype for each in late.unusable for caltype in each.demanded}
    assert late.found["flat"] >= early.missing["flat"]


def test_other_nights_are_left_out(archive: Site, night: list[Path]) -> None:
    bring(archive, night[:6])
    with archive.engine.connect() as connection:
        assert calibration_coverage(connection, ["20251120"]).files == 0
        assert calibration_coverage(connection, []).files == 0


def test_the_stage_tells_types_found_and_missing(archive: Site, night: list[Path]) -> None:
    coverage = bring(archive, night)
    with archive.engine.connect() as connection:
        summary = associate.STAGE.summary(archive, connection, [NIGHT])
    assert summary is not None
    assert summary.figures["science_files"] == coverage.science_files > 0
    assert summary.figures["found flat"] == coverage.found["flat"]
    assert {row["file"] for row in summary.rows} == {each.name for each in coverage.incomplete}


def test_a_type_for_which_nothing_can_be_looked_for_is_missing(archive: Site, night: list[Path]) -> None:
    """Without its amplifiers no mask of bad pixels can be told to be the right one for a GMOS frame."""
    gmos = next(path for path in night if b"GMOS-N" in path.read_bytes()[:20000])
    bring(archive, [gmos])
    with archive.engine.begin() as connection:
        header = connection.scalar(text("update gmos set array_name = null returning header_id"))
        index_headers(connection, [header])
        (facts,) = load_facts(connection, [header])
        coverage = calibration_coverage(connection, [NIGHT])
        assert not [need for need in needs_of(facts) if need["caltype"] == "processed_bpm"]
        assert "processed_bpm" in applicable_types(facts)
        assert coverage.missing["processed_bpm"] == coverage.files == 1
        assert set(coverage.missing) == applicable_types(facts)
        associate_headers(connection, [header])
        assert calibration_coverage(connection, [NIGHT]) == coverage
