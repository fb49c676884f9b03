"""Names of preview files."""

from __future__ import annotations

from fits_dagster.fits.names import stem

__all__ = ["preview_name"]


def preview_name(path: str, filename: str) -> str:
    """Name of a file's preview below the preview directory.

    Parameters
    ----------
    path : str
        Directory of the stored file below the storage root; empty for the root itself.
    filename : str
        As stored, with ``.bz2`` or without.

    Returns
    -------
    str
        Path and name without ``.bz2`` and ``.fits``, with ``.jpg``.
    """
    directory = path.strip("/")
    name = f"{stem(filename)}.jpg"
    return f"{directory}/{name}" if directory else name
