"""Plan a night at both telescopes and write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from fits_dagster.simulator.frames import PlannedFrame, Recipe, Step
from fits_dagster.simulator.gmos import amplifiers, gmos_layout
from fits_dagster.simulator.near_infrared import ARRAYS
from fits_dagster.simulator.recipes import RECIPES, full_size
from fits_dagster.simulator.sky import NORTHERN, SOUTHERN, STANDARDS, Site, Target, nearest_to_meridian
from fits_dagster.simulator.writing import write_frame

__all__ = ["instruments_available", "plan_night", "simulate_night", "tonight"]

#: seconds between exposures for reading out and setting up
OVERHEAD = 25.0
#: day calibrations are taken again after so many visits, so that large nights have more of them
VISITS_PER_DAY_SET = 12


class _Unit(NamedTuple):
    """Steps taken together: an afternoon (visit below zero) or a visit of a target."""

    recipe: Recipe
    visit: int
    steps: tuple[Step, ...]


class _Exposure(NamedTuple):
    """One exposure: seconds from 00:00 UTC of the night's date, and where it belongs."""

    seconds: float
    unit: _Unit
    block: int
    block_start: float
    step: Step
    repeat: int


def instruments_available(letters: str = "NS") -> list[str]:
    """Instruments that can be simulated, each once: of both telescopes, or of one by its letter."""
    return list(dict.fromkeys(recipe.instrument for recipe in RECIPES if recipe.site.letter in letters))


def tonight() -> str:
    """Label of the night of this moment: the UTC date."""
    return f"{datetime.now(UTC):%Y%m%d}"


def simulate_night(
    out: Path,
    *,
    night: str | None = None,
    files: int = 40,
    instruments: Sequence[str] | None = None,
    full_size: bool = False,
    seed: int = 1,
    progress: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Write a night's raw files into a directory.

    Parameters
    ----------
    out : Path
        Made if it is not there.
    night : str, optional
        Label ``YYYYMMDD``; tonight's by default.
    files : int
        How many frames, both sites together. 40 is one visit with every configuration.
    instruments : sequence of str, optional
        Only these; see `instruments_available`.
    full_size : bool
        Whole detectors; else windows of about 1 to 2 MB.
    seed : int
        The same seed gives the same bytes.
    progress : callable, optional
        Called with each path when it is complete.

    Returns
    -------
    list of Path
        In order of the names.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for frame in plan_night(night, files=files, instruments=instruments, full_size=full_size, seed=seed):
        path = out / frame.filename
        write_frame(frame, path)
        paths.append(path)
        if progress is not None:
            progress(path)
    return paths


def plan_night(
    night: str | None = None,
    *,
    files: int = 40,
    instruments: Sequence[str] | None = None,
    full_size: bool = False,
    seed: int = 1,
    first_number: int = 1,
) -> list[PlannedFrame]:
    """Plan a night's frames, in order of the names; names run from `first_number` at each site by time.

    Parameters
    ----------
    night, files, instruments, full_size, seed
        As for `simulate_night`.
    first_number : int
        Running number of the first file of each site.

    Returns
    -------
    list of PlannedFrame

    Raises
    ------
    ValueError
        An instrument that is not known, or a night that is not a date.
    """
    label = night or tonight()
    day = datetime.strptime(label, "%Y%m%d").replace(tzinfo=UTC).date()
    chosen = _choose(instruments, full_size)
    units = _divide(chosen, files)
    frames: list[PlannedFrame] = []
    for site in {recipe.site.letter: recipe.site for recipe in chosen}.values():
        of_site = [unit for unit in units if unit.recipe.site is site]
        frames += _schedule(site, day, label, of_site, full_size, seed, first_number)
    return sorted(frames, key=lambda frame: frame.name)


def _choose(instruments: Sequence[str] | None, whole: bool) -> list[Recipe]:
    unknown = set(instruments or ()) - set(instruments_available())
    if unknown:
        raise ValueError(f"no simulation of {', '.join(sorted(unknown))}")
    chosen = [recipe for recipe in RECIPES if not instruments or recipe.instrument in instruments]
    return [full_size(recipe) for recipe in chosen] if whole else chosen


def _divide(recipes: Sequence[Recipe], files: int) -> list[_Unit]:
    """Share `files` among recipes.

    Whole recipes come first, then further visits by turns, until the number is reached; the last may be cut.
    """
    units: list[_Unit] = []
    turn = 0
    while files > 0:
        for recipe in recipes:
            wanted = [_Unit(recipe, turn, recipe.visit)]
            if turn % VISITS_PER_DAY_SET == 0:
                wanted.insert(0, _Unit(recipe, -1 - turn, recipe.day))
            for unit in wanted:
                cut = _cut(unit, files)
                files -= sum(step.count for step in cut.steps)
                units.append(cut)
        turn += 1
    return [unit for unit in units if unit.steps]


def _cut(unit: _Unit, limit: int) -> _Unit:
    """Leave out what goes beyond `limit` frames."""
    steps = []
    for step in unit.steps:
        count = min(step.count, limit)
        limit -= count
        if count:
            steps.append(replace(step, count=count))
    return unit._replace(steps=tuple(steps))


def _schedule(
    site: Site, day: date, label: str, units: Sequence[_Unit], whole: bool, seed: int, first_number: int
) -> list[PlannedFrame]:
    """Give every exposure of one site its time, target, identifiers and name."""
    afternoons = [unit for unit in units if unit.visit < 0]
    exposures: list[_Exposure] = []
    for blocks, start, end in (
        ([_only(unit, twilight=False) for unit in afternoons], site.day_start, site.twilight),
        ([_only(unit, twilight=True) for unit in afternoons], site.twilight, site.night_start),
        ([unit for unit in units if unit.visit >= 0], site.night_start, site.night_end),
    ):
        exposures += _lay_out([block for block in blocks if block.steps], start * 3600.0, end * 3600.0)
    identify = _Identifiers(site, label, day)
    frames = []
    for number, exposure in enumerate(exposures, first_number):
        step, recipe = exposure.step, exposure.unit.recipe
        target = _target(site, step, site.at(day, exposure.block_start / 3600.0), exposure.unit.visit)
        program, observation, data_label = identify(exposure)
        shape, extensions = _geometry(recipe, step, whole)
        frames.append(
            PlannedFrame(
                name=f"{site.letter}{label}S{number:04d}",
                seq=number,
                instrument=recipe.instrument,
                kind=step.kind,
                mode=step.mode or recipe.mode,
                site=site,
                night=label,
                ut=site.at(day, exposure.seconds / 3600.0),
                exposure=step.exposure,
                obstype=step.obstype,
                obsclass=step.obsclass,
                object=step.object or (target.name if target else "None"),
                target=target,
                program_id=program,
                observation_id=observation,
                data_label=data_label,
                lamp=step.lamp,
                shutter=step.shutter,
                setup={**recipe.setup, **step.setup},
                shape=shape,
                extensions=extensions,
                full_size=whole,
                seed=seed,
            )
        )
    return frames


def _only(unit: _Unit, *, twilight: bool) -> _Unit:
    return unit._replace(steps=tuple(step for step in unit.steps if (step.where == "twilight") is twilight))


def _lay_out(blocks: Sequence[_Unit], start: float, end: float) -> list[_Exposure]:
    """Spread blocks over a stretch of time; pressed together where they would not fit."""
    busy = sum(step.count * (step.exposure + OVERHEAD) for unit in blocks for step in unit.steps)
    available = end - start
    gap = max(0.0, available - busy) / (len(blocks) + 1)
    pace = min(1.0, available / busy) if busy else 1.0
    clock = start + gap / 2
    laid = []
    for block, unit in enumerate(blocks):
        block_start = clock
        for step in unit.steps:
            for repeat in range(step.count):
                laid.append(_Exposure(clock, unit, block, block_start, step, repeat))
                clock += (step.exposure + OVERHEAD) * pace
        clock += gap
    return laid


def _target(site: Site, step: Step, moment: datetime, visit: int) -> Target | None:
    if step.where == "park":
        return None
    catalogue = NORTHERN if site.letter == "N" else SOUTHERN
    chosen = nearest_to_meridian(catalogue, site, moment + timedelta(minutes=20), max(0, visit))
    if step.where == "twilight":
        return Target("Twilight", chosen.ra, chosen.dec)
    if step.where == "specphot":
        return nearest_to_meridian(STANDARDS, site, moment + timedelta(minutes=30))
    if step.where == "star":
        number = 10000 + int(chosen.ra * 97) % 90000
        return Target(f"HIP {number}", round((chosen.ra + 3.1) % 360.0, 5), round(chosen.dec * 0.95, 5))
    return chosen


def _geometry(recipe: Recipe, step: Step, whole: bool) -> tuple[tuple[int, ...], int]:
    setup = {**recipe.setup, **step.setup}
    if "roi" in setup:
        read = amplifiers(*gmos_layout(setup))
        return read[0].shape, len(read)
    array = ARRAYS[recipe.instrument]
    return array.shape(whole), array.extensions


class _Identifiers:
    """Program, observation and data label of each exposure: numbers run as the observing tool gives them."""

    def __init__(self, site: Site, label: str, day: date) -> None:
        self._site = site
        self._calibrations = f"G{site.letter}-CAL{label}"
        self._semester = _semester(day)
        self._observations: dict[tuple[str, int, int], int] = {}
        self._last: dict[str, int] = {}

    def __call__(self, exposure: _Exposure) -> tuple[str, str, str]:
        step, block, recipe = exposure.step, exposure.block, exposure.unit.recipe
        on_sky = step.where in ("target", "star", "specphot")
        program = self._science_program(recipe, block) if on_sky else self._calibrations
        key = (program, block, id(step))  # a step of a block is one observation
        if key not in self._observations:
            self._last[program] = self._last.get(program, 0) + 1
            self._observations[key] = self._last[program]
        observation = f"{program}-{self._observations[key]}"
        return program, observation, f"{observation}-{exposure.repeat + 1:03d}"

    def _science_program(self, recipe: Recipe, block: int) -> str:
        number = 101 + block % 7 + 10 * sorted(ARRAYS | {"GMOS-N": 0, "GMOS-S": 0}).index(recipe.instrument)
        if block % 4 == 3:
            return f"G-{self._semester}-{number:04d}-Q"
        return f"G{self._site.letter}-{self._semester}-{'FT' if block % 5 == 4 else 'Q'}-{number}"


def _semester(day: date) -> str:
    if day.month == 1:
        return f"{day.year - 1}B"
    return f"{day.year}{'A' if day.month <= 7 else 'B'}"
