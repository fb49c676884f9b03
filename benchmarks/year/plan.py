"""What happens in a night of the year: all of it follows from the seed and the night's label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Final, Literal, TypeAlias

from fits_dagster.nights import Night
from fits_dagster.simulator import PlannedFrame, frame_bytes, plan_night

__all__ = ["Chances", "Fault", "NightPlan", "YearPlan", "broken", "content", "rewritten"]

#: What is wrong with a file: its end never comes, it is no FITS file, or a card that must be there is not.
#: The end of ``late_end`` comes with the night after.
Fault: TypeAlias = Literal["no_end", "no_fits", "no_card", "late_end"]
_FAULTS: Final[Sequence[Fault]] = ("no_end", "no_fits", "no_card", "late_end")
_CALIBRATIONS: Final = frozenset({"BIAS", "DARK", "FLAT", "ARC"})
_LATEST_NIGHTS: Final = 3
_LONGEST_OUTAGE_S: Final = 25.0
_BIN: Final = 32
_PIXELS: Final = 32
_BLOCK: Final = 2880
_OBSERVER: Final = b"OBSERVER="


@dataclass(frozen=True, kw_only=True)
class Chances:
    """How often something out of the ordinary happens."""

    #: Share of files that are broken, and of calibrations that come one to three nights late.
    broken: float = 0.005
    late: float = 0.05
    #: Files of the last nights whose headers are edited, that are written anew by hand, and that are only
    #: touched, as shares of a night's number.
    edited: float = 0.02
    rewritten: float = 0.005
    touched: float = 0.01
    #: Share of nights in which the archive is away for a while.
    outage: float = 0.05


@dataclass(frozen=True)
class NightPlan:
    """One night."""

    night: Night
    #: In the order of time.
    frames: Sequence[PlannedFrame]
    faults: Mapping[str, Fault]
    #: By name, so many nights later.
    late: Mapping[str, int]
    #: Numbers of files of the last nights to which something is done by hand.
    edits: int
    rewrites: int
    touches: int
    #: Seconds for which the archive is away; 0: not at all.
    outage_s: float


@dataclass(frozen=True)
class YearPlan:
    """All nights."""

    first: date
    nights: int
    files_per_night: int
    seed: int
    chances: Chances

    def night(self, number: int) -> NightPlan:
        """Return what happens in a night, counted from 0."""
        night = Night(self.first + timedelta(days=number))
        choice = self.choice(number, "plan")
        frames = [
            _small(frame) for frame in plan_night(str(night), files=self.files_per_night, seed=self.seed)
        ]
        frames.sort(key=lambda frame: (frame.ut, frame.name))
        chosen = choice.sample(frames, _number(choice, self.chances.broken * len(frames)))
        faults = {frame.filename: choice.choice(_FAULTS) for frame in chosen}
        late = {
            frame.filename: choice.randint(1, _LATEST_NIGHTS)
            for frame in frames
            if frame.obstype in _CALIBRATIONS
            and frame.filename not in faults
            and choice.random() < self.chances.late
        }
        return NightPlan(
            night,
            frames,
            faults,
            late,
            edits=_number(choice, self.chances.edited * len(frames)),
            rewrites=_number(choice, self.chances.rewritten * len(frames)),
            touches=_number(choice, self.chances.touched * len(frames)),
            outage_s=choice.uniform(5.0, _LONGEST_OUTAGE_S) if choice.random() < self.chances.outage else 0.0,
        )

    def choice(self, number: int, what: str) -> Random:
        """Return the source of one kind of choices of a night."""
        return Random(f"{self.seed} {number} {what}")


def _number(choice: Random, mean: float) -> int:
    """Return a whole number with a mean."""
    return int(mean) + (choice.random() < mean % 1.0)


def _small(frame: PlannedFrame) -> PlannedFrame:
    """Return a frame of some dozen kilobytes, with its headers as they are."""
    if "roi" in frame.setup:
        return replace(frame, setup={**frame.setup, "xbin": _BIN, "ybin": _BIN})
    return replace(frame, shape=(*frame.shape[:-2], _PIXELS, _PIXELS))


def content(frame: PlannedFrame) -> bytes:
    """Return the bytes of a whole file."""
    return frame_bytes(frame)


def broken(whole: bytes, fault: Fault) -> bytes:
    """Return the bytes of a file with a fault."""
    if fault == "no_fits":
        return b"\x89not a FITS file\n" * 400
    if fault == "no_card":
        # a card without its mandatory axes, where readers look first
        return whole.replace(b"NAXIS   =", b"NAXES   =", 1)
    return whole[: max(_BLOCK, len(whole) // 2 // _BLOCK * _BLOCK - 100)]


def rewritten(whole: bytes, who: str) -> bytes:
    """Return a file with another observer in its header, as somebody writes it by hand.

    Raises
    ------
    ValueError
        Its header names no observer.
    """
    at = whole.index(_OBSERVER)
    return whole[:at] + f"OBSERVER= {who!r:<20}".ljust(80).encode() + whole[at + 80 :]
