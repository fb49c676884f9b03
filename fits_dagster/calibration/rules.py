"""The rules of association, as data: which calibrations a file needs, and what makes one fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fits_dagster.calibration.conditions import Condition, Facts
from fits_dagster.records.instruments import INSTRUMENT_TABLES

__all__ = [
    "CALTYPES",
    "FUNCTIONS",
    "Criteria",
    "Rule",
    "RuleBody",
    "RuleSet",
    "Score",
    "Side",
    "load_rulesets",
]

#: The one in C takes a tenth of the time.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

CALTYPES: Final[tuple[str, ...]] = (
    "bias",
    "processed_bias",
    "dark",
    "processed_dark",
    "processed_bpm",
    "flat",
    "processed_flat",
    "arc",
    "processed_arc",
    "pinhole",
    "processed_pinhole",
    "processed_fringe",
    "ronchi_mask",
    "lampoff_flat",
    "qh_flat",
    "domeflat",
    "lampoff_domeflat",
    "mask",
    "slitillum",
    "processed_slitillum",
    "standard",
    "processed_standard",
    "telluric",
    "processed_telluric",
    "polarization_standard",
    "astrometric_standard",
    "polarization_flat",
    "specphot",
    "photometric_standard",
    "processed_slitflat",
    "processed_slit",
)


#: GMOS gratings whose ruling sets the scale; what is not here counts as 1200 lines per mm.
_GMOS_GRATINGS: Final = frozenset({"B480", "B600", "R600", "R400", "R831", "R150", "B1200"})
_GMOS_DISPERSION: Final = 0.03
_DEFAULT_RULING: Final = 1200.0


def divide_by_cosine(angle: Any, elevation: Any) -> float | None:
    """Return an angle on the sky as one of the rotator: divided by the cosine of the elevation, degrees."""
    if angle is None or elevation is None:
        return None
    return float(angle) / math.cos(math.radians(float(elevation)))


def gmos_pixels(disperser: Any, pixels: Any) -> float:
    """Return the wavelength range of a number of GMOS pixels, micrometres."""
    name = (disperser or "").split("_G")[0].strip("+")
    ruling = float("".join(filter(str.isdigit, name))) if name in _GMOS_GRATINGS else _DEFAULT_RULING
    return float(pixels) * (_GMOS_DISPERSION / ruling)


def second_part(text: Any) -> str | None:
    """Return the second of the parts that ``&`` joins (GNIRS: the decker), or None."""
    parts = text.split("&") if isinstance(text, str) else []
    return parts[1] if len(parts) > 1 else None


FUNCTIONS: Final[Mapping[str, Callable[..., float | str | None]]] = {
    "divide_by_cosine": divide_by_cosine,
    "gmos_pixels": gmos_pixels,
    "second_part": second_part,
}


Side = Literal["around", "until", "before", "after"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Window(_Model):
    """How far from the target a candidate may be in time, strictly less."""

    days: int = 0
    seconds: int = 0

    @property
    def interval(self) -> timedelta:
        """The window as a time interval."""
        return timedelta(days=self.days, seconds=self.seconds)


class Criteria(_Model):
    """What a candidate must fulfil. With ``if``, only where that holds of the target."""

    if_: Condition | None = Field(default=None, alias="if")
    #: Conditions on the candidate alone.
    where: Condition | None = None
    #: Columns that equal the target's, null only null: candidate's column to target's fact.
    match: dict[str, str] = Field(default_factory=dict)
    #: Columns strictly within a number (or a named value) of the target's; dropped where that is null.
    within: dict[str, float | str] = Field(default_factory=dict)
    #: Text columns that contain a fact (or a named value) of the target; nothing matches a null.
    contains: dict[str, str] = Field(default_factory=dict)

    @field_validator("match", "contains", mode="before")
    @classmethod
    def _same_name(cls, given: Any) -> Any:
        """Allow a list, each entry a column that goes by one name on both sides, or a mapping."""
        if not isinstance(given, list):
            return given
        pairs: dict[str, str] = {}
        for entry in given:
            pairs.update(entry if isinstance(entry, dict) else {entry: entry.removeprefix("header.")})
        return pairs


class Score(_Model):
    """Order by distance in time over ``days`` plus distance in wavelength over a named value."""

    days: float
    wavelength: str


class RuleBody(Criteria):
    """A query for candidates, or the part of one that a rule's branches share."""

    #: ``raw KIND``, ``processed KIND``, ``raw``; any state and kind if left out.
    of: str | None = None
    #: Names of shared criteria.
    use: tuple[str, ...] = ()
    window: Window | None = None
    #: ``around`` the target's time, ``until`` it (inclusive), or strictly ``before`` or ``after`` it.
    side: Side | None = None
    order: Literal["nearest", "nearest_then_same_observation"] | Score | None = None
    limit: int | None = None
    #: Parts that are asked on their own and take turns in the answer.
    interleave: tuple[RuleBody, ...] = ()
    #: The rule of that name is meant.
    same_as: str | None = None
    #: Always an empty answer.
    nothing: bool = False


class Rule(RuleBody):
    """How the candidates of one type are found."""

    #: Nothing at all unless this holds of the target.
    only_if: Condition | None = None
    #: The first whose ``if`` holds is merged into the rule; the rule's own criteria are unconditional.
    branches: tuple[RuleBody, ...] = ()

    @model_validator(mode="after")
    def _unconditional(self) -> Rule:
        if self.if_ is not None:
            raise ValueError("a rule has 'only_if' or branches, not 'if'")
        return self


class Alternative(_Model):
    """One way to get a named value: a constant, or a function of facts, named values and numbers."""

    if_: Condition | None = Field(default=None, alias="if")
    value: float | None = None
    function: str | None = None
    args: tuple[str | float, ...] = ()

    @field_validator("function")
    @classmethod
    def _exists(cls, name: str | None) -> str | None:
        if name is not None and name not in FUNCTIONS:
            raise ValueError(f"there is no function {name}")
        return name


class Applicability(_Model):
    """Types that a target with certain properties needs; ``first_of`` takes the first that holds."""

    if_: Condition = Field(default_factory=Condition, alias="if")
    add: tuple[str, ...] = ()
    first_of: tuple[Applicability, ...] = ()

    @field_validator("add")
    @classmethod
    def _known(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := set(types) - set(CALTYPES):
            raise ValueError(f"unknown calibration types: {sorted(unknown)}")
        return types

    def types(self, facts: Facts) -> set[str]:
        """Return what it adds for a target."""
        if not self.if_.of_target(facts):
            return set()
        chosen = next((entry for entry in self.first_of if entry.if_.of_target(facts)), None)
        return {*self.add, *(chosen.types(facts) if chosen else ())}


class Applicable(_Model):
    """Which types a target needs."""

    nothing_if: tuple[Condition, ...] = ()
    types: tuple[Applicability, ...] = ()


class RuleSet(_Model):
    """The rules of one instrument, or of a family that shares a table."""

    name: str
    instruments: tuple[str, ...]
    #: Instrument table that a candidate must have a row in; None for an instrument without one.
    table: str | None
    #: One target per row of that table (an arm), whose answers take turns.
    per_row: bool = False
    conditions: dict[str, Condition] = Field(default_factory=dict)
    values: dict[str, tuple[Alternative, ...]] = Field(default_factory=dict)
    #: Columns of the table that can have certain words only; any other in a request is an error.
    vocabulary: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    applicable: Applicable
    shared: dict[str, tuple[Criteria, ...]] = Field(default_factory=dict)
    rules: dict[str, Rule]

    @field_validator("table")
    @classmethod
    def _table_exists(cls, name: str | None) -> str | None:
        if name is not None and name not in INSTRUMENT_TABLES:
            raise ValueError(f"there is no instrument table {name}")
        return name

    @model_validator(mode="after")
    def _vocabulary_of_columns(self) -> RuleSet:
        columns = INSTRUMENT_TABLES[self.table].columns.keys() if self.table is not None else ()
        if unknown := set(self.vocabulary).difference(columns):
            raise ValueError(f"there are no columns {sorted(unknown)}")
        return self

    @field_validator("shared", "values", mode="before")
    @classmethod
    def _single_entries(cls, given: Any) -> Any:
        """Allow one entry without a list."""
        return {name: each if isinstance(each, list) else [each] for name, each in given.items()}

    def applicable_types(self, facts: Facts) -> frozenset[str]:
        """Return the types that a target needs."""
        if any(condition.of_target(facts) for condition in self.applicable.nothing_if):
            return frozenset()
        return frozenset().union(*(entry.types(facts) for entry in self.applicable.types))

    def value(self, name: str, facts: Facts) -> Any:
        """Return a named value, or else the fact of that name."""
        for way in self.values.get(name, ()):
            if way.if_ is None or way.if_.of_target(facts):
                if way.function is None:
                    return way.value
                arguments = (self.value(a, facts) if isinstance(a, str) else a for a in way.args)
                return FUNCTIONS[way.function](*arguments)
        return facts.values.get(name)


@cache
def load_rulesets() -> Mapping[str, RuleSet]:
    """Read and check the rule files of the package.

    Returns
    -------
    mapping
        Rule set by name of instrument, exactly as headers spell it.

    Raises
    ------
    pydantic.ValidationError
        A file does not follow the schema.
    """
    found: dict[str, RuleSet] = {}
    for path in sorted(files(__package__).joinpath("rules").iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".yaml"):
            rules = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe one
            ruleset = RuleSet.model_validate(rules)
            found.update(dict.fromkeys(ruleset.instruments, ruleset))
    return found
