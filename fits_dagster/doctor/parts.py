"""Databases, broker and the programs of a system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import requests
from sqlalchemy import create_engine

from fits_dagster import __version__
from fits_dagster.alerts.dagster_health import dagster_alarms
from fits_dagster.broker import BrokerError, broker_url, count_workers, wait_for_broker, without_password
from fits_dagster.database.server import dagster_url, open_engine
from fits_dagster.doctor.clocks import clock_finding
from fits_dagster.doctor.finding import Finding, ok, warning, wrong
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.schema.migrate import SchemaVersionError, check_version
from fits_dagster.settings import Settings
from fits_dagster.system.home import code_socket, read_running
from fits_dagster.system.ports import is_listening

__all__ = ["broker", "code_servers", "daemon", "databases", "web_applications", "workers"]

_CONNECT_S: Final = 5
_OLDEST_POSTGRESQL: Final = 140000
_START: Final = "start it: 'fits-dagster up', or 'systemctl start fits.target'"


def databases(settings: Settings) -> Iterator[Finding]:
    """Look whether databases answer, have the right schema and the right time."""
    for name in settings.sites:
        subject = f"{name} database"
        try:
            engine = open_engine(settings, name, pool_size=1)
        except FileNotFoundError as error:
            yield wrong(subject, str(error), _START)
            continue
        try:
            with engine.connect() as connection:
                before = datetime.now(UTC)
                row = connection.execute(RECORDS["server_version"]).one()
                after = datetime.now(UTC)
            yield _version_of_server(subject, row.version)
            yield clock_finding(subject, row.now, before, after)
            check_version(engine)
            yield ok(subject, "has the schema of this version")
        except SchemaVersionError as error:
            yield wrong(subject, str(error), "'fits-dagster migrate' with the version that is to run")
        except Exception as error:  # the driver's errors are many
            line = (str(error).splitlines() or [type(error).__name__])[0]
            yield wrong(subject, f"does not answer: {line}", "start PostgreSQL; look at database_url")
        finally:
            engine.dispose()


def _version_of_server(subject: str, version: int) -> Finding:
    said = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version < _OLDEST_POSTGRESQL:
        return warning(subject, f"{said} is older than what is tested", "upgrade PostgreSQL")
    return ok(subject, f"answers: {said}")


def broker(settings: Settings) -> Iterator[Finding]:
    """Look whether the broker takes a connection."""
    try:
        url = broker_url(settings)
        wait_for_broker(settings, seconds=0)
    except (BrokerError, FileNotFoundError) as error:
        yield wrong("broker", str(error), f"look at broker_url and the broker's log, or {_START}")
    else:
        yield ok("broker", f"{without_password(url)} answers")


def workers(settings: Settings) -> Iterator[Finding]:
    """Look whether somebody takes work."""
    number = count_workers(settings)
    if number is None:
        yield ok("workers", "this broker does not tell how many listen; its own monitoring does")
    elif number == 0:
        yield wrong("workers", "no worker listens at the broker: nothing is done", _START)
    else:
        yield ok("workers", f"{number} listen at the broker")


def code_servers(settings: Settings) -> Iterator[Finding]:
    """Look whether Dagster's code servers listen on their sockets."""
    running = read_running(settings)
    if running is not None:
        sockets = {site: Path(path) for site, path in running.code_sockets.items()}
    else:
        sockets = {str(site): code_socket(settings, site) for site in settings.sites}
    for site, path in sockets.items():
        subject = f"{site} code server"
        if is_listening(path):
            yield ok(subject, f"listens on {path}")
        else:
            yield wrong(subject, f"does not listen on {path}", f"see logs/code-{site}.log, or {_START}")


def web_applications(settings: Settings) -> Iterator[Finding]:
    """Look whether the web applications answer, with the version that is installed."""
    for name in settings.sites:
        site = settings.site(name)
        host = "127.0.0.1" if site.host in ("0.0.0.0", "::", "") else site.host  # noqa: S104 - compared, not bound
        url = f"http://{host}:{site.port}"
        subject = f"{name} web application"
        try:
            answer = requests.get(f"{url}/health", timeout=_CONNECT_S)
            answer.raise_for_status()
            version = answer.json()["version"]
        except (requests.RequestException, json.JSONDecodeError, KeyError, TypeError) as error:
            line = str(error).splitlines()[0]
            yield wrong(subject, f"{url} does not answer as it should: {line}", _START)
            continue
        if version != __version__:
            remedy = "restart it, to run what is installed"
            yield warning(subject, f"runs version {version}, while {__version__} is installed", remedy)
        else:
            yield ok(subject, f"{url} answers, version {version}")


def daemon(settings: Settings) -> Iterator[Finding]:
    """Look whether Dagster's daemon and sensors give signs of life, and whether runs have failed."""
    options = {"connect_timeout": _CONNECT_S, "options": "-c timezone=UTC"}
    url = dagster_url(settings).set(drivername="postgresql+psycopg")
    engine = create_engine(url, pool_size=1, connect_args=options)
    try:
        with engine.connect() as connection:
            alarms = list(dagster_alarms(connection, settings.alerts))
    finally:
        engine.dispose()
    for alarm in alarms:
        if alarm.kind == "run":
            yield warning(
                "runs", alarm.message, "see /queuestatus, column Errors; then 'fits-dagster queue retry'"
            )
        else:
            yield wrong(alarm.kind, alarm.message, f"see logs/daemon.log, or {_START}")
    if all(alarm.kind == "run" for alarm in alarms):
        yield ok("daemon", "Dagster's daemon and sensors are alive")
