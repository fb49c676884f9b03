"""A proxy that is configured says who asks, and over what; a header of anybody else says nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text
from starlette.types import Message, Receive, Scope, Send

from fits_dagster.settings import Settings, load_settings, write_effective
from fits_dagster.sites import Site
from fits_dagster.web.accounts import add_user
from fits_dagster.web.app import create_app
from fits_dagster.web.proxies import TrustedProxies
from fits_dagster.web.throttling import ADDRESS_LIMIT
from fits_dagster_tests.builders.sites import HttpServer, serve
from fits_dagster_tests.web.conftest import PASSWORD

#: The proxies of the tables below.
NETWORKS = tuple(map(ip_network, ("10.0.0.0/24", "10.9.9.9/32", "fd00::/8")))
PROXY = "10.0.0.1"


def seen(peer: str, *headers: tuple[str, str], by: Any = "x-forwarded-for", kind: str = "http") -> str:
    """What an application sees of a connection, ``scheme://client``."""
    found: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    async def nothing(message: Message | None = None) -> Message:
        return {}

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scheme = "http" if kind == "http" else "ws"
    scope = {"type": kind, "scheme": scheme, "client": (peer, 1), "headers": raw}
    asyncio.run(TrustedProxies(application, networks=NETWORKS, header=by)(scope, nothing, nothing))
    return f"{found[0]['scheme']}://{found[0]['client'][0]}"


def xff(value: str) -> tuple[str, str]:
    return ("X-Forwarded-For", value)


HTTPS = ("X-Forwarded-Proto", "https")


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        (PROXY, [xff("1.2.3.4"), HTTPS], "https://1.2.3.4"),
        # nobody that we trust says so
        ("1.1.1.1", [xff("1.2.3.4"), HTTPS], "http://1.1.1.1"),
        ("127.0.0.1", [xff("1.2.3.4"), HTTPS], "http://127.0.0.1"),
        ("testclient", [xff("1.2.3.4"), HTTPS], "http://testclient"),
        # the client has written the first address, the proxy the last
        (PROXY, [xff("6.6.6.6, 1.2.3.4")], "http://1.2.3.4"),
        (PROXY, [xff("6.6.6.6"), xff("1.2.3.4")], "http://1.2.3.4"),
        (PROXY, [xff("10.0.0.7, 1.2.3.4")], "http://1.2.3.4"),
        # through two proxies
        (PROXY, [xff("6.6.6.6, 1.2.3.4, 10.9.9.9")], "http://1.2.3.4"),
        # the client is in the network of the proxies
        (PROXY, [xff("10.0.0.7")], "http://10.0.0.7"),
        ("::ffff:10.0.0.1", [xff("1.2.3.4")], "http://1.2.3.4"),
        ("fd00::1", [xff("2001:db8::5")], "http://2001:db8::5"),
        # forms with a port
        (PROXY, [xff("1.2.3.4:5678")], "http://1.2.3.4"),
        (PROXY, [xff("[2001:db8::5]:80")], "http://2001:db8::5"),
        # no address, so the proxy's; and nothing before it counts
        (PROXY, [], f"http://{PROXY}"),
        (PROXY, [xff("")], f"http://{PROXY}"),
        (PROXY, [xff("1.2.3.4, unknown")], f"http://{PROXY}"),
        (PROXY, [xff("1.2.3.4, 999.1.1.1")], f"http://{PROXY}"),
        (PROXY, [xff("1.2.3.4, " * 30 + "1.2.3.4")], f"http://{PROXY}"),
        # a scheme that is none
        (PROXY, [xff("1.2.3.4"), ("X-Forwarded-Proto", "javascript")], "http://1.2.3.4"),
        (PROXY, [xff("1.2.3.4"), ("X-Forwarded-Proto", "https, http")], "http://1.2.3.4"),
        # the header that this proxy hands on as the client made it
        (PROXY, [xff("1.2.3.4"), ("Forwarded", "for=6.6.6.6;proto=https")], "http://1.2.3.4"),
        (PROXY, [("X-Real-IP", "6.6.6.6")], f"http://{PROXY}"),
    ],
)
def test_the_last_address_that_is_no_proxy_is_the_client(
    peer: str, headers: list[tuple[str, str]], expected: str
) -> None:
    assert seen(peer, *headers) == expected
    assert seen(peer, *headers, kind="websocket") == expected.replace("http", "ws")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=1.2.3.4;proto=https", "https://1.2.3.4"),
        ('For="[2001:db8::5]:4711";Proto=HTTPS;by=10.0.0.1', "https://2001:db8::5"),
        ("for=6.6.6.6;proto=https, for=1.2.3.4;proto=http", "http://1.2.3.4"),
        # the outer proxy speaks HTTPS, and plain HTTP with the inner one
        ("for=1.2.3.4;proto=https, for=10.9.9.9;proto=http", "https://1.2.3.4"),
        ("for=unknown", f"http://{PROXY}"),
        ('for="_hidden", for=_gazonk', f"http://{PROXY}"),
        ("for=1.2.3.4;for=6.6.6.6", f"http://{PROXY}"),
        ('for="1.2.3.4', f"http://{PROXY}"),
        ("for=1.2.3.4 proto=https", f"http://{PROXY}"),
        ("", f"http://{PROXY}"),
        # a comma in quotes divides nothing
        ('for="6.6.6.6, for=1.2.3.4"', f"http://{PROXY}"),
    ],
)
def test_forwarded_is_read_where_it_is_configured(value: str, expected: str) -> None:
    assert seen(PROXY, ("Forwarded", value), xff("6.6.6.6"), by="forwarded") == expected
    assert seen("1.1.1.1", ("Forwarded", value), by="forwarded") == "http://1.1.1.1"


@pytest.fixture
def behind(archive: Site) -> Iterator[Callable[..., HttpServer]]:
    """Serve the archive with its trusted proxies."""
    stops = []

    def start(*networks: str) -> HttpServer:
        known = {"trusted_proxies": tuple(map(ip_network, networks))}
        site = replace(archive, settings=archive.settings.model_copy(update=known))
        server, stop = serve(create_app(site, session_hours=1))
        stops.append(stop)
        return server

    yield start
    for stop in stops:
        stop()


def sign_in(server: HttpServer, password: str, headers: dict[str, str], name: str = "anna") -> Any:
    fields = {"username": name, "password": password}
    return requests.post(f"{server.url}/login/", data=fields, headers=headers, timeout=10)


def test_failed_sign_ins_count_for_the_client_that_the_proxy_names(
    archive: Site, behind: Callable[..., HttpServer]
) -> None:
    server = behind("127.0.0.1")
    for number in range(ADDRESS_LIMIT):
        sign_in(server, "wrong", {"X-Forwarded-For": f"6.6.6.{number}, 1.2.3.4"}, f"nobody{number}")
    add_user(archive.engine, "anna", PASSWORD, role="reader")
    assert sign_in(server, PASSWORD, {"X-Forwarded-For": "6.6.6.200, 1.2.3.4"}).status_code == 429
    assert "Welcome" in sign_in(server, PASSWORD, {"X-Forwarded-For": "5.6.7.8"}).text


def test_a_forged_header_does_not_divide_failures(archive: Site, behind: Callable[..., HttpServer]) -> None:
    server = behind()
    forged = [{"X-Forwarded-For": f"6.6.6.{n}", "Forwarded": f"for=6.6.6.{n}"} for n in range(ADDRESS_LIMIT)]
    for number, headers in enumerate(forged):
        sign_in(server, "wrong", headers, f"nobody{number}")
    add_user(archive.engine, "anna", PASSWORD, role="reader")
    assert sign_in(server, PASSWORD, {"X-Forwarded-For": "5.6.7.8"}).status_code == 429


def test_the_audit_has_the_address_of_the_client(archive: Site, behind: Callable[..., HttpServer]) -> None:
    headers = {"X-Forwarded-For": "6.6.6.6, 1.2.3.4"}
    for server in (behind("127.0.0.0/8"), behind("10.0.0.0/8")):
        requests.post(f"{server.url}/upload_file/x.fits", data=b"x", headers=headers, timeout=10)
        requests.post(f"{server.url}/update_headers", data=b"x", headers=headers, timeout=10)
    with archive.engine.connect() as connection:
        found = connection.scalars(text("select who from audit order by id")).all()
    assert found == ["1.2.3.4"] * 2 + ["127.0.0.1"] * 2


def test_the_session_cookie_is_secure_when_the_proxy_speaks_https(
    archive: Site, behind: Callable[..., HttpServer]
) -> None:
    add_user(archive.engine, "anna", PASSWORD, role="reader")
    headers = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}
    trusted, others = (behind(each) for each in ("127.0.0.1", "10.0.0.1"))
    assert "; Secure" in sign_in(trusted, PASSWORD, headers).headers["Set-Cookie"]
    assert "; Secure" not in sign_in(trusted, PASSWORD, {"X-Forwarded-For": "1.2.3.4"}).headers["Set-Cookie"]
    assert "; Secure" not in sign_in(others, PASSWORD, headers).headers["Set-Cookie"]
    # and addresses that are given to clients begin as theirs do
    assert "https://" in requests.get(f"{trusted.url}/sitemap.xml", headers=headers, timeout=10).text
    assert "https://" not in requests.get(f"{others.url}/sitemap.xml", headers=headers, timeout=10).text


def test_figures_of_this_machine_are_not_given_to_the_clients_of_its_proxy(
    behind: Callable[..., HttpServer],
) -> None:
    server = behind("127.0.0.1")
    assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 200
    for claimed in ("127.0.0.1", "1.2.3.4"):
        headers = {"X-Forwarded-For": claimed}
        assert requests.get(f"{server.url}/metrics", headers=headers, timeout=10).status_code == 403


def test_proxies_come_from_the_settings_and_reach_the_processes_that_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(tmp_path, archive={"trusted_proxies": ["10.0.0.1", "fd00::/8"]})
    assert [str(each) for each in settings.archive.trusted_proxies] == ["10.0.0.1/32", "fd00::/8"]
    with pytest.raises(ValueError, match="trusted_proxies"):
        load_settings(tmp_path, archive={"trusted_proxies": ["*"]})
    write_effective(settings, tmp_path / "effective.json")
    monkeypatch.setenv("FITS_DAGSTER_EFFECTIVE_SETTINGS", str(tmp_path / "effective.json"))
    assert load_settings() == settings


def test_the_program_that_serves_a_site_believes_nobody_of_its_own_machine(
    settings: Settings, archive: Site, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    known = settings.with_sites(archive=settings.archive.model_copy(update={"port": port}))
    known = known.model_copy(update={"database_url": settings.archive.database_url})
    write_effective(known, tmp_path / "effective.json")
    url = f"http://127.0.0.1:{port}"
    program = subprocess.Popen(
        [sys.executable, "-m", "fits_dagster.web", "archive"],
        env=os.environ | {"FITS_DAGSTER_EFFECTIVE_SETTINGS": str(tmp_path / "effective.json")},
    )
    try:
        deadline = time.monotonic() + 60
        while not answers(url):
            assert program.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        forged = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}
        requests.post(f"{url}/upload_file/x.fits", data=b"x", headers=forged, timeout=10)
        assert "https://" not in requests.get(f"{url}/sitemap.xml", headers=forged, timeout=10).text
    finally:
        program.terminate()
        program.wait(20)
    with archive.engine.connect() as connection:
        assert connection.scalars(text("select who from audit")).all() == ["127.0.0.1"]


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False
