"""What ingest sees of a file in one pass over it.

This is what the guarded process imports: it knows nothing of databases, and so begins in a tenth of a second.
What draws is imported when something is to be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fits_dagster.errors import FileError
from fits_dagster.fits.fulltext import full_text
from fits_dagster.fits.reading import FileInspection, inspect_file
from fits_dagster.fits.verify import Problem, check_structure
from fits_dagster.metadata import Description, describe
from fits_dagster.previews import NoPreview
from fits_dagster.previews.guarded import Sketch, drawn_of

__all__ = ["Observation", "observe", "observe_and_draw"]

_MISC_PREFIX: Final = "miscfile_"


@dataclass(frozen=True)
class Observation:
    """All that one pass over a file tells."""

    inspection: FileInspection
    #: Findings of the structural verification; warnings only, a refused file has no observation.
    problems: Sequence[Problem]
    #: None for a file that is no FITS file by its kind (an observation log, a miscellaneous file).
    description: Description | None
    fulltext: str | None


def observe(path: Path, filename: str) -> Observation:
    """Read a file once and describe it.

    Parameters
    ----------
    path
        The file, plain or ``.bz2``.
    filename
        Name that it has in the store.

    Raises
    ------
    FileError
        It is no FITS file, or not a whole one; the reason says which.
    """
    return _observed(inspect_file(path), filename)


def observe_and_draw(path: Path, filename: str) -> tuple[Observation, Sketch | None]:
    """Read a file once, describe it, and make its preview of what is then in memory.

    For compressed files: to decompress one takes a hundred times as long as to draw it, and is done once so.

    Returns
    -------
    observation
        As of :func:`observe`.
    sketch
        The preview, or why the file has none; None where drawing failed, or would take too much memory.

    Raises
    ------
    FileError
        See :func:`observe`.
    """
    content = bytearray()
    observation = _observed(inspect_file(path, keep=content), filename)
    description = observation.description
    if description is None or not content:
        return observation, None
    instrument = description.record.get("instrument")
    try:
        return observation, drawn_of(
            observation.inspection.hdus,
            content,
            instrument if isinstance(instrument, str) else None,
            description.tags,
        )
    except NoPreview as nothing:
        return observation, nothing
    except Exception:  # it is no fault of the reading
        return observation, None


def _observed(inspection: FileInspection, filename: str) -> Observation:
    if "obslog" in filename or filename.startswith(_MISC_PREFIX):
        return Observation(inspection, (), None, None)
    problems = check_structure(inspection)
    refused = next((p for p in problems if p.severity == "refuse"), None)
    if refused is not None:
        raise FileError(f"{filename}: {refused.message}", reason=refused.code)
    description = describe(inspection.hdus, filename)
    text = full_text(filename, description.tags, inspection.hdus)
    return Observation(inspection, problems, description, text)
