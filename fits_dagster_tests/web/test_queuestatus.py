"""The queue status page: for staff, four queues and the way in, errors with their tracebacks."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests
from sqlalchemy import text

from fits_dagster.database import work
from fits_dagster.database.work import NewWork, new_lease
from fits_dagster.dataflow.site import Site
from fits_dagster.web.accounts import WeakPasswordError, add_user
from fits_dagster_tests.conftest import HttpServer

PASSWORD = "A-long-passw0rd-for-tests"


@pytest.fixture
def staff(archive: Site, archive_http: HttpServer) -> Iterator[requests.Session]:
    """A browser of a staff member who is signed in."""
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    with requests.Session() as session:
        answer = session.post(
            f"{archive_http.url}/login/", data={"username": "anna", "password": PASSWORD}, timeout=10
        )
        assert "Welcome, you are sucessfully logged in" in answer.text
        yield session


@pytest.fixture
def queues(archive: Site) -> int:
    """Some work, one of it failed; returns the id of the failure."""
    with archive.engine.begin() as connection:
        names = [f"N20251123S{n:04d}.fits" for n in range(30)]
        work.add_work(connection, [NewWork(stage="ingest", filename=n) for n in names])
        lease = new_lease("test", 60)
        [item] = work.claim(connection, "ingest", lease, limit=1)
        work.fail(
            connection,
            lease,
            item.id,
            reason="not_fits",
            message=f"{item.filename}: no FITS",
            trace="Traceback: <here>",
        )
    return item.id


def test_the_page_is_for_staff(archive: Site, archive_http: HttpServer) -> None:
    add_user(archive.engine, "visitor", PASSWORD, role=None)
    anonymous = requests.get(f"{archive_http.url}/queuestatus", timeout=10, allow_redirects=False)
    assert anonymous.headers["location"].startswith("/login/")
    assert requests.post(f"{archive_http.url}/queuestatus/json", timeout=10).status_code == 403
    with requests.Session() as session:
        session.post(
            f"{archive_http.url}/login/", data={"username": "visitor", "password": PASSWORD}, timeout=10
        )
        assert session.get(f"{archive_http.url}/queuestatus", timeout=10).status_code == 403


def test_tabs_carry_totals_and_errors(staff: requests.Session, archive_http: HttpServer, queues: int) -> None:
    page = staff.get(f"{archive_http.url}/queuestatus", timeout=10).text
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


def test_a_poll_tells_only_what_has_changed(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/json"
    first = staff.post(url, json=None, timeout=10).json()
    ingest = first[0]
    assert ingest["queue"] == "iq"
    assert (ingest["total_waiting"], ingest["total_errors"]) == (29, 1)
    assert len(ingest["waiting"]) == 20
    assert {"oid", "filename", "since"} <= set(ingest["errors"][0])
    tokens = {state["queue"]: state["token"] for state in first}
    again = staff.post(url, json=tokens, timeout=10).json()
    assert all(set(state) == {"queue", "token"} for state in again)
    with archive.engine.begin() as connection:
        connection.execute(text("delete from work_item where state = 'failed'"))
    changed = staff.post(url, json=tokens, timeout=10).json()
    assert [s["queue"] for s in changed if "waiting" in s] == ["iq"]


def test_an_error_shows_its_reason_and_traceback_escaped(
    staff: requests.Session, archive_http: HttpServer, queues: int
) -> None:
    page = staff.get(f"{archive_http.url}/queuestatus/iq/{queues}", timeout=10).text
    assert "not_fits" in page
    assert "Traceback: &lt;here&gt;" in page


@pytest.mark.parametrize("path", ["iq/999999", "iq/x", "zz/1"])
def test_an_unknown_item_leads_back_to_the_page(
    staff: requests.Session, archive_http: HttpServer, path: str
) -> None:
    answer = staff.get(f"{archive_http.url}/queuestatus/{path}", timeout=10)
    assert answer.url.endswith("/queuestatus")


def test_signing_out_ends_the_session(staff: requests.Session, archive_http: HttpServer) -> None:
    token = staff.cookies["gemini_archive_session"]
    staff.get(f"{archive_http.url}/logout", timeout=10)
    answer = requests.post(
        f"{archive_http.url}/queuestatus/json", cookies={"gemini_archive_session": token}, timeout=10
    )
    assert answer.status_code == 403


def test_login_takes_its_parameters_from_the_query_string_too(
    archive: Site, archive_http: HttpServer
) -> None:
    add_user(archive.engine, "astro", PASSWORD, role=None)
    url = f"{archive_http.url}/login/?username=astro&password={PASSWORD}"
    assert b"<P>Welcome, you are sucessfully logged in" in requests.post(url, timeout=10).content
    assert b"sucessfully" not in requests.post(f"{url}x", timeout=10).content


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere"])
def test_login_never_leads_to_another_server(archive: Site, archive_http: HttpServer, target: str) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    answer = requests.post(
        f"{archive_http.url}/login/",
        data={"username": "anna", "password": PASSWORD, "redirect": target},
        timeout=10,
        allow_redirects=False,
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("password", ["short-1A", "alllowercase-no-digit", "NoOtherCharacter1234"])
def test_weak_passwords_are_refused(archive: Site, password: str) -> None:
    with pytest.raises(WeakPasswordError, match="14 characters"):
        add_user(archive.engine, "anna", password, role="staff")


def form_token(staff: requests.Session, url: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', staff.get(url, timeout=10).text)
    assert found is not None
    return found.group(1)


def test_the_retry_button_puts_a_failure_back_into_its_queue(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/iq/{queues}"
    token = form_token(staff, url)
    assert staff.post(f"{url}/retry", data={"token": token}, timeout=10).url.endswith("/queuestatus#iq")
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item where state = 'failed'")) == 0
        row = connection.execute(text("select who, action from audit")).one()
    assert tuple(row) == ("anna", "retry")


def test_the_cancel_button_removes_an_item(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/iq/{queues}"
    staff.post(f"{url}/cancel", data={"token": form_token(staff, url)}, timeout=10)
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item")) == 29


def test_a_forged_or_anonymous_request_changes_nothing(
    staff: requests.Session, archive_http: HttpServer, archive: Site, queues: int
) -> None:
    url = f"{archive_http.url}/queuestatus/iq/{queues}/cancel"
    assert staff.post(url, data={"token": "forged"}, timeout=10).status_code == 403
    assert staff.post(url, timeout=10).status_code == 403
    assert requests.post(url, data={"token": "x"}, timeout=10).status_code == 403
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item")) == 30
