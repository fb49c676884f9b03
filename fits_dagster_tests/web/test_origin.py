"""Pages of others, and other names: what a browser is made to send, and what every answer carries."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlparse

import pytest
import requests

from fits_dagster.sites import Site
from fits_dagster.web.accounts import Role, add_user
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import HttpServer, serve
from fits_dagster_tests.web.conftest import NAMES, PASSWORD

QUERY = {"query": "{ version }"}
PAUSE = "mutation { setAutoMaterializePaused(paused: true) }"


@pytest.fixture
def operator(archive: Site, dagster_http: str) -> Iterator[requests.Session]:
    """A browser of an operator who is signed in where the Dagster UI is mounted."""
    add_user(archive.engine, NAMES["operator"], PASSWORD, role="operator")
    with requests.Session() as session:
        form = {"username": NAMES["operator"], "password": PASSWORD}
        session.post(f"{dagster_http}/login/", data=form, timeout=10)
        yield session


FOREIGN = [
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://[bad"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_cannot_act_in_dagster(
    operator: requests.Session, dagster_http: str, headers: dict[str, str]
) -> None:
    url = f"{dagster_http}/dagster/graphql"
    assert operator.post(url, json=QUERY, headers=headers, timeout=20).status_code == 403
    own = {"Origin": dagster_http, "Sec-Fetch-Site": "same-origin"}
    for known in (own, {}):
        assert "data" in operator.post(url, json=QUERY, headers=known, timeout=20).json()


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    "path", ["login/", "queuestatus/iq/pause", "upload_file/x.fits", "update_headers", "download/"]
)
def test_a_foreign_page_cannot_post_anything(
    archive_http: HttpServer, path: str, headers: dict[str, str]
) -> None:
    answer = requests.post(f"{archive_http.url}/{path}", headers=headers, timeout=10)
    assert answer.status_code == 403
    assert answer.json() == {"error": "this comes from a page of another site"}


def test_graphql_is_taken_by_post_only(operator: requests.Session, dagster_http: str) -> None:
    for query in ("{ version }", PAUSE):
        answer = operator.get(f"{dagster_http}/dagster/graphql", params={"query": query}, timeout=20)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def handshake(url: str, cookie: str, origin: str | None) -> bytes:
    """Open a websocket by hand; returns the first line of the answer."""
    parts = urlparse(url)
    lines = [
        "GET /dagster/graphql HTTP/1.1",
        f"Host: {parts.netloc}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-ws",
        f"Cookie: {cookie}",
    ]
    if origin is not None:
        lines.append(f"Origin: {origin}")
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return connection.recv(4096).split(b"\r\n")[0]


def test_a_foreign_page_gets_no_websocket(operator: requests.Session, dagster_http: str) -> None:
    cookie = f"gemini_archive_session={operator.cookies['gemini_archive_session']}"
    assert b"403" in handshake(dagster_http, cookie, "https://elsewhere.example")
    assert b"403" in handshake(dagster_http, cookie, "null")
    assert b"101" in handshake(dagster_http, cookie, dagster_http)


def test_every_answer_says_what_browsers_may_do_with_it(
    signed_in: Callable[[Role | None], requests.Session], archive_http: HttpServer
) -> None:
    session = signed_in("operator")
    paths = ("/", "/help", "/queuestatus", "/login/", "/jsonsummary/x", "/file/none", "/static/style.css")
    for path in (*paths, "/nowhere", "/searchform", "/health", "/openapi.json"):
        answer = session.get(f"{archive_http.url}{path}", timeout=10, allow_redirects=False)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert "unsafe" not in answer.headers["content-security-policy"], path
        assert path.startswith("/static") or answer.headers["cache-control"] == "no-cache", path
    refused = session.post(f"{archive_http.url}/login/", headers={"Origin": "null"}, timeout=10)
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_dagster_keeps_its_own_policy_and_stands_in_no_frame(
    operator: requests.Session, dagster_http: str
) -> None:
    for path in ("/dagster/runs", "/dagster/favicon.png", "/dagster/nowhere.js"):
        answer = operator.get(f"{dagster_http}{path}", timeout=20)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff"
    page = operator.get(f"{dagster_http}/dagster/runs", timeout=20)
    assert "nonce-" in page.headers["content-security-policy"]


def test_the_sites_of_one_host_do_not_sign_each_other_out(summit: Site, archive_http: HttpServer) -> None:
    server, stop = serve(create_app(summit, session_hours=1))
    try:
        add_user(summit.engine, "olga", PASSWORD, role="operator")
        with requests.Session() as session:
            session.post(f"{server.url}/login/", data={"username": "olga", "password": PASSWORD}, timeout=10)
            assert list(session.cookies.keys()) == ["gemini_summit_session"]
            session.get(f"{archive_http.url}/logout", timeout=10)
            assert session.get(f"{server.url}/queuestatus", timeout=10).url.endswith("/queuestatus")
    finally:
        stop()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("archive.example", 200),
        ("ARCHIVE.example:8180", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
        ("[", 421),
    ],
)
def test_a_site_goes_by_its_names(archive: Site, host: str, status: int) -> None:
    named = archive.settings.model_copy(update={"host_names": ("archive.example",)})
    server, stop = serve(create_app(replace(archive, settings=named), session_hours=1))
    try:
        answer = requests.get(f"{server.url}/health", headers={"Host": host}, timeout=10)
        assert answer.status_code == status
        behind_a_proxy = {"Origin": "https://archive.example"}
        allowed = requests.post(f"{server.url}/login/", headers=behind_a_proxy, timeout=10)
        assert allowed.status_code == 200
    finally:
        stop()
