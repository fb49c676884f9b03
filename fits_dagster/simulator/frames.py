"""What is planned: steps of an observation, recipes of an instrument, frames of a night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from fits_dagster.simulator.cards import Value
from fits_dagster.simulator.sky import Site, Target

__all__ = ["Kind", "Mode", "PlannedFrame", "Recipe", "Step", "Where"]

Kind = Literal[
    "bias", "dark", "flat", "lampoff_flat", "arc", "pinhole", "ronchi", "twilight", "domeflat", "acquisition",
    "science", "standard",
]  # fmt: skip
#: "star" is a telluric standard near the target, "specphot" a spectrophotometric standard
Where = Literal["park", "twilight", "target", "star", "specphot"]
Mode = Literal["image", "longslit", "cross_dispersed", "ifu"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A run of equal exposures."""

    kind: Kind
    obstype: str
    obsclass: str
    exposure: float
    count: int = 1
    #: name in OBJECT; None = name of the target
    object: str | None = None
    where: Where = "park"
    #: GCALLAMP and GCALSHUT; None = the calibration unit is not in the beam and the keywords are missing
    lamp: str | None = None
    shutter: str = "CLOSED"
    #: keywords of the primary header that differ from the recipe's
    setup: Mapping[str, Value] = field(default_factory=dict)
    mode: Mode | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One configuration of an instrument: its afternoon calibrations and what one visit of a target takes."""

    instrument: str
    site: Site
    mode: Mode
    #: keyword values of the primary header that define the configuration
    setup: Mapping[str, Value]
    day: tuple[Step, ...]
    visit: tuple[Step, ...]

    def size(self) -> int:
        """Frames of the afternoon and one visit."""
        return sum(step.count for step in self.day + self.visit)


@dataclass(frozen=True, kw_only=True)
class PlannedFrame:
    """One file of a night, before it is written."""

    name: str
    seq: int
    instrument: str
    kind: Kind
    mode: Mode
    site: Site
    night: str
    ut: datetime
    exposure: float
    obstype: str
    obsclass: str
    object: str
    target: Target | None
    program_id: str
    observation_id: str
    data_label: str
    lamp: str | None
    shutter: str
    setup: Mapping[str, Value]
    #: shape of one image extension, as numpy has it, and how many there are
    shape: tuple[int, ...]
    extensions: int
    full_size: bool
    seed: int

    @property
    def filename(self) -> str:
        """Name with suffix."""
        return f"{self.name}.fits"
