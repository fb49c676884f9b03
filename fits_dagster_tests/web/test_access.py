"""Who may do what: roles, sessions, and what becomes of those who try passwords."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from click.testing import CliRunner
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.sites import Site
from fits_dagster.web import accounts
from fits_dagster.web.accounts import Role, WeakPasswordError, add_user, find_session, sign_in
from fits_dagster.web.throttling import ADDRESS_LIMIT, NAME_LIMIT
from fits_dagster_tests.builders.sites import HttpServer, served
from fits_dagster_tests.web.conftest import NAMES, PASSWORD, form_token

SignIn = Callable[[Role | None], requests.Session]


def rows(site: Site, statement: str) -> list[Any]:
    with site.engine.connect() as connection:
        return list(connection.execute(text(statement)).all())


def change(site: Site, statement: str) -> None:
    with site.engine.begin() as connection:
        connection.execute(text(statement))


# ---- roles


def test_without_a_session_pages_lead_to_the_login_form_and_back(archive_http: HttpServer) -> None:
    for path in ("/queuestatus", "/queuestatus/iq/1", "/queuestatus/file?name=N1"):
        answer = requests.get(f"{archive_http.url}{path}", timeout=10, allow_redirects=False)
        assert answer.headers["location"].startswith("/login/?redirect=/queuestatus")
    assert requests.post(f"{archive_http.url}/queuestatus/json", timeout=10).status_code == 403
    assert requests.get(f"{archive_http.url}/queuestatus/file.json", timeout=10).status_code == 403


def test_login_leads_back_to_the_page_that_was_asked_for(archive: Site, archive_http: HttpServer) -> None:
    add_user(archive.engine, "rita", PASSWORD, role="reader")
    asked = f"{archive_http.url}/queuestatus/file?name=N20251123S0001"
    with requests.Session() as session:
        form = session.get(asked, timeout=10)
        target = form.text.split('name="redirect" value="')[1].split('"')[0]
        data = {"username": "rita", "password": PASSWORD, "redirect": target}
        assert session.post(form.url.split("?")[0], data=data, timeout=10).url == asked


def test_a_visitor_is_told_which_role_is_needed(signed_in: SignIn, archive_http: HttpServer) -> None:
    answer = signed_in(None).get(
        f"{archive_http.url}/queuestatus", timeout=10, headers={"Accept": "text/html"}
    )
    assert answer.status_code == 403
    assert "this needs the role reader; visitor has no role" in answer.text


@pytest.mark.parametrize(("role", "buttons"), [("reader", False), ("operator", True), ("staff", True)])
def test_buttons_are_for_operators(
    signed_in: SignIn, archive_http: HttpServer, queues: int, role: Role, buttons: bool
) -> None:
    session = signed_in(role)
    for path in ("/queuestatus", f"/queuestatus/iq/{queues}"):
        page = session.get(f"{archive_http.url}{path}", timeout=10).text
        assert ('method="post"' in page) is buttons
        assert ("Traceback" in page) is path.endswith(str(queues))


@pytest.mark.parametrize("path", ["iq/{id}/retry", "iq/{id}/cancel", "iq/retry", "iq/pause", "iq/resume"])
def test_the_server_refuses_a_readers_actions(
    signed_in: SignIn, archive: Site, archive_http: HttpServer, queues: int, path: str
) -> None:
    operator, reader = signed_in("operator"), signed_in("reader")
    token = form_token(operator, f"{archive_http.url}/queuestatus")
    reader.cookies.set("form", token)
    url = f"{archive_http.url}/queuestatus/{path.format(id=queues)}"
    answer = reader.post(url, data={"token": token, "confirmed": "yes"}, timeout=10)
    assert answer.status_code == 403
    assert answer.json() == {"error": "this needs the role operator; rita has the role reader"}
    assert rows(archive, "select id from work_item where state = 'failed'") == [(queues,)]
    assert rows(archive, "select action from audit where who = 'rita'") == []


PERMISSIONS = "{ permissions { permission value } }"
PAUSE = "mutation { setAutoMaterializePaused(paused: true) }"


def test_the_dagster_ui_is_read_only_for_readers(archive: Site, dagster_http: str) -> None:
    def ask(role: Role | None, query: str) -> requests.Response:
        add_user(archive.engine, NAMES[role], PASSWORD, role=role)
        with requests.Session() as session:
            form = {"username": NAMES[role], "password": PASSWORD}
            session.post(f"{dagster_http}/login/", data=form, timeout=10)
            return session.post(f"{dagster_http}/dagster/graphql", json={"query": query}, timeout=30)

    def granted(role: Role) -> set[str]:
        found = ask(role, PERMISSIONS).json()["data"]["permissions"]
        return {each["permission"] for each in found if each["value"]}

    anonymous = {"json": {"query": PERMISSIONS}, "timeout": 30}
    assert requests.post(f"{dagster_http}/dagster/graphql", **anonymous).status_code == 403  # type: ignore[arg-type]
    assert ask(None, PERMISSIONS).status_code == 403
    assert granted("reader") == set()
    assert {"launch_pipeline_execution", "terminate_pipeline_execution"} <= granted("operator")
    assert granted("staff") == granted("operator")
    assert ask("reader", PAUSE).json()["data"] is None
    assert ask("operator", PAUSE).json()["data"] == {"setAutoMaterializePaused": True}
    page = requests.get(f"{dagster_http}/dagster/runs", timeout=10, headers={"Accept": "text/html"})
    assert page.url.endswith("/login/?redirect=/dagster/runs")


# ---- signing in


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


def test_a_name_that_nobody_has_costs_what_a_true_one_costs(archive: Site) -> None:
    add_user(archive.engine, "rita", PASSWORD, role="reader")
    [(stored,)] = rows(archive, "select password_hash from users where username = 'rita'")
    made_up = accounts._hash_of_nobody()
    assert extract_parameters(made_up) == extract_parameters(stored)
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(made_up, PASSWORD)


def test_old_sessions_and_too_many_sessions_go(archive: Site) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    first = sign_in(archive.engine, "anna", PASSWORD, hours=1)
    change(archive, "update session set created_at = now() - interval '1 hour'")
    change(
        archive,
        "insert into session (token_hash, user_id, created_at, expires_at) "
        "select 'h' || n, (select id from users), now() - interval '1 min', now() + interval '1 hour' "
        "from generate_series(1, 120) n",
    )
    change(archive, "update session set expires_at = now() - interval '1 s' where token_hash = 'h7'")
    last = sign_in(archive.engine, "anna", PASSWORD, hours=1)
    assert rows(archive, "select count(*) from session") == [(100,)]
    assert find_session(archive.engine, first) is None
    assert find_session(archive.engine, last) is not None
    change(archive, "update session set expires_at = now() where token_hash not like 'h%'")
    assert find_session(archive.engine, last) is None


def test_a_new_password_ends_the_sessions_and_role_changes_leave_a_trace(archive: Site) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="reader")
    token = sign_in(archive.engine, "anna", PASSWORD, hours=1)
    add_user(archive.engine, "anna", f"{PASSWORD}2", role="operator", who="root")
    assert find_session(archive.engine, token) is None
    audit = rows(archive, "select who, action, detail from audit order by id")
    assert audit == [
        ("fits_dagster", "user added", "anna: role reader"),
        ("root", "user changed", "anna: role reader -> operator"),
    ]


def test_the_command_changes_a_role_only_when_it_is_asked_to(
    archive: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fits_dagster.sites.open_site", lambda *_: archive)
    words = ("user", "add", "anna", "--password", PASSWORD, "--site", "archive")
    for more, role in (("--role", "reader"), "reader"), ((), "reader"), (("--role", "none"), None):
        assert CliRunner().invoke(cli, [*words, *more]).exit_code == 0
        assert rows(archive, "select role from users") == [(role,)]
    who = rows(archive, "select distinct who from audit")
    assert len(who) == 1
    assert who[0][0].endswith("(command line)")


# ---- too many failures


def attempt(server: HttpServer, name: str, password: str) -> requests.Response:
    return requests.post(f"{server.url}/login/", data={"username": name, "password": password}, timeout=30)


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_too_many_failures_for_a_name_refuse_even_the_right_password(
    archive: Site, archive_http: HttpServer, name: str
) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    for _ in range(NAME_LIMIT):
        answer = attempt(archive_http, name, "wrong")
        assert (answer.status_code, "Name or password are wrong." in answer.text) == (200, True)
    refused = attempt(archive_http, name, PASSWORD)
    assert refused.status_code == 429
    assert "Too many failed attempts to sign in. Please try again in 30 seconds." in refused.text
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert "gemini_archive_session" not in refused.cookies
    assert rows(archive, "select who, action from audit where action = 'sign-in refused'") == [
        (name, "sign-in refused")
    ]
    # another name is none the worse for it
    add_user(archive.engine, "olga", PASSWORD, role="operator")
    assert attempt(archive_http, "olga", PASSWORD).status_code == 200


def test_the_pause_grows_and_ends_and_a_success_forgives(archive: Site, archive_http: HttpServer) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    for _ in range(NAME_LIMIT):
        attempt(archive_http, "anna", "wrong")
    for seconds in (60, 120):
        change(archive, f"update login_failure set at = at - interval '{seconds // 2} s'")
        assert attempt(archive_http, "anna", "wrong").status_code == 200
        wait = int(attempt(archive_http, "anna", PASSWORD).headers["retry-after"])
        assert seconds - 10 <= wait <= seconds
    change(archive, "update login_failure set at = at - interval '120 s'")
    assert "sucessfully" in attempt(archive_http, "anna", PASSWORD).text
    assert rows(archive, "select * from login_failure") == []


def test_a_new_password_ends_the_pause(archive: Site, archive_http: HttpServer) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    for _ in range(NAME_LIMIT):
        attempt(archive_http, "anna", "wrong")
    add_user(archive.engine, "anna", f"{PASSWORD}2", role="staff")
    assert attempt(archive_http, "anna", f"{PASSWORD}2").status_code == 200


def test_old_failures_do_not_count_and_are_removed(archive: Site, archive_http: HttpServer) -> None:
    for _ in range(NAME_LIMIT):
        attempt(archive_http, "anna", "wrong")
    change(archive, "update login_failure set at = at - interval '15 min'")
    assert attempt(archive_http, "anna", "wrong").status_code == 200
    assert rows(archive, "select count(*) from login_failure") == [(1,)]


def test_too_many_failures_from_an_address_refuse_every_name(archive: Site, archive_http: HttpServer) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    for number in range(ADDRESS_LIMIT):
        assert attempt(archive_http, f"name{number}", "wrong").status_code == 200
    assert attempt(archive_http, "anna", PASSWORD).status_code == 429
    assert sign_in(archive.engine, "anna", PASSWORD, hours=1, address="192.0.2.1") is not None


def test_many_attempts_at_once_gain_nothing(archive: Site, archive_http: HttpServer) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: attempt(archive_http, "anna", "wrong").status_code, range(12)))
    assert codes.count(200) == NAME_LIMIT
    assert codes.count(429) == 12 - NAME_LIMIT


@pytest.mark.parametrize("name", ["a\x00b", "", "x" * 3000, "Ünïcödé", "o'brien; drop table users"])
def test_strange_names_are_merely_wrong(archive: Site, archive_http: HttpServer, name: str) -> None:
    answer = attempt(archive_http, name, "wrong\x00")
    assert (answer.status_code, "Name or password are wrong." in answer.text) == (200, True)


def test_a_locked_row_of_accounts_holds_nobody_for_long(archive: Site) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="staff")
    with served(archive, sign_in_wait_seconds=0.2) as impatient:
        with archive.engine.begin() as locked:
            locked.execute(text("select * from users for update"))
            answer = attempt(impatient, "anna", PASSWORD)
            assert (answer.status_code, "busy" in answer.text) == (503, True)
        assert attempt(impatient, "anna", PASSWORD).status_code == 200
    assert rows(archive, "select * from login_failure") == []
