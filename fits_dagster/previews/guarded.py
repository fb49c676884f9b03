"""What a guarded process is asked for; the process alone imports what decodes and draws, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from fits_dagster.fits.hdu import HDU
from fits_dagster.previews.errors import NoPreview
from fits_dagster.previews.info import PreviewInfo

__all__ = ["Drawing", "Sketch", "drawn_of", "rendered_for"]

#: What was made, and the JPEG.
Drawing: TypeAlias = tuple[PreviewInfo, bytes]
#: A preview, or why there is none.
Sketch: TypeAlias = Drawing | NoPreview


def rendered_for(path: Path, instrument: str | None, tags: frozenset[str]) -> Drawing:
    """Make the preview of a file.

    What it returns is taken in without any of these imports.

    Parameters
    ----------
    path
        FITS file, plain or ``.bz2``.
    instrument, tags
        See `PreviewRequest`.

    Raises
    ------
    NoPreview
        There is nothing to show.
    """
    from fits_dagster.previews.rendering import PreviewRequest, rendered

    return rendered(path, PreviewRequest(instrument, tags))


def drawn_of(
    hdus: Sequence[HDU], content: bytes | bytearray, instrument: str | None, tags: frozenset[str]
) -> Drawing:
    """Make the preview of a file that is in memory, uncompressed; see `rendered_for`.

    Raises
    ------
    NoPreview
        There is nothing to show.
    """
    from fits_dagster.previews.reading import images_of
    from fits_dagster.previews.rendering import PreviewRequest, drawn

    return drawn(images_of(hdus, content), PreviewRequest(instrument, tags))
