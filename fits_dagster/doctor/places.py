"""Directories, stores and disks of this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from fits_dagster.doctor.finding import Finding, ok, warning, wrong
from fits_dagster.fits.names import TEMPORARY_MARK
from fits_dagster.settings import Settings
from fits_dagster.storage import open_store
from fits_dagster.storage.mounts import disk_figures

__all__ = ["directories", "disks", "stores"]

_GB: Final = 1024**3
_PROBE: Final = b"fits_dagster doctor\n"


def _places(settings: Settings) -> Mapping[Path, tuple[str, bool]]:
    """Return the directories of a machine: what each is, and whether it is written."""
    places: dict[Path, tuple[str, bool]] = {settings.home: ("home", True)}
    for name in settings.sites:
        site = settings.site(name)
        if site.dhs_directory is not None:
            places.setdefault(site.dhs_directory, (f"{name} DHS directory", False))
        if site.store == "directory" and site.store_directory is not None:
            places[site.store_directory] = (f"{name} store", True)
        if site.staging_directory is not None:
            places[site.staging_directory] = (f"{name} staging directory", True)
    return places


def directories(settings: Settings) -> Iterator[Finding]:
    """Look whether directories can be read, and written where that is needed."""
    for path, (what, is_written) in _places(settings).items():
        try:
            disk_figures(path)
        except OSError as error:
            yield wrong(
                str(path),
                f"{what} cannot be read: {error.strerror or error}",
                "mount it, make it, or give this user the right to read it",
            )
            continue
        if is_written:
            try:
                _write_probe(path)
            except OSError as error:
                yield wrong(
                    str(path),
                    f"{what} cannot be written: {error.strerror or error}",
                    "look at its owner, its mount options and its quota",
                )
                continue
        yield ok(str(path), f"{what} can be {'written' if is_written else 'read'}")


def _write_probe(directory: Path) -> None:
    # a hidden name: nothing takes it for a file of the telescope
    with tempfile.NamedTemporaryFile(dir=directory, prefix=f".doctor{TEMPORARY_MARK}") as probe:
        probe.write(_PROBE)
        probe.flush()
        os.fsync(probe.fileno())


def disks(settings: Settings) -> Iterator[Finding]:
    """Look at free space."""
    alerts = settings.alerts
    further = {Path(name): ("directory of the alerts", False) for name in alerts.disk_free_gb}
    for path, (what, is_written) in {**further, **_places(settings)}.items():
        try:
            free = disk_figures(path).free
        except OSError as error:
            yield wrong(str(path), f"free space is not known: {error.strerror or error}", "mount it")
            continue
        least = alerts.disk_free_gb.get(str(path), alerts.least_free_gb)
        most_needed = max(settings.site(name).min_free_bytes for name in settings.sites)
        message = f"{what} has {free / _GB:.1f} GB free"
        remedy = "remove what every destination holds: fits-dagster upkeep remove-files"
        if is_written and free < most_needed:
            yield wrong(str(path), f"{message}; uploads are refused", remedy)
        elif free < least * _GB:
            yield warning(str(path), f"{message}, less than {least:g} GB", remedy)
        else:
            yield ok(str(path), message)


def stores(settings: Settings) -> Iterator[Finding]:
    """Look whether S3 answers, where a site's store is there."""
    for name in settings.sites:
        site = settings.site(name)
        if site.store != "s3":
            continue
        place = f"{name} bucket {site.s3.bucket}"
        try:
            open_store(site).stat("doctor-asks-for-what-is-not-there.fits")
        except Exception as error:  # the service's errors are many
            line = (str(error).splitlines() or [type(error).__name__])[0]
            yield wrong(place, line, "look at endpoint_url, the credentials and the bucket's policy")
        else:
            yield ok(place, "answers")
