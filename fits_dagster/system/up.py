"""Starting the system: databases, broker, worker, Dagster's code servers and daemon, web applications."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from fits_dagster.broker import embedded_broker, wait_for_broker
from fits_dagster.database.server import dagster_url, revive_embedded_server, stop_embedded_server
from fits_dagster.destinations.base import open_destination
from fits_dagster.settings import Settings, SiteSettings, write_effective
from fits_dagster.system.database import prepare_databases
from fits_dagster.system.home import (
    RunningSystem,
    code_server,
    code_socket,
    edit_cookie,
    ensure_directories,
    locked_home,
    upload_cookie,
    write_dagster_home,
    write_running,
)
from fits_dagster.system.ports import free_port, reserve_port, wait_until_listening
from fits_dagster.system.processes import ChildProcess, Supervisor, end_processes, processes_with

__all__ = ["StartError", "System", "environment", "running_system", "stop_on_sigterm", "wait_for_signal"]

log = logging.getLogger(__name__)

_START_SECONDS = 90.0
_LOOK_EVERY_S = 1.0
#: Seconds that runs get to finish the files in hand, and to write down how they ended.
_FINISH_S = 20.0
#: Seconds for what would wait for ticks, which last longer, and loses nothing by being killed.
_HEAR_S = 1.0
#: A tick under ``dagster dev``, which waits for its ticks when it is asked to end.
_TICK_OF_DAGSTER_DEV_S = 4.3
_BROKER, _DAEMON, _WORKER = "broker", "daemon", "worker"
#: Every process of a running system has it in its environment.
_SETTINGS_VARIABLE = "FITS_DAGSTER_EFFECTIVE_SETTINGS"
_WATCH_NICENESS = 10


class StartError(RuntimeError):
    """The system did not come up."""


class System:
    """A running system."""

    def __init__(self, settings: Settings, urls: dict[str, str], supervisor: Supervisor) -> None:
        self.settings = settings
        self.urls = urls
        self.supervisor = supervisor

    def look(self) -> None:
        """Start again what has died: PostgreSQL where it is ours, and the programs."""
        if not self.settings.database_url:
            try:
                if revive_embedded_server(self.settings):
                    log.error("PostgreSQL had ended; it was started again")
            except (OSError, subprocess.SubprocessError, RuntimeError) as error:
                log.error("PostgreSQL has ended and does not start: %s", error)
        self.supervisor.look()


@contextmanager
def running_system(
    settings: Settings, *, dagster: bool = True, tell: Callable[[str], None] = lambda _: None
) -> Iterator[System]:
    """Run the system for the time of the context.

    Parameters
    ----------
    dagster
        With Dagster's daemon and code servers; ``dagster dev`` brings its own.
    tell
        Told in one line what is being started.

    Raises
    ------
    AlreadyRunningError
        Another system runs on this home.
    StartError
        A part did not come up in time; the message names its log file.
    """
    with ExitStack() as held:
        held.enter_context(locked_home(settings))
        _end_leftovers(settings, tell)
        settings = held.enter_context(_free_ports(_with_shared_secret(settings)))
        _check_destinations(settings)
        if not dagster:
            settings = _with_short_ticks(settings)
        ensure_directories(settings)
        tell("databases")
        prepare_databases(settings)
        supervisor = Supervisor()
        try:
            yield _start(settings, supervisor, tell, dagster=dagster)
        finally:
            tell("stopping")
            with _uninterrupted():
                # first what asks for runs, then what runs them, while all that they need is there
                supervisor.stop(_DAEMON, patience=_HEAR_S)
                supervisor.stop(_WORKER, patience=_FINISH_S)
                supervisor.stop(*map(_code_server, settings.sites), patience=_HEAR_S)
                supervisor.stop()
                if not settings.database_url:
                    stop_embedded_server(settings)


def _with_short_ticks(settings: Settings) -> Settings:
    short = min(settings.work.tick_seconds, _TICK_OF_DAGSTER_DEV_S)
    work = settings.work.model_copy(update={"tick_seconds": short})
    return settings.model_copy(update={"work": work})


def _check_destinations(settings: Settings) -> None:
    for name in settings.sites:
        site = settings.site(name)
        for address in site.export_destinations:
            try:
                open_destination(address, site)
            except ValueError as error:
                raise StartError(f"{name}.export_destinations: {error}") from error


def _end_leftovers(settings: Settings, tell: Callable[[str], None]) -> None:
    """End what an earlier start on this home left behind when it was killed: two daemons would do harm."""
    left = processes_with(_SETTINGS_VARIABLE, str(_effective_settings(settings)))
    if left:
        tell(f"ending {len(left)} processes that an earlier start left behind")
        end_processes(left)


def _effective_settings(settings: Settings) -> Path:
    return settings.home / "effective-settings.json"


def _with_shared_secret(settings: Settings) -> Settings:
    """Let the sites of this machine export to each other, where the settings name no cookies."""
    receivers = {site.url: name for name, site in settings.tables.items() if site.receives_uploads}
    changed = dict(settings.tables)
    for name, site in settings.tables.items():
        here = [receivers[url] for url in site.export_destinations if url in receivers]
        # a request to edit headers goes with its secret to every destination
        api = here if len(here) == len(site.export_destinations) else []
        for given, accepted, partners, made in (
            ("export_cookie", "upload_cookies", here, upload_cookie),
            ("export_api_cookie", "api_cookies", api, edit_cookie),
        ):
            named = [getattr(settings.site(partner), accepted) for partner in partners]
            if not partners or any(named) or getattr(site, given).get_secret_value():
                continue
            secret = SecretStr(made(settings))
            own = {given: secret, accepted: getattr(site, accepted) or (secret,)}
            changed[name] = changed[name].model_copy(update=own)
            for partner in partners:
                changed[partner] = changed[partner].model_copy(update={accepted: (secret,)})
    return settings.with_sites(**changed)


@contextmanager
def _free_ports(settings: Settings) -> Iterator[Settings]:
    """Replace taken ports by free ones, and hold them; what names a site of this machine follows."""
    moved: dict[str, str] = {}
    changes: dict[str, SiteSettings] = {}
    with ExitStack() as holders:
        # where several have no port of their own, exports go to those that take uploads
        for name in sorted(settings.sites, key=lambda name: settings.site(name).receives_uploads):
            site = settings.site(name)
            holder = holders.enter_context(reserve_port(site.port, site.host))
            changes[name] = site.model_copy(update={"port": int(holder.getsockname()[1])})
            moved[site.url] = changes[name].url
        for name, site in changes.items():
            follow = {
                key: tuple(moved.get(url, url) for url in getattr(site, key))
                for key in ("export_destinations", "replicas")
            }
            changes[name] = site.model_copy(update=follow)
        yield settings.with_sites(**changes)


def _start(
    settings: Settings, supervisor: Supervisor, tell: Callable[[str], None], *, dagster: bool
) -> System:
    code_sockets = {site: code_socket(settings, site) for site in settings.sites} if dagster else {}
    workspace = write_dagster_home(settings, code_sockets)
    write_effective(settings, _effective_settings(settings))
    # a few memory pools for all threads of a process do, where each thread would have one of its own
    variables = {"MALLOC_ARENA_MAX": "2", **os.environ, **environment(settings)}
    variables["DAGSTER_HOME"] = str(workspace.parent)
    if dagster:
        variables["FITS_DAGSTER_WORKSPACE"] = str(workspace)

    def run(name: str, *command: str, leaves_family: bool = False) -> None:
        log_file = settings.home / "logs" / f"{name}.log"
        supervisor.add(ChildProcess(name, command, log_file, variables, leaves_family))

    python = (sys.executable, "-m")
    if not settings.broker_url.get_secret_value():
        tell("broker")
        run(_BROKER, *embedded_broker(settings, free_port()))
    wait_for_broker(settings, tell=tell)
    tell("Dagster instance")
    _prepare_instance(variables, settings.home / "logs" / "dagster-instance.log")
    tell("code locations, daemon, worker and web applications" if dagster else "worker and web applications")
    for site, socket in code_sockets.items():
        run(_code_server(site), sys.executable, *code_server(site, str(socket)))
    urls = {}
    for site in settings.sites:
        run(f"web-{site}", *python, "fits_dagster.web", site)
        urls[site] = settings.site(site).url
    # its children finish their runs when it dies; the next one does not mind
    sites = [f"--site={site}" for site in settings.sites]
    if settings.work.worker_processes:
        run(_WORKER, *python, "fits_dagster", _WORKER, *sites, leaves_family=True)
    for site, socket in code_sockets.items():
        _wait(settings, _code_server(site), socket)
    if dagster:
        run(_DAEMON, *python, "dagster._daemon", "run", "-w", str(workspace))
    # it is never urgent, and must not slow down what comes up beside it
    run("alerts-process", "nice", "-n", str(_WATCH_NICENESS), *python, "fits_dagster.alerts")
    for site in settings.sites:
        _wait(settings, f"web-{site}", settings.site(site).port, settings.site(site).host)
    write_running(
        settings,
        RunningSystem(
            os.getpid(),
            urls,
            {site: str(path) for site, path in code_sockets.items()},
            "fits-dagster up" if dagster else "dagster dev",
        ),
    )
    return System(settings, urls, supervisor)


def environment(settings: Settings) -> dict[str, str]:
    """Return what all processes of a system have in their environment: above all the settings in force."""
    return {
        "FITS_DAGSTER_HOME": str(settings.home),
        "FITS_DAGSTER_DAGSTER_URL": dagster_url(settings).render_as_string(hide_password=False),
        _SETTINGS_VARIABLE: str(_effective_settings(settings)),
    }


def _code_server(site: str) -> str:
    return f"code-{site}"


def _prepare_instance(environment: dict[str, str], log_file: Path) -> None:
    """Make Dagster's tables and end the runs of an earlier life, in a process of its own."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        done = subprocess.run(
            [sys.executable, "-m", "fits_dagster.orchestration.instance"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_START_SECONDS,
            check=False,
        )
    if done.returncode:
        raise StartError(f"Dagster's instance could not be prepared; see {log_file}")


def _wait(settings: Settings, name: str, place: int | Path, host: str = "127.0.0.1") -> None:
    if not wait_until_listening(place, seconds=_START_SECONDS, host=host):
        log_file = settings.home / "logs" / f"{name}.log"
        raise StartError(f"{name} did not come up within {_START_SECONDS:.0f} s; see {log_file}")


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, whatever is going on, so that everything started is stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no second signal break off the stop: it takes seconds, and what it would leave runs for ever.

    Service managers and ``timeout`` signal a process and its group, so a second one is the rule.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_for_signal(system: System, *, until: Callable[[], bool] = lambda: False) -> None:
    """Keep the system's programs running until SIGTERM, SIGINT, or ``until`` says so."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        while not stop.wait(_LOOK_EVERY_S) and not until():
            system.look()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
