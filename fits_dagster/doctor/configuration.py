"""The settings: can they be read, and by whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fits_dagster.doctor.finding import Finding, ok, warning, wrong
from fits_dagster.settings import Settings, SettingsError, configuration_file, load_settings
from fits_dagster.system.home import read_running

__all__ = ["alert_ways", "read_settings", "settings_file"]

_OTHERS: Final = 0o077


def read_settings(home: Path) -> tuple[Settings | None, list[Finding]]:
    """Read the settings of a home; of a system that runs, those that it was started with.

    Returns
    -------
    tuple
        The settings, None if they are not acceptable; and what is to be said of them.
    """
    try:
        settings = load_settings(home)
    except (SettingsError, ValidationError, ValueError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines()[:6]]
        return None, [wrong("settings", "; ".join(lines), "correct what the message names")]
    if read_running(settings) is not None:
        try:
            effective = json.loads((settings.home / "effective-settings.json").read_text())
            settings = Settings(**effective)
        except (OSError, ValueError) as error:
            remedy = "run this as the user who runs the system"
            return settings, [warning("settings", f"those in force cannot be read: {error}", remedy)]
    return settings, [ok("settings", f"acceptable; home is {settings.home}")]


def settings_file(settings: Settings) -> Iterator[Finding]:
    """Look for readers of the configuration file who should not be."""
    path = configuration_file(settings.home)
    if not path.is_file():
        yield ok(str(path), "is not there: defaults and the environment count")
        return
    secret = any(word in path.read_text() for word in ("cookie", "token", "password", "webhook", "://"))
    if secret and path.stat().st_mode & _OTHERS:
        yield warning(str(path), "others can read it, and it may hold secrets", f"chmod 600 {path}")
    else:
        yield ok(str(path), "nobody else reads secrets in it")


def alert_ways(settings: Settings) -> Iterator[Finding]:
    """Look whether anybody would be told of trouble."""
    alerts = settings.alerts
    if alerts.email_to or alerts.webhook_url.get_secret_value():
        yield ok("alerts", "people are notified by mail or webhook; 'fits-dagster alerts test' tries it")
    else:
        remedy = "set alerts.email_to or alerts.webhook_url"
        yield warning("alerts", "nobody is notified of trouble: alerts go to the log only", remedy)
