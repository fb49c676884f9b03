"""When files that have calibrations are associated again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.ledger.loop import drain
from fits_dagster.requeue.rescan import rescan
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest
from fits_dagster_tests.builders.flow import store_of


def ingest_all(site: Site, files: list[Path]) -> None:
    for path in files:
        shutil.copy(path, store_of(site))
    rescan(site)
    assert not drain(site, ingest.STAGE).failures


def test_while_files_come_in_numbers_those_that_have_calibrations_wait_for_more(
    archive: Site, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = replace(archive, work=archive.work.model_copy(update={"associate_again_seconds": 60.0}))
    gnirs = [path for path in night if b"GNIRS" in path.read_bytes()[:20000]]
    one, *flats = [path for path in gnirs if fits.getval(path, "OBSTYPE") == "FLAT"]
    others = [path for path in gnirs if path not in (one, *flats)]
    ingest_all(patient, others)
    assert drain(patient, associate.STAGE).done == len(others), "nobody has been associated before"

    monkeypatch.setattr(associate, "_IN_NUMBERS", 1)
    ingest_all(patient, flats)
    assert drain(patient, associate.STAGE).done == len(flats), "the new ones at once"
    with patient.engine.connect() as connection:
        waiting = connection.execute(
            text("""
            select count(*), bool_and(not_before > now() + interval '30 s') from work_item
            where stage = 'associate'
            """)
        ).one()
    assert 0 < waiting.count <= len(others)
    assert waiting.bool_and

    monkeypatch.setattr(associate, "_IN_NUMBERS", 2)
    ingest_all(patient, [one])
    report = drain(patient, associate.STAGE)
    assert report.done == 1 + waiting.count, "who waited finds the one that came alone at once"
