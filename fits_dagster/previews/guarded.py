"""What a guarded process is asked for; the process alone imports what decodes and draws, and nothing else."""

from __future__ import annotations

from pathlib import Path

from fits_dagster.previews.info import PreviewInfo

__all__ = ["rendered_for"]


def rendered_for(path: Path, instrument: str | None, tags: frozenset[str]) -> tuple[PreviewInfo, bytes]:
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
