"""Other servers: the destinations of exports, their clocks, their versions, their certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import requests

from fits_dagster import __version__
from fits_dagster.destinations.base import DestinationDownError, open_destination
from fits_dagster.doctor.clocks import clock_finding
from fits_dagster.doctor.finding import Finding, ok, warning, wrong
from fits_dagster.settings import Settings

__all__ = ["certificates", "destinations"]

_TIMEOUT_S: Final = 5.0
_RENEW_DAYS: Final = 14


def _destinations(settings: Settings) -> list[str]:
    return sorted({url for name in settings.sites for url in settings.site(name).export_destinations})


def destinations(settings: Settings) -> Iterator[Finding]:
    """Ask each destination how it is."""
    for url in _destinations(settings):
        if not url.startswith("http"):
            yield _other(settings, url)
            continue
        before = datetime.now(UTC)
        try:
            answer = requests.get(f"{url.rstrip('/')}/health", timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            line = str(error).splitlines()[0]
            remedy = "nothing is lost: exports go on when it is back; look at the network and at that server"
            yield wrong(url, f"does not answer: {line}", remedy)
            continue
        if answer.status_code >= 500:
            yield wrong(url, f"answers with status {answer.status_code}", "run 'fits-dagster doctor' there")
        else:
            yield ok(url, "answers")
        yield from _clock(url, answer, before)
        yield from _version(url, answer)


def _other(settings: Settings, address: str) -> Finding:
    """Look at a destination that is no server."""
    site = next(s for s in map(settings.site, settings.sites) if address in s.export_destinations)
    try:
        open_destination(address, site).check()
    except (DestinationDownError, ValueError) as error:
        return wrong(address, str(error), "nothing is lost: exports go on when it is back; mount its disk")
    return ok(address, "is there")


def _clock(url: str, answer: requests.Response, before: datetime) -> Iterator[Finding]:
    try:
        there = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        yield warning(url, "does not tell its time", "let its proxy hand the header Date on")
        return
    # whole seconds, cut off
    yield clock_finding(url, there, before.replace(microsecond=0), datetime.now(UTC))


def _version(url: str, answer: requests.Response) -> Iterator[Finding]:
    try:
        version = str(answer.json()["version"])
    except (ValueError, KeyError, TypeError):
        # a server of another make
        return
    if version != __version__:
        yield warning(url, f"runs version {version}, here is {__version__}", "upgrade the older one")


def certificates(settings: Settings) -> Iterator[Finding]:
    """Look at the certificates of the destinations that have one."""
    for url in _destinations(settings):
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname is None:
            continue
        try:
            days = _days_left(parts.hostname, parts.port or 443)
        except ssl.SSLCertVerificationError as error:
            remedy = "renew it there, or let this machine trust its issuer"
            yield wrong(url, f"its certificate is not accepted: {error.verify_message}", remedy)
        except OSError as error:
            yield wrong(url, f"its certificate cannot be seen: {error}", "see the check of the destinations")
        else:
            message = f"its certificate ends in {days:.0f} days"
            yield warning(url, message, "renew it there") if days < _RENEW_DAYS else ok(url, message)


def _days_left(host: str, port: int) -> float:
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        known = secure.getpeercert() or {}
    end = ssl.cert_time_to_seconds(str(known["notAfter"]))
    return (end - datetime.now(UTC).timestamp()) / 86400
