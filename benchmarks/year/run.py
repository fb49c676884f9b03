"""The year: files of night after night are given to a whole system, and what comes of them is compared."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.relay import Relay, relay_to
from benchmarks.year.options import Year, YearOptions
from benchmarks.year.parts import Part, begin_part, end_part
from benchmarks.year.telescope import Telescope
from fits_dagster.settings import Settings, load_settings
from fits_dagster.system.ports import free_port
from fits_dagster.system.up import System, running_system

__all__ = ["simulate_year"]

_COOKIE: Final = "of-the-year"


def simulate_year(options: YearOptions, console: Console) -> Year:
    """Run the year, or a part; at its end everything that was started is stopped, and the home removed.

    Ctrl-C ends it early: then the figures are those of the nights until then, and nothing is compared. A part
    ends with the next night instead, whole, and only another Ctrl-C breaks it off.

    Raises
    ------
    PartError
        The part before this one was broken off, or of another year.
    """
    year = Year(options)
    began = time.monotonic()
    with _directory(options) as directory:
        part = Part() if options.keep is None else begin_part(directory, year)
        try:
            with (
                _ended_with_a_night(year, console) if options.keep is not None else nullcontext(),
                _started(directory / "home", year.options, console) as (system, network),
            ):
                done = Telescope(system, network, year, part, console).run()
            year.seconds += time.monotonic() - began
            if options.keep is not None and not year.timed_out:
                end_part(directory, year, done)
        except KeyboardInterrupt:
            year.interrupted = True
            year.seconds += time.monotonic() - began
    return year


@contextmanager
def _ended_with_a_night(year: Year, console: Console) -> Iterator[None]:
    """Let the first signal do what ``--minutes`` does, and the second one break off."""

    def end(*_: object) -> None:
        if year.is_to_end:
            raise KeyboardInterrupt
        year.is_to_end = True
        console.print("one night more; another signal breaks this part off, and then it cannot go on")

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _directory(options: YearOptions) -> Iterator[Path]:
    """Give the directory of the home: one that stays, or one that is removed at the end."""
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        yield options.keep.absolute()
        return
    if options.home is not None:
        options.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="fits-dagster-year-", dir=options.home, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _settings(home: Path, options: YearOptions, archive_port: int, relay_port: int) -> Settings:
    """Return the usual settings, but for the way to the archive, which can be cut."""
    return load_settings(
        home,
        database_url="",
        broker_url="",
        sites=("summit", "archive"),
        work={"first_night": f"{options.first_night:%Y%m%d}"},
        summit={
            "port": free_port(),
            # what never becomes whole is to fail within its night
            "dhs_give_up_seconds": 10.0,
            "export_destinations": (f"http://127.0.0.1:{relay_port}",),
            "export_cookie": _COOKIE,
            "export_api_cookie": _COOKIE,
        },
        archive={"port": archive_port, "upload_cookies": (_COOKIE,), "api_cookies": (_COOKIE,)},
    )


@contextmanager
def _started(home: Path, options: YearOptions, console: Console) -> Iterator[tuple[System, Relay]]:
    port = free_port()
    with relay_to(port) as network, ExitStack() as held:
        settings = _settings(home, options, port, network.port)
        with console.status("starting") as status:
            system = held.enter_context(
                running_system(settings, tell=lambda what: status.update(f"starting: {what}"))
            )
        yield system, network
