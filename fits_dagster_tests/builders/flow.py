"""Files on their way from a DHS directory to an archive, a step at a time and without waiting."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import text

from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.sites import Site
from fits_dagster.stages import copy, export, ingest, store

__all__ = ["carry", "copy_in", "dhs_of", "put_on_dhs", "store_of"]

#: A file is seen, seen unchanged, and copied; one that is broken is given up some looks later.
_ROUNDS = 6


def dhs_of(site: Site) -> Path:
    """Return the directory that the data handling system of a site writes."""
    assert site.settings.dhs_directory is not None
    return site.settings.dhs_directory


def store_of(site: Site) -> Path:
    """Return the root of the directory store of a site."""
    assert site.settings.store_directory is not None
    return site.settings.store_directory


def put_on_dhs(site: Site, files: Iterable[Path]) -> list[Path]:
    """Put files into the DHS directory, written an hour ago; returns their paths there."""
    put = []
    for source in files:
        put.append(Path(shutil.copy(source, dhs_of(site) / source.name)))
        os.utime(put[-1], (time.time() - 3600,) * 2)
    return put


def copy_in(site: Site, rounds: int = _ROUNDS) -> DrainReport:
    """Look at the DHS directory and copy, again and again, until a look finds nothing more to wait for.

    What is put off comes due at once, so that no test depends on how long anything takes.
    """
    report = DrainReport("copy")
    for _ in range(rounds):
        copy.scan_dhs(site)
        with site.engine.begin() as connection:
            due = connection.execute(
                text("update work_item set not_before = now() where stage = 'copy' and state = 'waiting'")
            )
        if not due.rowcount:
            break
        done = drain(site, copy.STAGE)
        report.done += done.done
        report.failures += done.failures
        report.retrying += done.retrying
    return report


def carry(summit: Site, archive: Site, files: Sequence[Path]) -> None:
    """Bring files from the DHS of a summit to the database of the archive."""
    put_on_dhs(summit, files)
    assert copy_in(summit).done == len(files)
    stages = ((summit, ingest.STAGE), (summit, export.STAGE), (archive, store.STAGE), (archive, ingest.STAGE))
    for site, stage in stages:
        assert drain(site, stage).done == len(files)
