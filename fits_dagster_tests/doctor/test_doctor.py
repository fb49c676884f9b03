"""The doctor: each thing is broken for real, and it says so, what to do, and with the right exit status."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import URL, create_engine, text

from fits_dagster import __version__
from fits_dagster.broker import embedded_broker
from fits_dagster.doctor import configuration, partners, parts, places
from fits_dagster.doctor.checks import CHECKS, examine_system
from fits_dagster.doctor.clocks import clock_finding
from fits_dagster.doctor.examination import examine
from fits_dagster.doctor.finding import Check, Finding, exit_status, ok
from fits_dagster.settings import Settings, SiteSettings
from fits_dagster.sites import Site
from fits_dagster.system.home import code_socket
from fits_dagster.system.ports import free_port, wait_until_listening
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import HttpServer, serve

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def verdicts(findings: Iterator[Finding]) -> dict[str, str]:
    """The worst that is said of each subject."""
    order = ["ok", "warning", "wrong"]
    worst: dict[str, str] = {}
    for finding in findings:
        worst[finding.subject] = max(worst.get(finding.subject, "ok"), finding.verdict, key=order.index)
        assert finding.remedy or finding.verdict == "ok", "who says that something is wrong says what to do"
    return worst


def changed(settings: Settings, **changes: object) -> Settings:
    """Settings with the archive's changed."""
    return settings.with_sites(archive=settings.archive.model_copy(update=changes))


def destined(settings: Settings, url: str) -> Settings:
    summit: SiteSettings = settings.summit.model_copy(update={"export_destinations": (url,)})
    return settings.with_sites(summit=summit)


def test_the_exit_status_is_that_of_the_worst() -> None:
    warns, fails = replace(ok("a", "b"), verdict="warning"), replace(ok("a", "b"), verdict="wrong")
    assert [exit_status(each) for each in ([], [ok("a", "b")], [ok("a", "b"), warns], [fails, warns])] == [
        *(0, 0, 1, 2)
    ]


def test_a_check_that_fails_or_hangs_leaves_the_others() -> None:
    over = threading.Event()

    def fails() -> Iterator[Finding]:
        yield ok("half", "well")
        raise RuntimeError("broken\nin two lines")

    def hangs() -> Iterator[Finding]:
        over.wait(30)
        yield ok("never", "seen")

    def fine() -> Iterator[Finding]:
        yield ok("it", "is well")

    began = time.monotonic()
    found = examine([Check("hangs", hangs), Check("fails", fails), Check("fine", fine)], patience=0.5)
    over.set()
    assert time.monotonic() - began < 5
    assert [(each.check, each.verdict) for each in found] == [
        ("hangs", "wrong"),
        ("fails", "ok"),
        ("fails", "wrong"),
        ("fine", "ok"),
    ]
    assert found[2].message == "could not be looked at: RuntimeError: broken"


def test_every_check_has_its_place_in_the_handbook() -> None:
    anchors = re.findall(r'id="doctor-([a-z-]+)"', OPERATIONS.read_text())
    assert sorted(anchors) == sorted(CHECKS)
    assert replace(ok("a", "b"), check="disk").runbook == "docs/operations.md#doctor-disk"


@pytest.mark.parametrize(
    ("content", "verdict", "word"),
    [
        ("[work]\nworkers = -1\n", "wrong", "work.workers"),
        ("[work\n", "wrong", "Expected"),
        ("[alert]\nemail_to = []\n", "wrong", "did you mean alerts?"),
        ("keep_runs_days = 3\n", "ok", "secrets"),
        # somebody else could read the secret
        ('database_url = "postgresql://u:p@localhost"\n', "warning", "chmod 600"),
    ],
)
def test_settings_that_are_wrong_are_told(tmp_path: Path, content: str, verdict: str, word: str) -> None:
    (tmp_path / "settings.toml").write_text(content)
    (tmp_path / "settings.toml").chmod(0o644)
    settings, found = configuration.read_settings(tmp_path)
    if settings is not None:
        found += configuration.settings_file(settings)
    assert max(found, key=lambda each: exit_status([each])).verdict == verdict
    assert any(word in each.message + each.remedy for each in found)


def test_nobody_to_tell_is_a_warning(settings: Settings) -> None:
    assert verdicts(configuration.alert_ways(settings)) == {"alerts": "warning"}
    told = settings.alerts.model_copy(update={"webhook_url": SecretStr("http://chat.example.org")})
    assert verdicts(configuration.alert_ways(settings.model_copy(update={"alerts": told}))) == {
        "alerts": "ok"
    }


def test_databases_that_are_well(settings: Settings) -> None:
    assert verdicts(parts.databases(settings)) == {"summit database": "ok", "archive database": "ok"}


def test_a_database_that_is_away_leaves_the_other(settings: Settings) -> None:
    away = changed(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/fits")
    found = list(parts.databases(away))
    assert verdicts(iter(found)) == {"summit database": "ok", "archive database": "wrong"}
    assert "does not answer" in found[-1].message


def test_no_database_yet(tmp_path: Path) -> None:
    settings, _ = configuration.read_settings(tmp_path)
    assert settings is not None
    assert set(verdicts(parts.databases(settings)).values()) == {"wrong"}
    assert list(tmp_path.iterdir()) == [], "nothing is started or made"


def test_another_schema_is_wrong(settings: Settings, summit: Site) -> None:
    read = text("select version_num from alembic_version")
    write = text("update alembic_version set version_num = :version")
    with summit.engine.begin() as connection:
        right = connection.scalar(read)
        connection.execute(write, {"version": "0001"})
    try:
        found = list(parts.databases(settings))
    finally:
        with summit.engine.begin() as connection:
            connection.execute(write, {"version": right})
    assert verdicts(iter(found)) == {"summit database": "wrong", "archive database": "ok"}
    assert any("fits-dagster migrate" in each.remedy for each in found)


def test_clocks_are_compared() -> None:
    before = datetime.now(UTC)
    after = before + timedelta(seconds=1)
    for apart, verdict in ((0.5, "ok"), (2, "ok"), (10, "warning"), (-10, "warning"), (99, "wrong")):
        there = before + timedelta(seconds=apart)
        assert clock_finding("there", there, before, after).verdict == verdict, apart
    assert clock_finding("there", before - timedelta(minutes=1), before, after).message == (
        "its clock is 60 s behind"
    )


@pytest.fixture
def brokered(settings: Settings) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """Settings with a broker that runs, and how to kill it."""
    port = free_port()
    with subprocess.Popen(embedded_broker(settings, port), stdout=subprocess.DEVNULL) as broker:

        def kill() -> None:
            broker.kill()
            broker.wait()

        assert wait_until_listening(port, seconds=10)
        yield settings, kill
        kill()


def test_the_broker_and_its_workers(brokered: tuple[Settings, Callable[[], None]]) -> None:
    settings, kill = brokered
    assert verdicts(parts.broker(settings)) == {"broker": "ok"}
    [nobody] = parts.workers(settings)
    assert (nobody.verdict, "no worker" in nobody.message) == ("wrong", True)
    kill()
    assert verdicts(parts.broker(settings)) == {"broker": "wrong"}
    [silent] = examine([Check("workers", lambda: parts.workers(settings))])
    assert silent.verdict == "wrong"


def test_no_broker_yet(settings: Settings) -> None:
    assert verdicts(parts.broker(settings)) == {"broker": "wrong"}


def test_directories_that_are_away_or_cannot_be_written(settings: Settings) -> None:
    settings.home.mkdir(exist_ok=True)
    assert set(verdicts(places.directories(settings)).values()) == {"ok"}
    dhs, store, staging = (
        settings.summit.dhs_directory,
        settings.archive.store_directory,
        settings.archive.staging_directory,
    )
    assert dhs is not None and store is not None and staging is not None
    dhs.rmdir()
    store.rmdir()
    store.write_text("a file in its place")
    found = verdicts(places.directories(settings))
    assert found.pop(str(dhs)) == "wrong"
    assert found.pop(str(store)) == "wrong"
    assert set(found.values()) == {"ok"}
    assert list(staging.iterdir()) == [], "nothing is left behind"


def test_a_directory_that_cannot_be_written(settings: Settings) -> None:
    # nobody can write there, not even root
    sealed = changed(settings, staging_directory=Path("/proc/self"))
    assert verdicts(places.directories(sealed))["/proc/self"] == "wrong"


def test_disks_with_little_space(settings: Settings) -> None:
    store = str(settings.archive.store_directory)

    def with_least(gb: float) -> Settings:
        return settings.model_copy(
            update={"alerts": settings.alerts.model_copy(update={"disk_free_gb": {store: gb}})}
        )

    assert verdicts(places.disks(with_least(0)))[store] == "ok"
    assert verdicts(places.disks(with_least(1e9)))[store] == "warning"
    full = changed(settings, min_free_bytes=10**18)
    assert verdicts(places.disks(full))[store] == "wrong"


def test_a_store_that_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    endpoint = f"http://127.0.0.1:{free_port()}"
    s3 = settings.archive.s3.model_copy(
        update={"bucket": "data", "endpoint_url": endpoint, "max_attempts": 1}
    )
    assert verdicts(places.stores(changed(settings, store="s3", s3=s3))) == {"archive bucket data": "wrong"}
    assert verdicts(places.stores(settings)) == {}


def test_web_applications(settings: Settings, archive: Site, archive_http: HttpServer) -> None:
    port = int(archive_http.url.rsplit(":", 1)[1])
    here = changed(settings, port=port)
    assert verdicts(parts.web_applications(here)) == {
        "summit web application": "wrong",
        "archive web application": "ok",
    }


def test_a_web_application_of_an_older_version_is_to_be_restarted(
    settings: Settings, other_server: Callable[..., str]
) -> None:
    url = other_server(version="0.0.1")
    old = changed(settings, port=int(url.rsplit(":", 1)[1]))
    assert verdicts(parts.web_applications(old))["archive web application"] == "warning"


def test_code_servers(settings: Settings) -> None:
    path = code_socket(settings, "summit")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert verdicts(parts.code_servers(settings)) == {
            "summit code server": "ok",
            "archive code server": "wrong",
        }


@pytest.fixture
def dagster_database(settings: Settings, postgres_server: URL) -> Iterator[tuple[Settings, URL]]:
    """A database that holds what the doctor asks Dagster's database for."""
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("drop database if exists dagster"))
        connection.execute(text("create database dagster"))
    url = postgres_server.set(database="dagster")
    engine = create_engine(url)
    with engine.begin() as connection:
        for table, columns in (
            ("daemon_heartbeats", "daemon_type text, timestamp timestamp"),
            ("instigators", "selector_id text, status text, instigator_type text, instigator_body text"),
            ("job_ticks", "selector_id text, timestamp timestamp"),
            ("runs", "pipeline_name text, status text, run_id text, update_timestamp timestamp"),
        ):
            connection.execute(text(f"create table {table} ({columns})"))
    engine.dispose()
    server = postgres_server.render_as_string(hide_password=False)
    yield settings.model_copy(update={"database_url": server}), url
    with admin.connect() as connection:
        connection.execute(text("drop database dagster with (force)"))
    admin.dispose()


def test_the_daemon_and_the_sensors(dagster_database: tuple[Settings, URL]) -> None:
    settings, url = dagster_database
    assert verdicts(parts.daemon(settings)) == {"daemon": "wrong"}
    engine = create_engine(url)
    now = datetime.now(UTC).replace(tzinfo=None)
    with engine.begin() as connection:
        for kind in ("SENSOR", "QUEUED_RUN_COORDINATOR"):
            connection.execute(
                text("insert into daemon_heartbeats values (:k, :now)"), {"k": kind, "now": now}
            )
    assert verdicts(parts.daemon(settings)) == {"daemon": "ok"}
    with engine.begin() as connection:
        late = now - timedelta(hours=1)
        connection.execute(text("insert into instigators values ('1', 'RUNNING', 'SENSOR', '{}')"))
        connection.execute(text("insert into job_ticks values ('1', :late)"), {"late": late})
        connection.execute(text("insert into runs values ('summit', 'FAILURE', 'x', :now)"), {"now": now})
    engine.dispose()
    assert verdicts(parts.daemon(settings)) == {"sensor": "wrong", "runs": "warning"}


@pytest.fixture
def other_server() -> Iterator[Callable[..., str]]:
    """Serve ``/health`` of another server, as it should not be."""
    servers = []

    def start(
        *,
        version: str = __version__,
        late: float = 0,
        status: int = 200,
        context: ssl.SSLContext | None = None,
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"version": version}).encode()
                self.send_response_only(status)
                there = datetime.now(UTC) - timedelta(seconds=late)
                self.send_header("Date", format_datetime(there, usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("more", "verdict", "word"),
    [
        ({}, "ok", "answers"),
        ({"version": "0.0.1"}, "warning", "0.0.1"),
        ({"late": 10}, "warning", "behind"),
        ({"late": -100}, "wrong", "ahead"),
        ({"status": 503}, "wrong", "503"),
    ],
)
def test_destinations(
    settings: Settings, other_server: Callable[..., str], more: dict[str, object], verdict: str, word: str
) -> None:
    url = other_server(**more)
    found = list(partners.destinations(destined(settings, url)))
    assert verdicts(iter(found)) == {url: verdict}
    assert any(word in each.message for each in found)


def test_a_destination_that_is_away(settings: Settings) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    [found] = partners.destinations(destined(settings, url))
    assert (found.verdict, "nothing is lost" in found.remedy) == ("wrong", True)


def test_the_archive_itself_is_a_good_destination(settings: Settings, archive_http: HttpServer) -> None:
    assert verdicts(partners.destinations(destined(settings, archive_http.url))) == {archive_http.url: "ok"}


@pytest.mark.parametrize(
    ("days", "trusted", "verdict"), [(90, True, "ok"), (5, True, "warning"), (90, False, "wrong")]
)
def test_certificates(
    settings: Settings,
    other_server: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    trusted: bool,
    verdict: str,
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-days", str(days)),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = other_server(context=context)
    assert verdicts(partners.certificates(destined(settings, url))) == {url: verdict}
    assert verdicts(partners.certificates(destined(settings, "http://127.0.0.1:1"))) == {}


def command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FITS_DAGSTER")}
    return subprocess.run(
        [sys.executable, "-m", "fits_dagster", "doctor", "--home", str(home), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_says_what_is_wrong_what_to_do_and_where_to_read_on(tmp_path: Path) -> None:
    done = command("--json", home=tmp_path / "home")
    assert done.returncode == 2, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == 2
    assert {each["check"] for each in told["findings"]} >= {"database", "broker", "web", "daemon", "disk"}
    for each in told["findings"]:
        assert each["runbook"] == f"docs/operations.md#doctor-{each['check']}"
    text = command("--quiet", home=tmp_path / "home").stdout
    assert re.search(r"^wrong +database: summit database: no database", text, re.MULTILINE)
    assert not re.search(r"^ok", text, re.MULTILINE)


def test_a_system_that_is_well_has_status_0(
    brokered: tuple[Settings, Callable[[], None]], summit: Site, archive: Site
) -> None:
    settings, _ = brokered
    server, stop = serve(create_app(archive, session_hours=1))
    try:
        well = changed(settings, port=int(server.url.rsplit(":", 1)[1]))
        least = settings.alerts.model_copy(update={"least_free_gb": 0, "email_to": ("a@example.org",)})
        well = destined(well.model_copy(update={"alerts": least, "sites": ("archive",)}), server.url)
        looked = ("database", "broker", "directories", "disk", "web", "destinations", "alerts", "settings")
        found = examine([Check(name, lambda look=CHECKS[name]: look(well)) for name in looked])
        assert [each for each in found if each.verdict != "ok"] == []
    finally:
        stop()


def test_bad_settings_are_all_that_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[work]\nworkers = -1\n")
    [found] = examine_system(tmp_path)
    assert (found.check, found.verdict) == ("settings", "wrong")
