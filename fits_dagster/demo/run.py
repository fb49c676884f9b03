"""Running a demonstration: a fresh home, a whole system, a night of files, a table at the end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fits_dagster.database.server import stop_embedded_server
from fits_dagster.demo.feed import FedFile, Feeder, choose_files, prepare_night
from fits_dagster.demo.report import DemoReport, make_report
from fits_dagster.demo.watch import Watcher
from fits_dagster.nights import UNDATED, night_label
from fits_dagster.settings import Settings, SiteName, load_settings
from fits_dagster.sites import open_site
from fits_dagster.system.home import AlreadyRunningError, read_running
from fits_dagster.system.up import System, running_system, wait_for_signal
from fits_dagster.web.accounts import add_user, generate_password

__all__ = ["DemoOptions", "demo_settings", "run_demo", "serve_until_stopped"]

_MARK = ".fits-dagster-demo"
_STAFF = "staff"
_POLL_S = 0.5
#: A demonstration in which nothing moves for this long has failed.
_PATIENCE_S = 180.0


@dataclass(frozen=True)
class DemoOptions:
    """What is shown."""

    home: Path
    files: int = 40
    seconds: float = 30.0
    instruments: Sequence[str] = ()
    full_size: bool = False
    from_directory: Path | None = None
    summits: int = 1
    #: Label of the earliest night that people see; by default that of the earliest file.
    first_night: str = ""


#: The summits by their number, with the hours by which the labels of their nights run ahead.
_SUMMITS: Mapping[int, Mapping[SiteName, float]] = {1: {"summit": 0.0}, 2: {"north": 0.0, "south": 6.0}}


def demo_settings(home: Path, summits: int = 1) -> Settings:
    """Return the settings of a demonstration: the usual ones, on a home of its own below the chosen one."""
    tables = {
        # a person who breaks a file wants to see it fail while they look
        name: {"profile": "summit", "night_hours_ahead": ahead, "dhs_give_up_seconds": 20.0}
        for name, ahead in _SUMMITS[summits].items()
    }
    return load_settings(home.absolute() / "demo", sites=(*tables, "archive"), **tables)


def _origin(name: str, settings: Settings) -> SiteName:
    """Return the summit at which a file is taken; of several, by the letter of its name."""
    return "south" if name.startswith("S") and "south" in settings.sites else settings.sites[0]


def _beginning_with(settings: Settings, sources: Sequence[Path], first_night: str) -> Settings:
    """Return settings with which people see no nights before those of the files, or another one."""
    labels = [label for each in sources if (label := night_label(each.name)) != UNDATED]
    if first_night:
        labels.append(first_night)
    if not labels:
        return settings
    work = settings.work.model_copy(update={"first_night": min(labels)})
    return settings.model_copy(update={"work": work})


def run_demo(
    options: DemoOptions,
    console: Console,
    *,
    prepare: Callable[[Settings], None] = lambda _: None,
    before: Callable[[System], None] = lambda _: None,
    after: Callable[[System, DemoReport], None] = lambda *_: None,
) -> DemoReport:
    """Run the demonstration.

    Parameters
    ----------
    prepare
        Called with the settings of the fresh home, before anything is started on it.
    before
        Called with the running system, before the first file is fed.
    after
        Called with the running system and the figures, before everything is stopped.

    Raises
    ------
    AlreadyRunningError
        A system runs on this home.
    """
    settings = demo_settings(options.home, options.summits)
    _fresh_home(settings)
    prepare(settings)
    with console.status("starting: the night's files") as status:
        if options.from_directory is not None:
            sources = choose_files(options.from_directory)
        else:
            sources = prepare_night(
                settings.home / "night",
                options.files,
                options.instruments,
                full_size=options.full_size,
                summits=options.summits,
            )
        settings = _beginning_with(settings, sources, options.first_night)
        system_context = running_system(settings, tell=lambda what: status.update(f"starting: {what}"))
        system = system_context.__enter__()
    try:
        _greet(system, console)
        before(system)
        report = _show(system, sources, options.seconds, console)
        after(system, report)
        return report
    finally:
        with console.status("stopping"):
            system_context.__exit__(None, None, None)


def serve_until_stopped(system: System, console: Console) -> None:
    """Keep serving until Ctrl-C."""
    console.print("\nStill serving; Ctrl-C stops everything.")
    for site, url in system.urls.items():
        console.print(f"  {site}: {url}/queuestatus   Dagster: {url}/dagster", soft_wrap=True)
    wait_for_signal(system)


def _fresh_home(settings: Settings) -> None:
    """Remove what an earlier demonstration left; only a directory that a demonstration made."""
    home = settings.home
    running = read_running(settings)
    if running is not None:
        raise AlreadyRunningError(f"a demonstration is running on {home} (process {running.pid})")
    if home.exists():
        if not (home / _MARK).exists() and any(home.iterdir()):
            raise FileExistsError(
                f"{home} is not the home of an earlier demonstration; choose another --home"
            )
        stop_embedded_server(settings)
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARK).write_text(f"made by process {os.getpid()}\n")


def _greet(system: System, console: Console) -> None:
    """Make the staff user of all sites and say where to look."""
    password = generate_password()
    for name in system.settings.sites:
        site = open_site(system.settings, name)
        try:
            add_user(site.engine, _STAFF, password, role="staff", fullname="Staff of the demonstration")
        finally:
            site.close()
    for place, url in system.urls.items():
        console.print(f"[bold]{place}[/]: {url}/queuestatus   Dagster: {url}/dagster", soft_wrap=True)
    console.print(f"log in as [bold]{_STAFF}[/] with the password [bold]{password}[/]", highlight=False)


def _show(system: System, sources: Sequence[Path], seconds: float, console: Console) -> DemoReport:
    """Feed the files and follow them until all have settled."""
    settings = system.settings
    names = [source.name for source in sources]
    origins = {name: _origin(name, settings) for name in names}
    sites = {name: open_site(settings, name) for name in settings.sites}
    watcher = Watcher(sites, origins)
    feeders = []
    for summit in dict.fromkeys(origins.values()):
        directory = settings.site(summit).dhs_directory
        assert directory is not None
        own = [source for source in sources if origins[source.name] == summit]
        feeders.append(Feeder(own, directory, seconds))
    fed: dict[str, FedFile] = {}
    progress = Progress(
        TextColumn("{task.description:>18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    began = moved = time.monotonic()
    seen: list[int] = []
    timed_out = False
    try:
        with progress:
            labels = [
                "on the DHS",
                *(f"{site} {stage.title.lower()}" for (site, _), stage in watcher.steps.items()),
            ]
            totals = [
                len(names),
                *(sum(watcher.passes(name, step) for name in names) for step in watcher.steps),
            ]
            bars = [
                progress.add_task(label, total=total) for label, total in zip(labels, totals, strict=True)
            ]
            travelling = frozenset(names)
            for feeder in feeders:
                feeder.start()
            while True:
                system.look()
                watcher.look()
                fed = {name: file for feeder in feeders for name, file in list(feeder.fed.items())}
                counts = [len(fed), *(watcher.count(step, travelling) for step in watcher.steps)]
                for task, count in zip(bars, counts, strict=True):
                    progress.update(task, completed=count)
                if counts != seen:
                    seen, moved = counts, time.monotonic()
                for feeder in feeders:
                    if feeder.error is not None:
                        raise feeder.error
                if len(fed) == len(names) and watcher.is_settled(names):
                    break
                if time.monotonic() - moved > _PATIENCE_S:
                    timed_out = True
                    break
                time.sleep(_POLL_S)
        return make_report(names, fed, watcher, seconds=time.monotonic() - began, timed_out=timed_out)
    finally:
        for feeder in feeders:
            feeder.stop()
        for site in sites.values():
            site.close()
