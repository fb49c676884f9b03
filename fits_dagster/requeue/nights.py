"""Re-ingest of whole nights: what a backfill asks for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fits_dagster.ledger.items import BACKGROUND, NewWork, add_work
from fits_dagster.ledger.stage import Stage, Subject
from fits_dagster.nights import night_label
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.requeue.rescan import rescan
from fits_dagster.requeue.versions import VersionRequest, queue_versions
from fits_dagster.sites import Site
from fits_dagster.stages import ingest

__all__ = ["queue_again", "queue_nights"]

log = logging.getLogger(__name__)

_BATCH = 1000


def queue_again(
    site: Site,
    stage: Stage[Any],
    nights: Sequence[str],
    switches: Mapping[str, bool] | None = None,
    *,
    dry_run: bool = False,
) -> int:
    """Queue what a stage makes of nights to be made again, as background work.

    What has no subject is made once, or when its source changes.

    Parameters
    ----------
    switches
        Of the stage.
    dry_run
        Only count.

    Returns
    -------
    int
        Files queued.
    """
    if stage.subject is Subject.STORED:
        return queue_nights(site, nights, **(switches or {}), dry_run=dry_run)
    if stage.subject is None or not stage.destinations(site.settings):
        return 0
    return len(
        queue_versions(site, stage.name, VersionRequest(nights=nights, background=True), dry_run=dry_run)
    )


def queue_nights(
    site: Site,
    nights: Sequence[str],
    *,
    force: bool = False,
    force_md5: bool = False,
    priority: int = BACKGROUND,
    dry_run: bool = False,
) -> int:
    """Queue the files of nights for ingest, to be worked on when there is nothing better to do.

    In a directory, files that are new or have changed are queued, in every path in which the database knows
    files of these nights; with one of the options, all of them. In an object store, where a listing would
    cost more than the work, it is the files that the database knows.

    Parameters
    ----------
    nights
        Night labels.
    force
        Make new versions even of unchanged content.
    force_md5
        Compare by MD5 although size and time are the same.
    priority
        Of the work; below zero it gives way to everything else.
    dry_run
        Only count.

    Returns
    -------
    int
        Files queued.
    """
    wanted = set(nights)
    with site.engine.connect() as connection:
        rows = connection.execute(RECORDS["present_of_nights"], {"nights": "|".join(sorted(wanted))}).all()
    known = [(path, filename) for path, filename in rows if night_label(filename) in wanted]
    if site.store.has_reliable_times:
        queued = sum(
            rescan(
                site,
                path,
                matches=lambda name: night_label(name) in wanted,
                force=force,
                force_md5=force_md5,
                priority=priority,
                dry_run=dry_run,
            ).changed
            for path in sorted({"", *(path for path, _ in known)})
        )
    else:
        queued = len(known)
        for start in range(0, 0 if dry_run else len(known), _BATCH):
            with site.engine.begin() as connection:
                add_work(
                    connection,
                    (
                        NewWork(
                            stage=ingest.STAGE.name,
                            path=path,
                            filename=filename,
                            force=force,
                            force_md5=force_md5,
                            priority=priority,
                        )
                        for path, filename in known[start : start + _BATCH]
                    ),
                )
    if not dry_run:
        log.info("%d files of %d nights queued for ingest", queued, len(wanted))
    return queued
