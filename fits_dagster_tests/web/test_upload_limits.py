"""Uploads that must not come in: over what the server makes, too slowly, on a full disk; each is noted."""

from __future__ import annotations

import socket
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlparse

import pytest
from sqlalchemy import text

from fits_dagster.destinations.fits_server import UPLOAD_COOKIE
from fits_dagster.ledger.management import write_refusal
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import COOKIE, HttpServer, serve
from fits_dagster_tests.web.test_upload import NAME, post, staging


def audit(site: Site) -> list[tuple[str, str]]:
    with site.engine.connect() as connection:
        rows = connection.execute(
            text("select who, detail from audit where action = 'upload refused' order by id")
        )
        return [(row.who, row.detail) for row in rows]


@pytest.mark.parametrize(
    "path", ["previews/x.jpg", "previews/a/b.jpg", "Previews/x.jpg", "previews", "previews%2Fx.jpg"]
)
def test_nothing_is_uploaded_over_previews(archive: Site, archive_http: HttpServer, path: str) -> None:
    answer = post(archive_http, path)
    assert (answer.status_code, "what this server makes itself" in answer.text) == (403, True)
    assert staging(archive) == []
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item")) == 0
    assert len(audit(archive)) == 1


def test_names_that_only_begin_like_it_are_taken(archive_http: HttpServer) -> None:
    assert post(archive_http, f"previews-of-old/{NAME}").status_code == 200
    assert post(archive_http, "previews.fits").status_code == 200


def test_refusals_are_noted_without_line_breaks_and_not_without_end(
    archive: Site, archive_http: HttpServer
) -> None:
    for number in range(3):
        assert post(archive_http, f"a%0Db{number}.fits", cookie="wrong").status_code == 403
    noted = [("127.0.0.1", f"a\\rb{n}.fits: unknown credential") for n in range(3)]
    assert audit(archive) == noted
    with archive.engine.begin() as connection:
        for _ in range(2):
            write_refusal(connection, "127.0.0.1", "upload refused", "once more", most=4)
    assert audit(archive) == [*noted, ("127.0.0.1", "once more")]


@pytest.fixture
def brisk_http(archive: Site) -> Iterator[HttpServer]:
    """An archive that waits for half a second only."""
    changed = archive.settings.model_copy(update={"silence_seconds": 0.5, "upload_least_rate": 10_000})
    server, stop = serve(create_app(replace(archive, settings=changed), session_hours=1))
    yield server
    stop()


def send_slowly(server: HttpServer, pause: float, chunk: bytes, chunks: int) -> tuple[bytes, float]:
    """Send a body bit by bit; returns the answer, and the time it took."""
    parts = urlparse(server.url)
    head = (
        f"POST /upload_file/{NAME} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 1000000\r\n"
        f"Cookie: {UPLOAD_COOKIE}={COOKIE}\r\n\r\n"
    )
    started = time.monotonic()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.sendall(head.encode())
        connection.settimeout(pause)
        answer = b""
        for _ in range(chunks):
            try:
                connection.sendall(chunk)
                answer = connection.recv(4096)
                break
            except TimeoutError:
                continue
            except OSError:
                break
        connection.settimeout(20)
        if not answer:
            answer = connection.recv(4096)
        assert connection.recv(4096) == b""
    return answer, time.monotonic() - started


@pytest.mark.parametrize(
    ("pause", "chunk", "chunks", "reason"),
    [(0.1, b"x", 1, b"no byte came for 0.5 s"), (0.1, b"x" * 10, 100, b"bytes came in 1 s")],
)
def test_a_slow_sender_is_cut_off(
    archive: Site, brisk_http: HttpServer, pause: float, chunk: bytes, chunks: int, reason: bytes
) -> None:
    answer, seconds = send_slowly(brisk_http, pause, chunk, chunks)
    assert answer.startswith(b"HTTP/1.1 408")
    assert reason in answer
    assert seconds < 5
    assert staging(archive) == []
    [(_, detail)] = audit(archive)
    assert NAME in detail


def test_free_space_is_looked_at_while_the_bytes_come(
    archive: Site, archive_http: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    looks: list[int] = []

    def disk_usage(_: Any) -> Any:
        looks.append(1)
        return usage(10**12, 0, archive.settings.min_free_bytes + (2 << 20) if len(looks) < 3 else 1000)

    monkeypatch.setattr("fits_dagster.intake.uploads.shutil.disk_usage", disk_usage)
    answer = post(archive_http, NAME, b"x" * (4 << 20))
    assert answer.status_code == 507
    assert staging(archive) == []


@pytest.mark.parametrize("path", ["login/", "jsoncalmgr/bias/x.fits", "download/"])
def test_a_slow_sender_of_anything_else_is_cut_off_too(brisk_http: HttpServer, path: str) -> None:
    parts = urlparse(brisk_http.url)
    head = f"POST /{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 100\r\n"
    cookie = f"Cookie: gemini_api_authorization={COOKIE}\r\n\r\nx"
    started = time.monotonic()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.sendall((head + cookie).encode())
        answer = connection.recv(4096)
        while chunk := connection.recv(4096):
            answer += chunk
    assert answer.split(b" ")[1] == b"408"
    assert time.monotonic() - started < 5
