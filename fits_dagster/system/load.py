"""An initial load: files into a site's store and database without Dagster, by as many processes as asked for.

The processes share the work by the ledger, as workers on several hosts do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, Final, TypeAlias

from fits_dagster.database.server import stop_embedded_server
from fits_dagster.errors import describe_error
from fits_dagster.ledger.items import NewWork, add_work, reap
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport, FileFailure
from fits_dagster.nights import FileKey
from fits_dagster.records.files import present_versions
from fits_dagster.settings import Settings, SiteName
from fits_dagster.sites import Site, opened_site
from fits_dagster.stages.registry import arrivals, followers
from fits_dagster.storage import ObjectInfo
from fits_dagster.storage.landing import md5_of
from fits_dagster.system.database import prepare_databases
from fits_dagster.system.forks import killed, start_fork
from fits_dagster.system.home import ensure_directories, read_running

__all__ = ["LoadReport", "initial_load"]

#: Files that are stored before they are worked at together, and that are asked for together.
_BATCH: Final = 100
#: A process has so many files at the least: to begin one costs what some files cost.
_LEAST_SHARE: Final = 10
#: For a process that has told all to end.
_LAST_WORDS_S: Final = 10.0

#: Called with stage, number done, number in all.
_Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass
class LoadReport:
    """What a load did, by stage."""

    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    failures: list[FileFailure] = field(default_factory=list)
    #: What the store held when it had taken the files that were copied, by file name.
    copied: dict[str, ObjectInfo] = field(default_factory=dict)

    def add(self, stage: str, outcomes: Mapping[str, int]) -> None:
        """Add outcomes of a stage."""
        self.outcomes[stage] = dict(Counter(self.outcomes.get(stage, {})) + Counter(outcomes))


@dataclass(frozen=True)
class _Load:
    """What is to be loaded, and where to."""

    settings: Settings
    site: SiteName
    store_path: str
    force: bool
    #: Threads of a process; 0 means those of the settings.
    threads: int = 0


def initial_load(
    settings: Settings,
    name: SiteName,
    paths: Sequence[Path],
    *,
    store_path: str = "",
    force: bool = False,
    workers: int = 1,
    progress: _Progress = lambda *_: None,
) -> LoadReport:
    """Store, ingest, preview and associate files.

    Parameters
    ----------
    paths
        Files; each keeps its name. One that the store holds already with the same content is not copied.
    store_path
        Path in the store that they go to.
    workers
        Processes that share the work, each of one thread; 0 means one for each core.
    progress
        Called with stage, number done, number in all.

    Returns
    -------
    LoadReport
        Outcomes by stage, and every file that failed with its reason.

    Raises
    ------
    RuntimeError
        One of several processes died; another load does what is missing.
    """
    number = max(1, min(workers or os.cpu_count() or 1, len(paths) // _LEAST_SHARE))
    threads = 1 if number > 1 or workers == 1 else 0
    load = _Load(settings, name, store_path, force, threads)
    report = LoadReport()
    with _databases(settings):
        if number > 1:
            shares = [paths[first::number] for first in range(number)]
            report = _in_processes(load, shares, len(paths), progress)
            # what is left is what one process had not queued yet when another looked for the last time
            paths, progress = (), lambda *_: None
        with _opened(load) as site:
            _share(site, load, paths, progress, report)
            report.failures += _altered(site, load, report.copied)
    return report


@contextmanager
def _opened(load: _Load) -> Iterator[Site]:
    with opened_site(load.settings, load.site) as site:
        work = site.work.model_copy(update={"workers": load.threads or site.workers})
        yield replace(site, work=work)


def _share(site: Site, load: _Load, paths: Sequence[Path], progress: _Progress, report: LoadReport) -> None:
    """Store and queue files, and work at all that waits, here; adds to the report.

    A hundred files go through all stages before the next: each stage finds them still in memory.
    """
    first = arrivals(site.settings)[0]
    # what goes elsewhere is left to the running system
    stages = (first, *(each for each in followers(site.settings, first.name) if each.is_local))
    worked = Counter[str]()
    stored = 0
    if paths:
        first.begin()
    try:
        for begin in range(0, max(len(paths), 1), _BATCH):
            names = []
            for index, path in enumerate(paths[begin : begin + _BATCH], begin + 1):
                try:
                    if copied := _store(site, path, load.store_path):
                        report.copied[path.name] = copied
                    names.append(path.name)
                except Exception as error:  # one bad file never stops the others
                    reason, _, line, trace = describe_error(error)
                    report.failures.append(FileFailure(path.name, load.store_path, "", reason, line, trace))
                progress("store", index, len(paths))
            if paths:
                stored += len(names)
                _queue(site, first.name, names, load)
                report.outcomes["store"] = {"stored": stored}
            for stage in stages:

                def show(so_far: DrainReport, stage_name: str = stage.name) -> None:
                    done = worked[stage_name] + so_far.done + len(so_far.failures)
                    progress(stage_name, done, len(paths))

                done = drain(site, stage, on_round=show)
                worked[stage.name] += done.done + len(done.failures)
                report.add(stage.name, done.outcomes)
                report.failures += done.failures
    finally:
        # they share what they keep
        for stage in stages:
            stage.end()


def _altered(site: Site, load: _Load, copied: Mapping[str, ObjectInfo]) -> Iterator[FileFailure]:
    """Yield the files whose bytes were not those of their source when they were read from the store."""
    places = sorted((FileKey(load.store_path, each).name, load.store_path) for each in copied)
    for begin in range(0, len(places), _BATCH):
        with site.engine.connect() as connection:
            found = present_versions(connection, places[begin : begin + _BATCH])
        for version in found.values():
            info = copied.get(version.filename)
            # a version of another time is not of what was copied here
            if info is None or version.lastmod != info.modified or version.file_md5 == info.md5:
                continue
            message = f"{info.key}: MD5 {version.file_md5} in the store, {info.md5} at its source"
            yield FileFailure(version.filename, load.store_path, "", "checksum_mismatch", message, "")


def _queue(site: Site, stage: str, names: Sequence[str], load: _Load) -> None:
    with site.engine.begin() as connection:
        add_work(
            connection,
            (
                NewWork(stage=stage, path=load.store_path, filename=name, force=load.force, no_defer=True)
                for name in names
            ),
        )


def _in_processes(
    load: _Load, shares: Sequence[Sequence[Path]], total: int, progress: _Progress
) -> LoadReport:
    """Have each share loaded by a process, and gather what they report."""
    report, done = LoadReport(), Counter[tuple[int, str]]()
    processes: dict[Connection[Any, Any], ForkProcess] = {}
    try:
        for share in shares:
            ours, theirs = Pipe(duplex=False)
            process = start_fork(_process, load, share, theirs)
            theirs.close()
            processes[ours] = process
        open_ends = {each: number for number, each in enumerate(processes)}
        while open_ends:
            for end in wait(list(open_ends)):
                assert isinstance(end, Connection)
                try:
                    message = end.recv()
                except EOFError:
                    raise RuntimeError("a process of the load died; load again what is missing") from None
                if isinstance(message, LoadReport):
                    for stage, outcomes in message.outcomes.items():
                        report.add(stage, outcomes)
                    report.failures += message.failures
                    report.copied |= message.copied
                    del open_ends[end]
                else:
                    stage, count = message
                    done[open_ends[end], stage] = count
                    so_far = sum(number for (_, each), number in done.items() if each == stage)
                    progress(stage, min(so_far, total), total)
        for process in processes.values():
            process.join(_LAST_WORDS_S)
    finally:
        for end, process in processes.items():
            end.close()
            process.terminate()
            process.join()
        if dead := killed(processes.values()):
            _take_back(load, dead)
    return report


def _take_back(load: _Load, dead: Sequence[str]) -> None:
    """Free what killed processes had in hand: another load would find it in their hands."""
    with opened_site(load.settings, load.site) as site, site.engine.begin() as connection:
        reap(connection, dead)


def _process(load: _Load, paths: Sequence[Path], end: Connection[Any, Any]) -> None:
    report = LoadReport()
    with _opened(load) as site:
        _share(site, load, paths, lambda stage, done, _: end.send((stage, done)), report)
    end.send(report)


@contextmanager
def _databases(settings: Settings) -> Iterator[None]:
    ensure_directories(settings)
    prepare_databases(settings)
    try:
        yield
    finally:
        if not settings.database_url and read_running(settings) is None:
            stop_embedded_server(settings)


def _store(site: Site, path: Path, store_path: str) -> ObjectInfo | None:
    """Put a file into the store unless it is there; returns what was made there of it."""
    key = f"{store_path}/{path.name}" if store_path else path.name
    there = site.store.stat(key)
    if there is None or there.size != path.stat().st_size:
        # its MD5 is summed up on the way, and compared with what ingest reads
        return site.store.put(path, key)
    md5 = md5_of(path)
    if there.md5 == md5:
        return None
    if there.md5 is None:
        with site.store.local(key) as stored:
            if stored.samefile(path) or md5_of(stored) == md5:
                return None
    return site.store.put(path, key, md5=md5)
