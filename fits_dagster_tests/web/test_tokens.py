"""Tokens: each allows one thing, for a time, until it is revoked; every attempt leaves a trace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from pydantic import SecretStr
from sqlalchemy import text

from fits_dagster.cli import cli
from fits_dagster.destinations.base import Delivery
from fits_dagster.destinations.fits_server import API_COOKIE, UPLOAD_COOKIE, FitsServer
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster.web.rights import judge
from fits_dagster.web.tokens import Right, TokenNameError, add_token, list_tokens, revoke_token
from fits_dagster_tests.builders.sites import COOKIE, HttpServer, serve

NAME = "N20251123S0001.fits"
EDIT = [{"filename": NAME, "values": {"generic": [["OBJECT", "M31"]]}}]


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def make(site: Site, name: str, scope: Right) -> str:
    return add_token(site.engine, name, scope, days=1, who="anna")


def upload(server: HttpServer, **given: object) -> int:
    return requests.post(f"{server.url}/upload_file/{NAME}", data=b"x", timeout=10, **given).status_code  # type: ignore[arg-type]


def edit(server: HttpServer, **given: object) -> int:
    return requests.post(f"{server.url}/update_headers", json=EDIT, timeout=10, **given).status_code  # type: ignore[arg-type]


def ingest(server: HttpServer, **given: object) -> int:
    programs = [{"id": "GN-2025B-Q-1"}]
    return requests.post(f"{server.url}/ingest_programs", json=programs, timeout=10, **given).status_code  # type: ignore[arg-type]


def audit(site: Site) -> list[tuple[str, str, str]]:
    with site.engine.connect() as connection:
        rows = connection.execute(text("select who, action, detail from audit order by id"))
        return [(row.who, row.action, row.detail) for row in rows]


def test_a_token_allows_what_it_is_for_and_nothing_else(archive: Site, archive_http: HttpServer) -> None:
    uploads, edits = make(archive, "exporter", "upload"), make(archive, "odb", "edit")
    for value, allowed in ((uploads, (200, 200, 403)), (edits, (403, 403, 200))):
        ways = [{"headers": bearer(value)}, {"cookies": {UPLOAD_COOKIE: value, API_COOKIE: value}}]
        for way in ways:
            found = tuple(do(archive_http, **way) for do in (upload, ingest, edit))
            assert found == allowed


def test_a_bearer_that_is_wrong_is_not_saved_by_a_cookie(archive_http: HttpServer) -> None:
    assert upload(archive_http, cookies={UPLOAD_COOKIE: COOKIE}) == 200
    assert upload(archive_http, cookies={UPLOAD_COOKIE: COOKIE}, headers=bearer("no")) == 403
    assert upload(archive_http, headers={"Authorization": "Basic YTpi"}) == 403
    assert upload(archive_http, headers={"Authorization": "Bearer"}) == 403


def test_a_token_ends_by_time_and_by_hand(archive: Site, archive_http: HttpServer) -> None:
    value, other = make(archive, "exporter", "upload"), make(archive, "second", "upload")
    assert upload(archive_http, headers=bearer(value)) == 200
    assert revoke_token(archive.engine, "exporter", who="anna")
    assert not revoke_token(archive.engine, "exporter", who="anna")
    assert upload(archive_http, headers=bearer(value)) == 403
    with archive.engine.begin() as connection:
        connection.execute(text("update access_token set expires_at = now() where name = 'second'"))
    assert upload(archive_http, headers=bearer(other)) == 403
    # a name that was revoked is free again, and the old value stays dead
    assert upload(archive_http, headers=bearer(make(archive, "exporter", "upload"))) == 200
    assert upload(archive_http, headers=bearer(value)) == 403
    refused = [detail for _, action, detail in audit(archive) if action == "upload refused"]
    assert refused == [
        f"{NAME}: the token exporter was revoked",
        f"{NAME}: the token second has expired",
        f"{NAME}: the token exporter was revoked",
    ]


def test_every_attempt_is_in_the_audit_and_refusals_are_bounded(
    archive: Site, archive_http: HttpServer
) -> None:
    uploads, edits = make(archive, "exporter", "upload"), make(archive, "odb", "edit")
    upload(archive_http, headers=bearer(uploads))
    ingest(archive_http, headers=bearer(uploads))
    edit(archive_http, headers=bearer(uploads))
    for _ in range(65):
        upload(archive_http, headers=bearer(edits))
    made, found = audit(archive)[:2], audit(archive)[2:]
    assert [action for _, action, _ in made] == ["token added"] * 2
    assert found[:3] == [
        ("token exporter at 127.0.0.1", "upload", NAME),
        ("token exporter at 127.0.0.1", "programs", "1 came"),
        ("127.0.0.1", "header edits refused", "token exporter allows upload, not edit"),
    ]
    assert found[3:] == [("127.0.0.1", "upload refused", f"{NAME}: token odb allows edit, not upload")] * 60


def test_only_hashes_are_kept(archive: Site) -> None:
    value = make(archive, "exporter", "upload")
    with archive.engine.connect() as connection:
        kept = str(connection.execute(text("select access_token::text from access_token")).all())
    assert value not in kept and value.removeprefix("fitsd_") not in kept
    assert judge(archive, value).rights == {"upload"}


def test_values_of_the_settings_allow_what_their_setting_names(archive: Site) -> None:
    known = {"upload_cookies": (SecretStr('["a", "b"]'), SecretStr("")), "api_cookies": (SecretStr("b"),)}
    site = replace(archive, settings=archive.settings.model_copy(update=known))
    assert judge(site, "a").rights == {"upload"}
    assert judge(site, "b").rights == {"upload", "edit"}
    for nothing in (None, "", "c", '["a", "b"]', "é\udcff"):
        assert judge(site, nothing).rights == set()


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 65, "a\n", "é", "a;b"])
def test_a_name_can_stand_in_a_log(archive: Site, name: str) -> None:
    with pytest.raises(TokenNameError):
        make(archive, name, "upload")


@pytest.fixture
def strict_http(archive: Site) -> Iterator[HttpServer]:
    """An archive that takes tokens only."""
    nothing = {"upload_cookies": (), "api_cookies": ()}
    closed = replace(archive, settings=archive.settings.model_copy(update=nothing))
    server, stop = serve(create_app(closed, session_hours=1))
    yield server
    stop()


def test_exports_send_their_token(
    archive: Site, summit: Site, strict_http: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what a .netrc has for the host must not take its place
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    token = make(archive, "exporter", "upload")
    changed = {"export_token": SecretStr(token), "export_destinations": (strict_http.url,)}
    settings = summit.settings.model_copy(update=changed)
    path = tmp_path / NAME
    path.write_bytes(b"content")
    md5 = hashlib.md5(b"content", usedforsecurity=False).hexdigest()
    delivery = Delivery(NAME, "", md5, md5, lambda: nullcontext(path))
    assert FitsServer(strict_http.url, settings).deliver(delivery).outcome == "exported"
    assert [each.last_used_at is not None for each in list_tokens(archive.engine)] == [True]


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(cli, ["token", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_the_commands_make_list_and_revoke(
    archive: Site, archive_http: HttpServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fits_dagster.cli.token.load_settings", lambda home: settings)
    code, value, said = run("add", "exporter", "--scope", "upload", "--days", "30", "--site", "archive")
    assert code == 0 and "shown only now" in said
    assert upload(archive_http, headers=bearer(value.strip())) == 200
    assert run("add", "exporter", "--scope", "edit", "--site", "archive")[0] == 1
    assert run("add", "x", "--site", "archive")[0] == 2
    listed = json.loads(run("list", "--json", "--site", "archive")[1])
    assert [(each["name"], each["scope"], each["is_valid"]) for each in listed] == [
        ("exporter", "upload", True)
    ]
    assert value.strip() not in str(listed)
    assert run("revoke", "exporter", "--site", "archive")[0] == 0
    assert run("revoke", "exporter", "--site", "archive")[0] == 1
    assert "revoked" in run("list", "--site", "archive")[1]
    assert upload(archive_http, headers=bearer(value.strip())) == 403
