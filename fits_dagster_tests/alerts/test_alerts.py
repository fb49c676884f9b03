"""Alerts: what is found, that it arrives by mail and webhook, and that a storm makes few messages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.alerts.alarm import Alarm
from fits_dagster.alerts.conditions import disk_alarms, site_alarms
from fits_dagster.alerts.senders import AlertsNotSentError, send
from fits_dagster.alerts.state import mark_sent, update_alerts
from fits_dagster.alerts.watch import Watch
from fits_dagster.cli import cli
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.management import pause_stage
from fits_dagster.settings import AlertSettings, Settings
from fits_dagster.sites import Site
from fits_dagster.system.ports import free_port


class Mailbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A mail server on the loop-back interface, and its port."""
    box = Mailbox()
    port = free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture
def webhook() -> Iterator[tuple[list[dict[str, Any]], str]]:
    """An HTTP server that keeps what is posted, and its address."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield received, f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    server.server_close()


def fail(site: Site, count: int, *, reason: str = "truncated", start: int = 0) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            text("""
            insert into work_item (stage, filename, night, sort_key, state, reason, error, failed_at)
            select 'ingest', 'N20251123S' || n || '.fits', '20251123', 'z', 'failed', :reason, 'e', now()
            from generate_series(cast(:start as int), :start + :count - 1) n
            """),
            {"count": count, "reason": reason, "start": start},
        )


@pytest.fixture
def watched(settings: Settings, mailbox: tuple[Mailbox, int]) -> Iterator[Watch]:
    """A watch of both sites that writes to the mailbox."""
    alerts = AlertSettings(
        smtp_host="127.0.0.1", smtp_port=mailbox[1], email_to=("night@example.org",), least_free_gb=0
    )
    quiet = {"export_destinations": ()}
    watch = Watch(
        settings.model_copy(
            update={
                "alerts": alerts,
                "summit": settings.summit.model_copy(update=quiet),
                # there is no database of Dagster in these tests
                "database_url": "postgresql://127.0.0.1:9/",
            }
        )
    )
    yield watch
    watch.close()


def test_a_storm_of_failures_makes_a_handful_of_messages(
    watched: Watch, mailbox: tuple[Mailbox, int]
) -> None:
    summit = watched.sites["summit"]
    for burst in range(10):
        fail(summit, 1000, start=burst * 1000)
        watched.look()
    assert len(mailbox[0].messages) == 1
    [message] = mailbox[0].messages
    assert message["To"] == "night@example.org"
    assert "1000 files failed in ingest with truncated" in message.get_content()
    # another reason is something new; both together make one more message
    fail(summit, 5, reason="not_fits", start=20_000)
    fail(summit, 5, reason="bad_header", start=30_000)
    watched.look()
    watched.look()
    assert len(mailbox[0].messages) == 2
    assert "not_fits" in mailbox[0].messages[1].get_content()
    assert "bad_header" in mailbox[0].messages[1].get_content()


def test_the_end_of_a_condition_is_told_once(watched: Watch, mailbox: tuple[Mailbox, int]) -> None:
    summit = watched.sites["summit"]
    fail(summit, 1)
    watched.look()
    with summit.engine.begin() as connection:
        connection.execute(text("delete from work_item"))
    watched.look()
    watched.look()
    assert [message["Subject"].split()[1] for message in mailbox[0].messages] == ["NEW:", "OVER:"]


def test_what_could_not_be_sent_is_sent_at_the_next_look(
    settings: Settings, mailbox: tuple[Mailbox, int], summit: Site
) -> None:
    fail(summit, 1)
    nowhere = AlertSettings(smtp_host="127.0.0.1", smtp_port=9, email_to=("night@example.org",))
    calm = settings.summit.model_copy(update={"export_destinations": ()})
    base = settings.with_sites(summit=calm).model_copy(update={"database_url": "postgresql://127.0.0.1:9/"})
    for alerts, told in ((nowhere, False), (nowhere.model_copy(update={"smtp_port": mailbox[1]}), True)):
        watch = Watch(base.model_copy(update={"alerts": alerts}))
        assert bool(watch.look()) is told
        watch.close()
    assert len(mailbox[0].messages) == 1


def test_a_webhook_gets_the_text_and_the_alerts(webhook: tuple[list[dict[str, Any]], str]) -> None:
    from fits_dagster.alerts.state import Notice

    received, url = webhook
    send([Notice("disk", "disk:/data", "/data has 1.0 GB free.", "new")], AlertSettings(webhook_url=url))
    [posted] = received
    assert "/data has 1.0 GB free." in posted["text"]
    assert posted["alerts"][0]["kind"] == "disk"


def test_one_way_that_works_is_enough(webhook: tuple[list[dict[str, Any]], str]) -> None:
    from fits_dagster.alerts.state import Notice

    notice = Notice("disk", "disk:/data", "full", "new")
    broken = AlertSettings(smtp_host="127.0.0.1", smtp_port=9, email_to=("a@example.org",))
    with pytest.raises(AlertsNotSentError):
        send([notice], broken)
    send(
        [notice], broken.model_copy(update={"webhook_url": AlertSettings(webhook_url=webhook[1]).webhook_url})
    )
    assert len(webhook[0]) == 1


def rounds(site: Site, settings: AlertSettings, alarms: list[Alarm]) -> list[tuple[str, str]]:
    with site.engine.begin() as connection:
        notices = update_alerts(connection, alarms, ["failed"], settings)
        mark_sent(connection, notices)
    return [(notice.subject, notice.what) for notice in notices]


def later(site: Site, minutes: float) -> None:
    """Let time pass for what is remembered."""
    with site.engine.begin() as connection:
        connection.execute(
            text("""
            update alert set notified_at = notified_at - make_interval(secs => :s),
                first_at = first_at - make_interval(secs => :s),
                over_at = over_at - make_interval(secs => :s)
            """),
            {"s": minutes * 60},
        )


def test_when_something_is_told_again(summit: Site) -> None:
    settings = AlertSettings(quiet_minutes=30, repeat_hours=6)
    one, many = Alarm("failed", "a", "1 file", 1), Alarm("failed", "a", "10 files", 10)
    assert rounds(summit, settings, [one]) == [("a", "new")]
    assert rounds(summit, settings, [one]) == []
    # it flutters: the end is told, its return within the quiet time is not
    assert rounds(summit, settings, []) == [("a", "over")]
    assert rounds(summit, settings, [one]) == []
    later(summit, 31)
    assert rounds(summit, settings, [one]) == [("a", "new")]
    assert rounds(summit, settings, [many]) == []
    later(summit, 31)
    assert rounds(summit, settings, [many]) == [("a", "lasts")], "ten times as much"
    later(summit, 6 * 60 + 1)
    assert rounds(summit, settings, [many]) == [("a", "lasts")]


def test_conditions_of_a_site(summit: Site) -> None:
    settings = AlertSettings(long_queue=3, destination_minutes=15)
    assert list(site_alarms(summit, settings)) == []
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=f"N20251123S000{n}.fits") for n in range(3)])
        add_work(
            connection, [NewWork(stage="export", filename="N20251123S0009.fits", destination="http://far")]
        )
        connection.execute(
            text("insert into destination (url, failures, error) values ('http://far', 4, 'no')")
        )
        connection.execute(
            text("update work_item set added_at = now() - interval '20 minutes' where stage = 'export'")
        )
        pause_stage(connection, "copy", who="anna")
    found = {alarm.subject: alarm.message for alarm in site_alarms(summit, settings)}
    assert set(found) == {"growing:summit:ingest", "destination:summit:http://far", "stuck:summit:copy"}
    assert "paused by anna" in found["stuck:summit:copy"]


def test_a_full_disk_and_a_dhs_that_cannot_be_read(summit: Site) -> None:
    assert summit.settings.dhs_directory is not None
    shutil.rmtree(summit.settings.dhs_directory)
    settings = AlertSettings(least_free_gb=0, disk_free_gb={str(summit.settings.store_directory): 1e9})
    found = {alarm.kind: alarm.message for alarm in disk_alarms(summit, settings)}
    assert "cannot be read" in found["dhs"]
    assert "less than 1e+09 GB" in found["disk"]


def test_a_database_that_does_not_answer_is_told(settings: Settings, mailbox: tuple[Mailbox, int]) -> None:
    gone = settings.archive.model_copy(update={"database_url": "postgresql://127.0.0.1:9/none"})
    alerts = AlertSettings(smtp_host="127.0.0.1", smtp_port=mailbox[1], email_to=("night@example.org",))
    watch = Watch(
        settings.with_sites(archive=gone).model_copy(update={"alerts": alerts, "sites": ("archive",)})
    )
    assert [notice.kind for notice in watch.look()] == ["database"]
    assert watch.look() == []
    watch.close()
    assert len(mailbox[0].messages) == 1


def test_the_commands_list_what_lasts_and_send_a_test(
    settings: Settings,
    summit: Site,
    mailbox: tuple[Mailbox, int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from fits_dagster.settings import write_effective

    with summit.engine.begin() as connection:
        update_alerts(connection, [Alarm("failed", "a", "3 files have failed")], ["failed"], AlertSettings())
    effective = tmp_path / "effective.json"
    alerts = AlertSettings(smtp_host="127.0.0.1", smtp_port=mailbox[1], email_to=("night@example.org",))
    write_effective(settings.model_copy(update={"alerts": alerts}), effective)
    import fits_dagster.cli.alerts as command
    from fits_dagster.settings import load_settings

    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(effective))
    monkeypatch.setattr(command, "load_settings", lambda _: load_settings())
    answer = CliRunner().invoke(cli, ["alerts", "list"])
    assert "3 files have failed" in answer.output
    answer = CliRunner().invoke(cli, ["alerts", "test"])
    assert answer.output == "sent: e-mail to night@example.org\n"
    assert "This is a test" in mailbox[0].messages[0].get_content()


def test_a_silent_daemon_and_a_silent_sensor_are_found(summit: Site) -> None:
    from fits_dagster.alerts.dagster_health import dagster_alarms

    now = datetime.now(UTC)
    long_ago = (now - timedelta(minutes=20)).replace(tzinfo=None)
    body = '{"origin": {"code_location_origin": {"location_name": "summit"}, "instigator_name": "dhs_files"}}'
    with summit.engine.connect() as connection:
        for table, columns in (
            ("daemon_heartbeats", "daemon_type text, timestamp timestamp"),
            ("instigators", "selector_id text, status text, instigator_type text, instigator_body text"),
            ("job_ticks", "selector_id text, timestamp timestamp"),
            ("runs", "pipeline_name text, status text, run_id text, update_timestamp timestamp"),
        ):
            connection.execute(text(f"create temp table {table} ({columns})"))
        assert {a.subject for a in dagster_alarms(connection, AlertSettings())} == {
            "daemon:SENSOR",
            "daemon:QUEUED_RUN_COORDINATOR",
        }
        values = {"now": now.replace(tzinfo=None), "then": long_ago, "body": body}
        for table, rows in (
            ("daemon_heartbeats", "('SENSOR', :now), ('QUEUED_RUN_COORDINATOR', :now)"),
            ("instigators", "('1', 'DECLARED_IN_CODE', 'SENSOR', :body), ('2', 'STOPPED', 'SENSOR', :body)"),
            ("job_ticks", "('1', :then), ('2', :then)"),
            ("runs", "('summit_night', 'FAILURE', 'abc', :now), ('summit_night', 'FAILURE', 'x', :then)"),
        ):
            connection.execute(text(f"insert into {table} values {rows}"), values)
        found = {a.subject: a for a in dagster_alarms(connection, AlertSettings(), now)}
    assert set(found) == {"sensor:summit/dhs_files", "run:summit_night"}
    assert found["run:summit_night"].size == 2
