"""The queue status page: queues in order, waiting and errors told apart, polls that tell what has changed."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import requests
from sqlalchemy import event, text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease
from fits_dagster.settings import load_settings
from fits_dagster.sites import Site
from fits_dagster.web.queues import queue_states, queues_of
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.web.conftest import form_token

RUN = "0123abcd-0123-4567-89ab-0123456789ab"


def poll(session: requests.Session, server: HttpServer, tokens: object = None) -> dict[str, dict[str, Any]]:
    answer = session.post(f"{server.url}/queuestatus/json", json=tokens, timeout=10)
    assert answer.status_code == 200, answer.text
    return {state["queue"]: state for state in answer.json()}


def change(site: Site, statement: str, **values: object) -> None:
    with site.engine.begin() as connection:
        connection.execute(text(statement), values)


def scalar(site: Site, statement: str) -> Any:
    with site.engine.connect() as connection:
        return connection.scalar(text(statement))


def test_each_site_has_the_four_queues_and_its_own() -> None:
    four = ["Ingest", "Export", "Preview", "Calcache"]
    settings = load_settings()
    assert [q.title for q in queues_of(settings.summit)] == [*four, "Copy", "Header edits"]
    assert [q.title for q in queues_of(settings.archive)] == [*four, "Store"]
    assert [q.short for q in queues_of(settings.summit)] == ["iq", "eq", "pq", "cq", "dq", "fq"]


def test_tabs_carry_totals_and_errors(staff: requests.Session, archive_http: HttpServer, queues: int) -> None:
    page = staff.get(f"{archive_http.url}/queuestatus", timeout=10).text
    assert "<h1>Archive (archive) - Queue Status Page</h1>" in page
    tabs = re.findall(
        r'<span>(\w+)</span>\s*\(<span class="total">(\d+)</span>'
        r'/<span class="error-total[^"]*">(\d+)</span>\)',
        page,
    )
    assert tabs[:4] == [
        ("Ingest", "30", "1"),
        ("Export", "0", "0"),
        ("Preview", "0", "0"),
        ("Calcache", "0", "0"),
    ]


def test_counts_and_rows_are_of_one_moment(archive: Site, queues: int) -> None:
    queued: list[int] = []

    @event.listens_for(archive.engine, "after_cursor_execute")
    def queue_another(connection: Any, cursor: Any, sql: str, *_: Any) -> None:
        if not queued and "from event" in sql:
            queued.append(1)
            with archive.engine.begin() as other:
                work.add_work(other, [NewWork(stage="store", filename="N20251124S0001.fits")])

    moment = {queue.short: state for queue, state in queue_states(archive)}["sq"]
    assert queued, "none came between counts and rows"
    assert (moment["total_waiting"], moment["waiting"]) == (0, [])
    after = {queue.short: state for queue, state in queue_states(archive)}["sq"]
    assert (after["total_waiting"], len(after["waiting"])) == (1, 1)


def test_a_poll_tells_only_what_has_changed(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    first = poll(staff, archive_http)
    ingest = first["iq"]
    assert list(first) == [queue.short for queue in queues_of(load_settings().archive)]
    assert (ingest["total_waiting"], ingest["total_errors"]) == (29, 1)
    assert len(ingest["waiting"]) == 20
    assert {"oid", "filename", "since"} <= set(ingest["errors"][0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", ingest["errors"][0]["since"])
    tokens = {short: state["token"] for short, state in first.items()}
    time.sleep(1.1)  # ages have grown, nothing else
    again = poll(staff, archive_http, tokens)
    assert all(set(state) == {"queue", "token"} for state in again.values())
    change(archive, "delete from work_item where state = 'failed'")
    changed = poll(staff, archive_http, tokens)
    assert [short for short, state in changed.items() if "waiting" in state] == ["iq"]


@pytest.mark.parametrize(
    "statement",
    [
        "update work_item set reason = 'truncated' where state = 'failed'",
        "update work_item set error = 'other' where state = 'failed'",
        "update work_item set not_before = now() + interval '1 hour' where filename like '%0000.fits'",
        "insert into pause (stage, paused_by) values ('ingest', 'olga')",
        "insert into event (stage, outcome, filename, night) values ('ingest', 'ingested', 'N1.fits', '')",
    ],
)
def test_the_token_changes_with_everything_that_is_shown(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int, statement: str
) -> None:
    before = poll(staff, archive_http)
    change(archive, statement)
    after = poll(staff, archive_http, {short: state["token"] for short, state in before.items()})
    assert [short for short, state in after.items() if "waiting" in state] == ["iq"]


def test_waiting_items_are_classify_error(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    change(
        archive,
        "update work_item set not_before = now() + interval '1 hour', attempts = 3, reason = 'network' "
        "where filename = 'N20251123S0001.fits'",
    )
    change(
        archive,
        "update work_item set not_before = now() + interval '1 hour', added_at = now() - interval '2 days' "
        "where filename in ('N20251123S0002.fits', 'N20251123S0003.fits')",
    )
    with archive.engine.begin() as connection:
        work.claim(connection, "ingest", new_lease("test", 60), limit=1)
    ingest = poll(staff, archive_http)["iq"]
    numbers = {key: ingest[key] for key in ("due", "running", "retrying", "deferred", "total_errors")}
    assert numbers == {"due": 25, "running": 1, "retrying": 1, "deferred": 2, "total_errors": 1}
    assert ingest["total_waiting"] == 29
    rows = {row["filename"]: row for row in ingest["waiting"]}
    assert ingest["waiting"][0]["state"] == "running"
    assert ingest["oldest"] == rows["N20251123S0002.fits"]["added"]
    assert re.match(r"retry (\d{4}-\d\d-\d\d )?\d\d:\d\d", rows["N20251123S0001.fits"]["state"])
    assert rows["N20251123S0002.fits"]["state"].startswith("later ")
    assert rows["N20251123S0004.fits"]["state"] == "due"


def test_previews_wait_in_the_order_of_their_names(
    staff: requests.Session, archive_http: HttpServer, archive: Site
) -> None:
    with archive.engine.begin() as connection:
        for name in ("N20251123S0002.fits", "N20251123S0009.fits", "N20251123S0005.fits"):
            work.add_work(connection, [NewWork(stage="preview", filename=name)])
    shown = [row["filename"] for row in poll(staff, archive_http)["pq"]["waiting"]]
    assert shown == ["N20251123S0009.fits", "N20251123S0005.fits", "N20251123S0002.fits"]


def test_the_throughput_of_the_last_hour_is_counted(
    staff: requests.Session, archive_http: HttpServer, archive: Site
) -> None:
    change(
        archive,
        "insert into event (at, stage, outcome, filename, night) select now() - minutes * interval '1 min', "
        "'ingest', outcome, 'N1.fits', '' from (values (10, 'ingested'), (10, 'unchanged'), (10, 'failed'), "
        "(30, 'retrying'), (90, 'ingested')) as given(minutes, outcome)",
    )
    state = poll(staff, archive_http)["iq"]
    assert [slot[1:] for slot in state["throughput"]] == [[0, 0, 1], [2, 1, 0]]
    assert all(slot[0] % state["slot_seconds"] == 0 for slot in state["throughput"])


def test_an_error_leads_to_its_run_and_says_how_often_its_reason_occurs(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    assert poll(staff, archive_http)["iq"]["errors"][0]["run"] == ""
    change(archive, "update work_item set run_id = :run where state = 'failed'", run=RUN)
    ingest = poll(staff, archive_http)["iq"]
    assert ingest["errors"][0]["run"] == f"/dagster/runs/{RUN}"
    assert ingest["reasons"] == [{"reason": "not_fits", "count": 1}]
    page = staff.get(f"{archive_http.url}/queuestatus/iq/{queues}", timeout=10).text
    assert f'href="/dagster/runs/{RUN}"' in page
    assert 'href="/queuestatus#iq"' in page


def test_an_error_shows_its_reason_and_traceback_escaped(
    staff: requests.Session, archive_http: HttpServer, queues: int
) -> None:
    page = staff.get(f"{archive_http.url}/queuestatus/iq/{queues}", timeout=10).text
    assert "not_fits" in page
    assert "Traceback: &lt;here&gt;" in page


@pytest.mark.parametrize("path", ["iq/999999", "iq/x", "zz/1", f"iq/{'9' * 30}", "iq/²"])
def test_an_unknown_item_leads_back_to_the_page(
    staff: requests.Session, archive_http: HttpServer, path: str
) -> None:
    answer = staff.get(f"{archive_http.url}/queuestatus/{path}", timeout=10)
    assert answer.url.endswith("/queuestatus")


# ---- buttons


def test_the_retry_button_puts_a_failure_back_into_its_queue(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/iq/{queues}"
    token = form_token(staff, url)
    assert staff.post(f"{url}/retry", data={"token": token}, timeout=10).url.endswith("/queuestatus#iq")
    assert scalar(archive, "select count(*) from work_item where state = 'failed'") == 0
    assert scalar(archive, "select who from audit where action = 'retry'") == "anna"


def test_the_cancel_button_removes_an_item(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/iq/{queues}"
    form = {"token": form_token(staff, url)}
    asked = staff.post(f"{url}/cancel", data=form, timeout=10).text
    assert "N20251123S0029.fits off the queue Ingest?" in asked
    assert scalar(archive, "select count(*) from work_item") == 30
    for outcome in ("N20251123S0029.fits was taken off the queue Ingest", "Nothing was done"):
        page = staff.post(f"{url}/cancel", data={**form, "confirmed": "yes"}, timeout=10)
        assert page.url.endswith("/queuestatus#iq")
        assert outcome in page.text
        assert scalar(archive, "select count(*) from work_item") == 29
        # it is said once
        assert outcome not in staff.get(f"{archive_http.url}/queuestatus", timeout=10).text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/about/\\evil", "/dagster"])
def test_a_button_leads_nowhere_else(
    staff: requests.Session, archive_http: HttpServer, queues: int, back: str
) -> None:
    url = f"{archive_http.url}/queuestatus/iq/{queues}"
    form = {"token": form_token(staff, url), "back": back}
    answer = staff.post(f"{url}/retry", data=form, timeout=10, allow_redirects=False)
    assert answer.headers["location"] == "/queuestatus#iq"


def test_failures_of_one_reason_are_tried_again_at_once_and_all_of_them_after_a_question(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    change(
        archive,
        "update work_item set state = 'failed', failed_at = now(), reason = 'truncated' where id % 10 = 1",
    )
    change(
        archive, "update work_item set stage = 'store' where filename = (select max(filename) from work_item)"
    )
    reasons = {r["reason"]: r["count"] for r in poll(staff, archive_http)["iq"]["reasons"]}
    failed, truncated = sum(reasons.values()), reasons["truncated"]
    url = f"{archive_http.url}/queuestatus/iq/retry"
    token = form_token(staff, f"{archive_http.url}/queuestatus")
    staff.post(url, data={"token": token, "reason": "truncated"}, timeout=10)
    assert poll(staff, archive_http)["iq"]["total_errors"] == failed - truncated
    question = staff.post(url, data={"token": token}, timeout=10)
    assert "Try all again?" in question.text
    assert poll(staff, archive_http)["iq"]["total_errors"] == failed - truncated
    answer = staff.post(url, data={"token": token, "confirmed": "yes"}, timeout=10)
    assert answer.url.endswith("/queuestatus#iq")
    assert poll(staff, archive_http)["iq"]["total_errors"] == 0
    assert scalar(archive, "select count(*) from audit where action = 'retry'") == 2


def test_a_stage_is_paused_and_resumed(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/iq"
    token = form_token(staff, f"{archive_http.url}/queuestatus")
    staff.post(f"{url}/pause", data={"token": token}, timeout=10)
    states = poll(staff, archive_http)
    assert states["iq"]["paused"]["by"] == "anna"
    assert states["sq"]["paused"] is None
    with archive.engine.begin() as connection:
        assert work.claim(connection, "ingest", new_lease("test", 60), limit=1) == []
    staff.post(f"{url}/resume", data={"token": token}, timeout=10)
    assert poll(staff, archive_http)["iq"]["paused"] is None


@pytest.mark.parametrize("path", ["iq/{id}/cancel", "iq/{id}/retry", "iq/retry", "iq/pause", "iq/resume"])
def test_a_forged_or_anonymous_request_changes_nothing(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int, path: str
) -> None:
    url = f"{archive_http.url}/queuestatus/{path.format(id=queues)}"
    form = {"confirmed": "yes"}
    assert staff.post(url, data={"token": "forgéd", **form}, timeout=10).status_code == 403
    assert staff.post(url, data=form, timeout=10).status_code == 403
    assert requests.post(url, data={"token": "x", **form}, timeout=10).status_code == 403
    assert scalar(archive, "select count(*) from work_item where state = 'failed'") == 1
    assert scalar(archive, "select count(*) from work_item") == 30
    assert scalar(archive, "select count(*) from pause") == 0


# ---- long queues


def test_the_page_arrives_with_long_queues(
    staff: requests.Session, archive_http: HttpServer, archive: Site
) -> None:
    change(
        archive,
        """
        insert into work_item (stage, filename, night, sort_key, state, added_at, not_before, attempts,
                               reason, error, traceback, failed_at)
        select case when n % 3 = 0 then 'preview' else 'ingest' end, 'N20251123S' || n || '.fits', '20251123',
               'z' || n, case when n > 100000 then 'failed' else 'waiting' end,
               now() - n * interval '1 s', now() + (n % 3 - 1) * interval '1 h', n % 2,
               case when n > 100000 then 'truncated' end, case when n > 100000 then 'bytes missing' end,
               case when n > 100000 then repeat('Traceback line ', 100) end,
               case when n > 100000 then now() - n * interval '1 s' end
        from generate_series(1, 110000) n
        """,
    )
    change(archive, "analyze work_item")
    page = staff.get(f"{archive_http.url}/queuestatus", timeout=30)
    assert page.status_code == 200
    states = poll(staff, archive_http)
    assert sum(state["total_waiting"] for state in states.values()) == 100_000
    assert sum(state["total_errors"] for state in states.values()) == 10_000
    assert all(len(states[short][half]) == 20 for short in ("iq", "pq") for half in ("waiting", "errors"))
