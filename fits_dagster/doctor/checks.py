"""All checks of a system, by name; each has its place in the operators' handbook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from fits_dagster.doctor import backups, configuration, partners, parts, places
from fits_dagster.doctor.examination import examine
from fits_dagster.doctor.finding import Check, Finding
from fits_dagster.settings import Settings

__all__ = ["CHECKS", "examine_system"]

#: In the order in which somebody would look.
CHECKS: Final[Mapping[str, Callable[[Settings], Iterator[Finding]]]] = {
    "settings": configuration.settings_file,
    "database": parts.databases,
    "broker": parts.broker,
    "directories": places.directories,
    "disk": places.disks,
    "store": places.stores,
    "web": parts.web_applications,
    "code-servers": parts.code_servers,
    "daemon": parts.daemon,
    "workers": parts.workers,
    "destinations": partners.destinations,
    "certificates": partners.certificates,
    "alerts": configuration.alert_ways,
    "backups": backups.backups,
}


def examine_system(home: Path, *, patience: float = 20.0) -> list[Finding]:
    """Look at everything, in a bounded time.

    Parameters
    ----------
    patience
        Seconds that the checks, which run side by side, may take.
    """
    settings, found = configuration.read_settings(home)
    found = [replace(finding, check="settings") for finding in found]
    if settings is None:
        return found
    checks = [Check(name, partial(look, settings)) for name, look in CHECKS.items()]
    return found + examine(checks, patience=patience)
