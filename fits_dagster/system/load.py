"""An initial load: files into a site's store and database without Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fits_dagster.database.server import stop_embedded_server
from fits_dagster.errors import describe_error
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport, FileFailure
from fits_dagster.settings import Settings, SiteName
from fits_dagster.sites import Site, open_site
from fits_dagster.stages.registry import arrivals, followers
from fits_dagster.storage.landing import md5_of
from fits_dagster.system.database import prepare_databases
from fits_dagster.system.home import ensure_directories, read_running

__all__ = ["LoadReport", "initial_load"]

_QUEUE_BATCH = 1000


@dataclass
class LoadReport:
    """What a load did, by stage."""

    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[FileFailure] = field(default_factory=list)


def initial_load(
    settings: Settings,
    name: SiteName,
    paths: Sequence[Path],
    *,
    store_path: str = "",
    force: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> LoadReport:
    """Store, ingest, preview and associate files.

    Parameters
    ----------
    paths
        Files; each keeps its name. One that the store holds already with the same content is not copied.
    store_path
        Path in the store that they go to.
    progress
        Called with stage, number done, number in all.

    Returns
    -------
    LoadReport
        Outcomes by stage, and every file that failed with its reason.
    """
    report = LoadReport()
    with _open_site(settings, name) as site:
        first = arrivals(site.settings)[0]
        stored: list[str] = []
        for index, path in enumerate(paths, 1):
            try:
                _store(site, path, store_path)
                stored.append(path.name)
            except Exception as error:  # one bad file never stops the others
                reason, _, line, trace = describe_error(error)
                report.failures.append(FileFailure(path.name, store_path, "", reason, line, trace))
            progress("store", index, len(paths))
        report.outcomes["store"] = {"stored": len(stored)}
        for start in range(0, len(stored), _QUEUE_BATCH):
            with site.engine.begin() as connection:
                add_work(
                    connection,
                    (
                        NewWork(stage=first.name, path=store_path, filename=f, force=force, no_defer=True)
                        for f in stored[start : start + _QUEUE_BATCH]
                    ),
                )
        # what goes elsewhere is left to the running system
        behind = [each for each in followers(site.settings, first.name) if each.is_local]
        for stage in (first, *behind):

            def show(so_far: DrainReport, stage_name: str = stage.name) -> None:
                progress(stage_name, so_far.done + len(so_far.failures), len(stored))

            done = drain(site, stage, on_round=show)
            report.outcomes[stage.name] = dict(done.outcomes)
            report.failures += done.failures
    return report


@contextmanager
def _open_site(settings: Settings, name: SiteName) -> Iterator[Site]:
    ensure_directories(settings)
    prepare_databases(settings)
    site = open_site(settings, name)
    try:
        yield site
    finally:
        site.close()
        if not settings.database_url and read_running(settings) is None:
            stop_embedded_server(settings)


def _store(site: Site, path: Path, store_path: str) -> None:
    """Put a file into the store unless it is there."""
    key = f"{store_path}/{path.name}" if store_path else path.name
    md5 = md5_of(path)
    there = site.store.stat(key)
    if there is not None and there.size == path.stat().st_size:
        if there.md5 == md5:
            return
        if there.md5 is None:
            with site.store.local(key) as stored:
                if stored.samefile(path) or md5_of(stored) == md5:
                    return
    site.store.put(path, key, md5=md5)
