"""A year that is run in parts: what must be known to go on with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from benchmarks.year.meters import Stretch
from benchmarks.year.options import Year
from fits_dagster.nights import Night

__all__ = ["Part", "PartError", "begin_part", "end_part"]

#: Options that are one year's.
_SAME = ("nights", "files_per_night", "seed", "keep_nights")


class PartError(Exception):
    """The year cannot go on in this directory."""


@dataclass
class Part:
    """How far the parts before this one have come; a first part begins with nothing."""

    #: Number of the night that is next.
    night: int = 0
    #: When each night began, by the real clock.
    began: Mapping[Night, datetime] = field(default_factory=dict)
    runs_pruned: int = 0
    removed: int = 0
    findings: Sequence[str] = ()


def begin_part(directory: Path, year: Year) -> Part:
    """Take up a year, whose figures so far are put into ``year``; a part that is broken off cannot be.

    Raises
    ------
    PartError
        It is another year, a whole one, or a part was broken off.
    """
    note = _note(directory)
    if not note.exists():
        if any(directory.iterdir()):
            raise PartError(f"a part was broken off in {directory}: remove it, and begin again")
        return Part()
    read: dict[str, Any] = json.loads(note.read_text())
    wanted = {name: getattr(year.options, name) for name in _SAME}
    if read["options"] != wanted:
        raise PartError(f"the year in {directory} is one of {read['options']}, not of {wanted}")
    if read["night"] >= wanted["nights"]:
        raise PartError(f"all nights of the year in {directory} have been given")
    known = {each.name for each in fields(Stretch)}
    year.stretches = [Stretch(**{k: v for k, v in row.items() if k in known}) for row in read["rows"]]
    year.deeds = Counter(read["deeds"])
    year.seconds, year.waited_s = read["seconds"], read["waited_s"]
    year.options = replace(year.options, first=date.fromisoformat(read["first"]))
    # from now on the home is ahead of the note
    note.unlink()
    began = {Night.parse(night): datetime.fromisoformat(at) for night, at in read["began"].items()}
    return Part(read["night"], began, read["runs_pruned"], read["removed"], tuple(read["findings"]))


def end_part(directory: Path, year: Year, part: Part) -> None:
    """Note how far the year has come; nothing may be on its way."""
    written = {
        "options": {name: getattr(year.options, name) for name in _SAME},
        "first": year.options.first_night.isoformat(),
        "night": part.night,
        "began": {str(night): at.isoformat() for night, at in part.began.items()},
        "runs_pruned": part.runs_pruned,
        "removed": part.removed,
        "findings": list(part.findings),
        "deeds": year.deeds,
        "seconds": year.seconds,
        "waited_s": year.waited_s,
        "rows": [asdict(each) for each in year.stretches],
    }
    _note(directory).write_text(json.dumps(written, indent=1) + "\n")


def _note(directory: Path) -> Path:
    return directory / "year.json"
