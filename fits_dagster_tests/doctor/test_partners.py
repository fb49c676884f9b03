"""Servers that speak something else, are away, late, or have a bad certificate, and what is said of them."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fits_dagster.doctor import partners
from fits_dagster.doctor.clocks import clock_finding
from fits_dagster.settings import Settings
from fits_dagster.system.ports import free_port
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.doctor.said import destined, verdicts


def test_clocks_are_compared() -> None:
    before = datetime.now(UTC)
    after = before + timedelta(seconds=1)
    for apart, verdict in ((0.5, "ok"), (2, "ok"), (10, "warning"), (-10, "warning"), (99, "wrong")):
        there = before + timedelta(seconds=apart)
        assert clock_finding("there", there, before, after).verdict == verdict, apart
    assert clock_finding("there", before - timedelta(minutes=1), before, after).message == (
        "its clock is 60 s behind"
    )


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
