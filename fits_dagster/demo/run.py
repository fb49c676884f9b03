"""Running a demonstration: a fresh home, a whole system, a night of files, a table at the end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fits_dagster.database.server import stop_embedded_server
from fits_dagster.demo.feed import Feeder, choose_files, prepare_night
from fits_dagster.demo.report import DemoReport, make_report
from fits_dagster.demo.watch import Watcher
from fits_dagster.settings import Settings, load_settings
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


def demo_settings(home: Path) -> Settings:
    """Return the settings of a demonstration: the usual ones, on a home of its own below the chosen one."""
    settings = load_settings(home.absolute() / "demo")
    # a person who breaks a file wants to see it fail while they look
    summit = settings.summit.model_copy(update={"dhs_give_up_seconds": 20.0})
    return settings.with_sites(summit=summit)


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
    settings = demo_settings(options.home)
    _fresh_home(settings)
    prepare(settings)
    with console.status("starting: the night's files") as status:
        if options.from_directory is not None:
            sources = choose_files(options.from_directory)
        else:
            sources = prepare_night(
                settings.home / "night", options.files, options.instruments, full_size=options.full_size
            )
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
    """Make the staff user of both sites and say where to look."""
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
    directory = settings.summit.dhs_directory
    assert directory is not None
    names = [source.name for source in sources]
    sites = {str(name): open_site(settings, name) for name in settings.sites}
    watcher = Watcher(sites)
    feeder = Feeder(sources, directory, seconds)
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
            bars = [progress.add_task(label, total=len(names)) for label in labels]
            travelling = frozenset(names)
            feeder.start()
            while True:
                system.look()
                watcher.look()
                counts = [len(feeder.fed), *(watcher.count(step, travelling) for step in watcher.steps)]
                for task, count in zip(bars, counts, strict=True):
                    progress.update(task, completed=count)
                if counts != seen:
                    seen, moved = counts, time.monotonic()
                if feeder.error is not None:
                    raise feeder.error
                if feeder.is_done and watcher.is_settled(names):
                    break
                if time.monotonic() - moved > _PATIENCE_S:
                    timed_out = True
                    break
                time.sleep(_POLL_S)
        return make_report(names, feeder.fed, watcher, seconds=time.monotonic() - began, timed_out=timed_out)
    finally:
        feeder.stop()
        for site in sites.values():
            site.close()
