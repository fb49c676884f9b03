"""Ways to tell people: the log, e-mail, a webhook."""

from __future__ import annotations

import logging
import smtplib
import socket
from collections.abc import Sequence
from email.message import EmailMessage

import requests

from fits_dagster.alerts.state import Notice
from fits_dagster.settings import AlertSettings

__all__ = ["AlertsNotSentError", "compose", "send"]

log = logging.getLogger(__name__)

_MOST_LINES = 50
_WORDS = {"new": "NEW", "lasts": "STILL", "over": "OVER"}


class AlertsNotSentError(RuntimeError):
    """No configured way took the message."""


def compose(notices: Sequence[Notice], settings: AlertSettings) -> tuple[str, str]:
    """Write subject line and text of the one message about some notices."""
    fresh = [notice for notice in notices if notice.what == "new"]
    leading = (fresh or list(notices))[0]
    more = f" and {len(notices) - 1} more" if len(notices) > 1 else ""
    subject = f"{settings.subject_prefix} {_WORDS[leading.what]}: {leading.message}"[:150] + more
    lines = [f"{_WORDS[notice.what]:<5} {notice.message}" for notice in notices[:_MOST_LINES]]
    if len(notices) > _MOST_LINES:
        lines.append(f"and {len(notices) - _MOST_LINES} more: fits-dagster alerts list")
    return " ".join(subject.split()), "\n".join(
        [*lines, "", f"Sent by fits_dagster on {socket.gethostname()}."]
    )


def send(notices: Sequence[Notice], settings: AlertSettings) -> None:
    """Tell people, in one message whatever the number of notices, by every way that is configured.

    Raises
    ------
    AlertsNotSentError
        None of the configured ways took it; with no way but the log there is nothing to go wrong.
    """
    if not notices:
        return
    for notice in notices:
        level = logging.INFO if notice.what == "over" else logging.ERROR
        log.log(level, "%s: %s", _WORDS[notice.what], notice.message, extra={"action": "alert"})
    subject, body = compose(notices, settings)
    ways = []
    if settings.email_to:
        ways.append(_mail)
    if settings.webhook_url:
        ways.append(_post)
    problems = []
    for way in ways:
        try:
            way(subject, body, notices, settings)
        except (OSError, smtplib.SMTPException, requests.RequestException) as error:
            log.warning("an alert could not be sent: %s: %s", type(error).__name__, error)
            problems.append(str(error))
    if ways and len(problems) == len(ways):
        raise AlertsNotSentError("; ".join(problems))


def _mail(subject: str, body: str, notices: Sequence[Notice], settings: AlertSettings) -> None:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = settings.email_from or f"fits_dagster@{socket.getfqdn()}"
    message["To"] = ", ".join(settings.email_to)
    message.set_content(body)
    with smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=settings.timeout_seconds) as server:
        server.send_message(message)


def _post(subject: str, body: str, notices: Sequence[Notice], settings: AlertSettings) -> None:
    answer = requests.post(
        settings.webhook_url.get_secret_value(),
        json={
            # what chat services show
            "text": f"{subject}\n{body}",
            "alerts": [vars(notice) for notice in notices],
        },
        timeout=settings.timeout_seconds,
    )
    answer.raise_for_status()
