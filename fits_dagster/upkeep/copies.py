"""Good copies of a stored file: from the directory that it came from, or from another server, by its MD5."""

from __future__ import annotations

import bz2
import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fits_dagster.destinations.base import DestinationDownError, destination_path, open_destination
from fits_dagster.fits.opening import NotAFileError
from fits_dagster.sites import Site
from fits_dagster.storage.entries import open_regular
from fits_dagster.storage.landing import TEMPORARY_MARK, copy_hashed

__all__ = ["GoodCopy", "good_copy"]

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class GoodCopy:
    """A file with the content that was looked for."""

    path: Path
    #: Of its bytes.
    md5: str
    source: str
    #: Whether its bytes are those that were recorded; else the data are, compressed in another way.
    same_bytes: bool


@contextmanager
def good_copy(site: Site, version: Any, tried: list[str]) -> Iterator[GoodCopy | None]:
    """Give a good copy of a version for the time of the context, as a file of its own; None if there is none.

    Parameters
    ----------
    version
        Row of a version: path, filename, compressed, file_md5, data_md5.
    tried
        Where it was looked for, with the reason why it was not there; added to.
    """
    assert site.settings.staging_directory is not None
    holder = site.settings.staging_directory / "fetched" / f"{TEMPORARY_MARK}{secrets.token_hex(8)}"
    holder.mkdir(parents=True)
    target = holder / version.filename
    try:
        yield _from_source(site, version, target, tried) or _from_replicas(site, version, target, tried)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _from_source(site: Site, version: Any, target: Path, tried: list[str]) -> GoodCopy | None:
    """Look in the directory that files are copied from."""
    directory = site.settings.dhs_directory
    if directory is None or version.path:
        return None
    try:
        with (
            open_regular(directory / version.filename, links=site.settings.dhs_links) as reader,
            target.open("xb") as writer,
        ):
            _, md5 = copy_hashed(reader, writer)
    except (OSError, NotAFileError) as error:
        tried.append(f"{directory}: {type(error).__name__}")
        target.unlink(missing_ok=True)
        return None
    return _judged(version, target, md5, str(directory), tried)


def _from_replicas(site: Site, version: Any, target: Path, tried: list[str]) -> GoodCopy | None:
    """Ask other servers, at the path where they have it."""
    there = destination_path(version.path, site.settings.export_path_map)
    key = f"{there}/{version.filename}" if there else version.filename
    for address in site.settings.replicas or site.settings.export_destinations:
        try:
            md5 = open_destination(address, site.settings).fetch(key, target)
        except (DestinationDownError, OSError) as error:
            tried.append(str(error) if isinstance(error, DestinationDownError) else f"{address}: {error}")
            target.unlink(missing_ok=True)
            continue
        found = _judged(version, target, md5, address, tried)
        if found is not None:
            return found
    return None


def _judged(version: Any, target: Path, md5: str, source: str, tried: list[str]) -> GoodCopy | None:
    if md5 == version.file_md5:
        return GoodCopy(target, md5, source, same_bytes=True)
    if version.compressed and _data_md5(target) == version.data_md5:
        return GoodCopy(target, md5, source, same_bytes=False)
    tried.append(f"{source}: MD5 {md5}")
    target.unlink(missing_ok=True)
    return None


def _data_md5(path: Path) -> str | None:
    try:
        digest = hashlib.md5(usedforsecurity=False)
        with bz2.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except (OSError, EOFError):
        return None
    return digest.hexdigest()
