"""Applying edits to a file of the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from fits_dagster.errors import FileError, TransientError
from fits_dagster.fits.edit import Edit, EditError, EditReport, edit_headers
from fits_dagster.fits.edited import EditValue
from fits_dagster.fits.reading import read_headers
from fits_dagster.fits.tiles import primary_index
from fits_dagster.headers.edits import WaitingEdit
from fits_dagster.headers.request import RefusedItemError, check_cards

__all__ = ["EditRefusedError", "check_edit", "edit_file", "keywords_of"]


class EditRefusedError(FileError):
    """A header edit could not be applied."""

    reason = "edit_refused"


def edit_file(path: Path, cards: Mapping[str, EditValue]) -> EditReport:
    """Set keywords of a file's primary header.

    Raises
    ------
    FileError
        The file is no whole FITS file, or cannot take the cards; the reason says which.
    TransientError
        Another changed it meanwhile (``changed``).
    """
    try:
        return edit_headers(path, [Edit(hdu=primary_index(read_headers(path)), set=cards)])
    except EditError as error:
        kind = TransientError if error.reason == "changed" else FileError
        raise kind(str(error), reason=error.reason) from error


def check_edit(edit: WaitingEdit, present: Collection[str], cards: Mapping[str, EditValue]) -> None:
    """Make sure that an edit can be applied after those whose cards are given."""
    missing = [k for k in edit.required if k not in present and k not in cards]
    if missing:
        raise RefusedItemError(f"no keyword {', '.join(missing)} in the header, and new ones are rejected")
    check_cards(edit.cards)


def keywords_of(path: Path) -> Collection[str]:
    """Return the keywords of a file's primary header."""
    hdus = read_headers(path)
    if not hdus:
        raise FileError(f"{path.name} has no header", reason="not_fits")
    return hdus[primary_index(hdus)].cards
