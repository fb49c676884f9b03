"""The text of all headers of a file, as it is kept for display."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .cards import as_utf8
from .hdu import HDU

__all__ = ["full_text"]


def full_text(filename: str, tags: Iterable[str], hdus: Sequence[HDU]) -> str:
    """Return the headers of a file as text, preceded by its name and tags.

    Parameters
    ----------
    filename : str
        Name of the file as stored.
    tags : iterable of str
        The tag set; printed sorted, so that the text of the same file is always the same.
    hdus : sequence of HDU
        Primary first.

    Returns
    -------
    str
        One card a line. NUL characters are left out, since PostgreSQL does not store them.
    """
    printed = "{" + ", ".join(f"'{tag}'" for tag in sorted(tags)) + "}"
    parts = [f"Filename: {filename}\n", f"AstroData Tags: {printed}\n"]
    for number, hdu in enumerate(hdus):
        marker = "\n--- PHU ---" if number == 0 else f"--- HDU {number} ---"
        parts.append("\n".join((marker, *map(as_utf8, hdu.lines))) + "\n")
    return "\n".join(parts).replace("\0", "")
