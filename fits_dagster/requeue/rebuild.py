"""Making a site's records again from its store, when the database is lost or older than the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from fits_dagster.ledger.items import BACKGROUND
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.requeue.rescan import RescanReport, rescan
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of
from fits_dagster.storage.base import QUARANTINE_PATH

__all__ = ["Progress", "progress_of", "queue_store"]


@dataclass(frozen=True)
class Progress:
    """How far a rebuild is."""

    #: Items that wait or are in hand, of all stages.
    left: int
    #: Items that have failed since it began, and are kept with their reasons.
    failed: int


def queue_store(site: Site, *, dry_run: bool = False) -> Iterator[tuple[str, RescanReport]]:
    """Queue the ingest of everything in the store that the database does not know, path by path.

    It is background work: live files keep their precedence. What was queued is not queued again, and what is
    known is left alone, so that an interrupted rebuild is begun again by the same call. Previews and
    associations follow from the ingest.

    Yields
    ------
    tuple of str and RescanReport
        Each path of the store, and what was found there.

    Raises
    ------
    OSError
        The store cannot be read.
    """
    kept = (site.settings.preview_path.strip("/"), QUARANTINE_PATH)
    for path in site.store.paths():
        if path.partition("/")[0] not in kept:
            yield path, rescan(site, path, priority=BACKGROUND, dry_run=dry_run)


def progress_of(site: Site, since: datetime) -> Progress:
    """Look at the queues of a site's stages.

    Parameters
    ----------
    since
        When the rebuild began, by the database's clock.
    """
    names = [stage.name for stage in stages_of(site.settings)]
    with site.engine.connect() as connection:
        left, failed = connection.execute(LEDGER["left_and_failed"], {"stages": names, "since": since}).one()
    return Progress(left, failed)
