"""Requests to edit headers: queued where headers are edited, done at once where a file was exported to.

At the summit an item that is accepted is an edit that waits, with the work that applies it, in one
transaction. At the archive only an item that names the content before and after is done: it stands for the
transfer of a file of which nothing but these cards has changed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from fits_dagster.destinations.fits_server import Sent, compressed_stream
from fits_dagster.errors import DataflowError
from fits_dagster.fits.bzip2 import plain_pieces
from fits_dagster.fits.edited import EditValue
from fits_dagster.fits.header_update import CardList
from fits_dagster.fits.names import trimmed
from fits_dagster.headers.apply import edit_file
from fits_dagster.headers.edits import LocatedFile, add_edit, find_by_label, find_by_name, has_pending_content
from fits_dagster.headers.request import HeaderRequest, RefusedItemError, read_item
from fits_dagster.intake.uploads import Reception
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.management import write_audit
from fits_dagster.nights import FileKey
from fits_dagster.records import files
from fits_dagster.records.files import StoredVersion
from fits_dagster.sites import Site
from fits_dagster.storage.landing import TEMPORARY_MARK

__all__ = ["queue_edit", "update_headers"]

log = logging.getLogger(__name__)

_CHUNK: Final = 1 << 20
#: Times that a file is written anew for one request.
_MOST_PASSES: Final = 8
_NOT_FOUND: Final = "No present file found for filename or datalabel"


def update_headers(site: Site, items: Sequence[object], *, asked_by: str) -> list[dict[str, Any]]:
    """Do, or queue, what a request asks for, item by item; one that is refused does not stop the others.

    Returns
    -------
    list of dict
        One answer for each item, in order: ``result``, ``id`` where it is known, ``error`` of a refused one,
        and ``md5`` (of the uncompressed content, as it is now) of one that was done at once.
    """
    return [_update(site, item, asked_by) for item in items]


def _update(site: Site, item: object, asked_by: str) -> dict[str, Any]:
    try:
        request = read_item(item)
        if request.names_contents and not _edits_headers(site):
            md5 = _edit_at_once(site, request, asked_by)
            return {"result": True, "id": request.identifier, "md5": md5}
        queue_edit(site, request, asked_by=asked_by)
        return {"result": True, "id": request.identifier}
    except RefusedItemError as error:
        log.warning("header edit of %r for %s refused: %s", error.identifier, asked_by, error)
        known = {"id": error.identifier} if error.identifier is not None else {}
        return {"result": False, **known, "error": str(error)}


def queue_edit(site: Site, request: HeaderRequest, *, asked_by: str, dry_run: bool = False) -> LocatedFile:
    """Queue an edit of a present file, and note who asked for it.

    Parameters
    ----------
    dry_run
        Only look which file is meant.

    Returns
    -------
    LocatedFile
        The file.

    Raises
    ------
    RefusedItemError
        No file, or more than one, is meant, or headers are edited elsewhere.
    """
    if not _edits_headers(site):
        raise RefusedItemError(
            "Headers are edited at the summit, in the dataflow directory; other servers get the edited file",
            request.identifier,
        )
    with site.engine.begin() as connection:
        found = _locate(connection, request)
        if dry_run:
            return found
        number = add_edit(
            connection,
            found,
            cards=request.cards,
            required=request.required,
            request={"values": dict(request.values)},
            asked_by=asked_by,
        )
        add_work(connection, [NewWork(stage="edit", path=found.path, filename=found.filename)])
        key = str(FileKey(found.path, found.filename))
        write_audit(connection, asked_by, "update_headers", f"{number}: {key}: {_listed(request)}")
    return found


def _edits_headers(site: Site) -> bool:
    return site.settings.dhs_directory is not None and site.settings.store == "directory"


def _locate(connection: Connection, request: HeaderRequest) -> LocatedFile:
    """Find the one present file that a request means."""
    if request.filename is not None:
        found = find_by_name(connection, trimmed(request.filename), request.path)
    else:
        found = find_by_label(connection, str(request.data_label))
        if len(found) > 1:
            # reduced files may carry the label of the raw one
            found = [file for file in found if file.processing == "Raw"] or found
    if not found:
        raise RefusedItemError(_NOT_FOUND, request.identifier)
    if len(found) > 1:
        raise RefusedItemError(f"Ambiguous: {len(found)} present files", request.identifier)
    if not found[0].isfits:
        raise RefusedItemError(f"{found[0].filename} is no FITS file", request.identifier)
    return found[0]


def _edit_at_once(site: Site, request: HeaderRequest, asked_by: str) -> str:
    """Make the edited file from the stored one and receive it like an upload; returns its content's MD5."""
    name = trimmed(request.filename or "")
    path = request.path or ""

    def check(connection: Connection) -> StoredVersion:
        version = files.present_versions(connection, [(name, path)]).get((name, path))
        if version is None:
            raise RefusedItemError(_NOT_FOUND)
        if version.data_md5 != request.data_md5_before:
            raise RefusedItemError(f"{name} has the data MD5 {version.data_md5} here")
        if has_pending_content(connection, path, name):
            raise RefusedItemError(f"{name} is about to be replaced here")
        return version

    try:
        with site.engine.connect() as connection:
            version = check(connection)
        with _plain_copy(site, version) as copy:
            before, after = _edit(copy, request.cards)
            if before != request.data_md5_before:
                raise RefusedItemError(f"the stored {name} has the data MD5 {before}")
            if after != request.data_md5_after:
                raise RefusedItemError(f"the edit of {name} gives the data MD5 {after}")
            reception = Reception(site, path, version.filename)
            try:
                for chunk in _stored_form(copy, compressed=version.compressed):
                    reception.write(chunk)
                # what came in meanwhile is newer
                reception.finish(remote_address=asked_by, content=after, check=check)
            except BaseException:
                reception.discard()
                raise
    except RefusedItemError as error:
        error.identifier = request.identifier
        raise
    except (DataflowError, OSError, EOFError) as error:
        raise RefusedItemError(f"{type(error).__name__}: {error}", request.identifier) from error
    with site.engine.begin() as connection:
        write_audit(connection, asked_by, "update_headers", f"{version.filename}: {_listed(request)}")
    log.info(
        "received the header edit of %s: %s, content %s",
        version.filename,
        _listed(request),
        after,
        extra={"action": "received", "frame": version.filename, "file": version.name, "content": after},
    )
    return after


def _edit(path: Path, cards: CardList) -> tuple[str, str]:
    """Set keywords one after the other, a repeated one again; returns the MD5 before and after."""
    passes: list[dict[str, EditValue]] = [{}]
    for keyword, value in cards:
        if keyword in passes[-1]:
            passes.append({})
        passes[-1][keyword] = value
    if len(passes) > _MOST_PASSES:
        raise RefusedItemError(f"so many edits of {path.name} at once take longer than its transfer")
    reports = [edit_file(path, each) for each in passes]
    return reports[0].data_md5_before, reports[-1].data_md5


@contextmanager
def _plain_copy(site: Site, version: StoredVersion) -> Iterator[Path]:
    """Give an uncompressed copy of a stored file, to be changed, for the time of the context."""
    assert site.settings.staging_directory is not None
    staging = site.settings.staging_directory / "edited"
    staging.mkdir(parents=True, exist_ok=True)
    key = str(FileKey(version.path, version.filename))
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_MARK, dir=staging) as directory:
        copy = Path(directory) / version.name
        with site.store.local(key) as stored, copy.open("xb") as target:
            for piece in plain_pieces(stored):
                target.write(piece)
        yield copy


def _stored_form(path: Path, *, compressed: bool) -> Iterator[bytes]:
    if compressed:
        yield from compressed_stream(path, Sent())
        return
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def _listed(request: HeaderRequest) -> str:
    return ", ".join(f"{keyword} = {value!r}" for keyword, value in request.cards)
