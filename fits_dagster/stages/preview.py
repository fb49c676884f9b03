"""Preview: from a stored file to a JPEG in the store."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from fits_dagster.errors import FileError
from fits_dagster.fits.guarded import Guard, inspect_guarded
from fits_dagster.fits.readers import READERS
from fits_dagster.ledger.items import WorkItem
from fits_dagster.ledger.stage import Committed, Stage
from fits_dagster.previews import NoPreview, preview_name
from fits_dagster.previews.guarded import Drawing, rendered_for
from fits_dagster.records.files import has_preview
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site
from fits_dagster.stages.sketches import Sketches
from fits_dagster.storage.landing import write_durably

__all__ = ["STAGE", "PreviewStage", "preview_key"]

#: The file is in order, there is just nothing to see in it.
_NOTHING_TO_SEE: Final = frozenset({"no_image", "empty_image", "one_dimensional", "no_finite_pixels"})


def preview_key(site: Site, path: str, filename: str) -> str:
    """Return the key of a file's preview in the site's store."""
    return f"{site.settings.preview_path}/{preview_name(path, filename)}"


@dataclass(frozen=True)
class _Rendered:
    #: None when there is nothing to show.
    name: str | None
    size: int
    detail: str
    #: MD5 of the uncompressed data that it shows.
    content: str = ""


def _damaged(message: str, *, reason: str) -> FileError:
    return FileError(message, reason="damaged_data" if reason == "parser_crash" else reason)


class PreviewStage(Stage[_Rendered]):
    """Store -> preview pictures."""

    name = "preview"
    title = "Preview"
    tab = "pq"
    always_has_tab = True
    lists_by_name = True
    asset = "previews"
    asset_description = "One JPEG per file of the night that has an image."
    after = ("ingest",)
    words = "its preview"
    duty = "makes previews"
    services = ("service_preview_queue",)
    command = "preview"
    needs_header = True
    figures: Mapping[str, Sequence[str]] = {"previews": ("rendered",), "without_image": ("no_preview",)}
    is_made = has_preview()

    def is_part_of(self, site: SiteSettings) -> bool:
        """Where previews are made."""
        return site.using_previews

    def __init__(self) -> None:
        # decoders are C code: what crashes, hangs or swallows memory must not take the worker along
        self._guard = Guard(error=_damaged, readers=READERS)

    def begin(self) -> None:
        """Start a process that decodes pixels, which the first file need not wait for."""
        self._guard.begin()

    def end(self) -> None:
        """End the processes that decode pixels."""
        self._guard.end_idle()

    def prepare(self, site: Site, connection: Connection, items: Sequence[WorkItem]) -> Mapping[int, Any]:
        """Fetch what is known of the versions that are to be shown."""
        rows = {
            row["id"]: row
            for row in connection.execute(
                RECORDS["preview_subjects"], {"ids": [i.subject_id for i in items]}
            ).mappings()
        }
        return {i.id: rows[i.subject_id] for i in items if i.subject_id in rows}

    def work(self, site: Site, item: WorkItem, known: Any) -> _Rendered:
        """Render the picture and put it into the store.

        Raises
        ------
        FileError
            The file cannot be read (the reason says why); ``damaged_data`` if that crashed its reader.
        """
        if known is None or not known["canonical"]:
            return _Rendered(None, 0, "superseded by a newer version")
        try:
            info, jpeg = self._drawing(site, item, known)
        except NoPreview as nothing:
            if nothing.reason in _NOTHING_TO_SEE:
                return _Rendered(None, 0, str(nothing), known["data_md5"])
            raise FileError(f"{item.key}: {nothing}", reason=nothing.reason) from nothing
        _put(site, preview_key(site, item.path, item.filename), jpeg)
        name = preview_name(item.path, item.filename)
        return _Rendered(name, info.size, f"{info.width}x{info.height} {info.layout}", known["data_md5"])

    def _drawing(self, site: Site, item: WorkItem, known: Any) -> Drawing:
        """Draw the preview, where ingest has not."""
        assert site.settings.staging_directory is not None
        sketch = Sketches(site.settings.staging_directory).take(item.key, known["file_md5"])
        if isinstance(sketch, NoPreview):
            raise sketch
        if sketch is not None:
            return sketch
        with site.store.handed_on(item.key, md5=known["file_md5"]) as source:
            return inspect_guarded(
                self._guard, rendered_for, source, known["instrument"], frozenset(known["types"])
            )

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: _Rendered) -> Committed:
        """Note the picture of this version."""
        return self.commit_group(site, connection, [(item, result)])[0]

    def commit_group(
        self, site: Site, connection: Connection, group: Sequence[tuple[WorkItem, _Rendered]]
    ) -> Sequence[Committed]:
        """Note the pictures of some versions, and which have none."""
        made = {item.subject_id: result.name for item, result in group if result.name is not None}
        if made:
            names = {"ids": list(made), "filenames": list(made.values())}
            connection.execute(RECORDS["save_previews"], names)
        if none := [item.subject_id for item, result in group if result.name is None]:
            connection.execute(RECORDS["forget_previews"], {"ids": none})
        return [
            Committed("no_preview", detail=result.detail, content=result.content)
            if result.name is None
            else Committed("rendered", size=result.size, detail=result.detail, content=result.content)
            for _, result in group
        ]


def _put(site: Site, key: str, jpeg: bytes) -> None:
    """Put a picture into the store."""
    assert site.settings.staging_directory is not None
    staging = site.settings.staging_directory / "previews"
    staging.mkdir(parents=True, exist_ok=True)
    picture = staging / f"{secrets.token_hex(8)}.jpg"
    try:
        write_durably(picture, jpeg)
        site.store.put(picture, key, md5=hashlib.md5(jpeg, usedforsecurity=False).hexdigest(), move=True)
    finally:
        picture.unlink(missing_ok=True)


STAGE = PreviewStage()
