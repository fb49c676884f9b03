"""Uploads: durable before they are acknowledged, exact in their answer, harmless when they are hostile."""

from __future__ import annotations

import hashlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
import requests
from sqlalchemy import text

from fits_dagster.destinations.fits_server import UPLOAD_COOKIE
from fits_dagster.sites import Site
from fits_dagster_tests.builders.sites import COOKIE, HttpServer

NAME = "N20251123S0001.fits.bz2"


def staging(site: Site) -> list[Path]:
    assert site.settings.staging_directory is not None
    return sorted(p for p in site.settings.staging_directory.rglob("*") if p.is_file())


def post(
    server: HttpServer, path: str, body: object = b"content", cookie: str | None = COOKIE
) -> requests.Response:
    cookies = {UPLOAD_COOKIE: cookie} if cookie is not None else {}
    return requests.post(f"{server.url}/upload_file/{path}", data=body, cookies=cookies, timeout=10)


def test_the_answer_is_exactly_what_clients_expect(archive: Site, archive_http: HttpServer) -> None:
    response = post(archive_http, NAME)
    md5 = hashlib.md5(b"content").hexdigest()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == [{"filename": NAME, "path": "", "size": 7, "md5": md5}]
    assert list(response.json()[0]) == ["filename", "path", "size", "md5"]
    with archive.engine.connect() as connection:
        item = connection.execute(text("select stage, filename, path, payload from work_item")).one()
        assert (item.stage, item.filename, item.path) == ("store", NAME, "")
        assert connection.scalar(text("select md5 from upload")) == md5
    [staged] = staging(archive)
    assert staged.read_bytes() == b"content"
    assert staged.name == item.payload["staged_name"]


def test_a_chunked_body_without_length_is_taken(archive_http: HttpServer) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    response = post(archive_http, f"some/path/{NAME}", chunks())
    assert response.json()[0] == {
        "filename": NAME,
        "path": "some/path",
        "size": 4_000_000,
        "md5": hashlib.md5(b"x" * 4_000_000).hexdigest(),
    }


def test_processed_calibrations_have_a_path_of_their_own(archive_http: HttpServer) -> None:
    assert post(archive_http, f"processed_cal/{NAME}").json()[0]["path"] == "processed_cals"


@pytest.mark.parametrize("cookie", [None, "", "wrong", "null"])
def test_without_the_right_cookie_nothing_is_taken(
    archive: Site, archive_http: HttpServer, cookie: str | None
) -> None:
    assert post(archive_http, NAME, cookie=cookie).status_code == 403
    assert staging(archive) == []


def test_other_methods_and_a_missing_name_are_refused(archive_http: HttpServer) -> None:
    assert requests.get(f"{archive_http.url}/upload_file/{NAME}", timeout=5).status_code == 405
    assert post(archive_http, "").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/x.fits",
        "%2Fetc%2Fpasswd",
        "a/..%2f..%2fx.fits",
        "x%00.fits",
        "a//x.fits",
        "x%0a.fits",
        "x" * 4000,
    ],
)
def test_names_that_climb_out_or_are_absurd_are_refused(
    archive: Site, archive_http: HttpServer, path: str
) -> None:
    where = urlparse(archive_http.url)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    connection.putrequest("POST", f"/upload_file/{path}", skip_host=True)
    connection.putheader("Host", "archive")
    connection.putheader("Cookie", f"{UPLOAD_COOKIE}={COOKIE}")
    connection.putheader("Content-Length", "1")
    connection.endheaders(b"x")
    assert connection.getresponse().status in (400, 404)
    connection.close()
    assert staging(archive) == []
    assert archive.settings.staging_directory is not None
    outside = archive.settings.staging_directory.parents[1]
    assert not any(p.name in ("passwd", "x.fits") for p in outside.rglob("*"))


def test_a_client_that_goes_away_leaves_nothing(archive: Site, archive_http: HttpServer) -> None:
    where = urlparse(archive_http.url)
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall(
            f"POST /upload_file/{NAME} HTTP/1.1\r\nHost: x\r\nCookie: {UPLOAD_COOKIE}={COOKIE}\r\n"
            "Content-Length: 1000000\r\n\r\n".encode()
            + b"x" * 1000
        )
    # the next request is served, and only its file is there
    assert post(archive_http, "N20251123S0002.fits").status_code == 200
    deadline = 100
    while len(staging(archive)) > 1 and deadline:
        deadline -= 1
        post(archive_http, "N20251123S0002.fits")
        break
    with archive.engine.connect() as database:
        names = set(database.scalars(text("select filename from work_item")))
    assert names == {"N20251123S0002.fits"}


def test_two_uploads_of_one_name_do_not_meet_and_the_last_wins(
    archive: Site, archive_http: HttpServer
) -> None:
    post(archive_http, NAME, b"first")
    post(archive_http, NAME, b"second")
    with archive.engine.connect() as connection:
        [payload] = connection.scalars(text("select payload from work_item"))
    assert payload["md5"] == hashlib.md5(b"second").hexdigest()
    assert len(staging(archive)) == 2

    from fits_dagster.ledger.loop import drain
    from fits_dagster.stages import store

    assert drain(archive, store.STAGE).done == 1
    assert staging(archive) == []
    with archive.store.local(NAME) as path:
        assert path.read_bytes() == b"second"


def test_a_store_repeated_after_a_crash_finds_its_work_done(archive: Site, archive_http: HttpServer) -> None:
    from fits_dagster.ledger.loop import drain
    from fits_dagster.stages import store

    post(archive_http, NAME)
    with archive.engine.connect() as connection:
        payload = connection.scalar(text("select payload from work_item"))
    assert archive.settings.staging_directory is not None
    staged = archive.settings.staging_directory / "uploads" / payload["staged_name"]
    archive.store.put(staged, NAME, md5=payload["md5"], move=True)
    assert drain(archive, store.STAGE).outcomes == {"stored": 1}


def test_a_staged_file_that_was_damaged_is_not_stored(archive: Site, archive_http: HttpServer) -> None:
    from fits_dagster.ledger.loop import drain
    from fits_dagster.stages import store

    post(archive_http, NAME)
    [staged] = staging(archive)
    staged.write_bytes(b"damaged")
    report = drain(archive, store.STAGE)
    assert [f.reason for f in report.failures] == ["checksum_mismatch"]
    assert archive.store.stat(NAME) is None
