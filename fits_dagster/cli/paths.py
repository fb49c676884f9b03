"""Files named on the command line, and the bar that shows how far work on them is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["fits_files", "progress_bar"]

_FITS_ENDINGS = (".fits", ".fits.bz2")


def fits_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files: a directory stands for the FITS files below it, a pattern for what it matches.

    A name that is none of these is given back as it is, for the caller to complain about.
    """
    for path in paths:
        try:
            is_directory, is_there = path.is_dir(), path.exists()
        except OSError:  # no permission, too long: whoever opens it gets the reason
            yield path
            continue
        if is_directory:
            yield from sorted(p for p in path.rglob("*") if p.name.endswith(_FITS_ENDINGS) and _is_file(p))
        elif not is_there and (matches := sorted(glob(str(path), recursive=True))):  # noqa: PTH207
            # not Path.glob, which refuses some patterns and wants relative ones
            yield from fits_files(Path(match) for match in matches)
        else:
            yield path


def _is_file(path: Path) -> bool:
    """Tell whether to look at an entry: a file, or what cannot be looked at now (the reason is told then)."""
    try:
        return path.is_file()
    except OSError:
        return True


def progress_bar(console: Console, *, auto_refresh: bool = True) -> Progress:
    """Make a bar that vanishes when the work is done.

    Parameters
    ----------
    auto_refresh
        Draw it anew in a thread; without, at each update that says ``refresh``: where processes are forked.
    """
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=auto_refresh,
    )
