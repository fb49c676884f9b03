"""Describing headers, against astropy's reading of the same headers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.figures import Figures
from benchmarks.rounds import take_turns
from benchmarks.samples import NIGHT, ghost_bundle, gmos_sample, niri_sample
from fits_dagster.fits.hdu import HDU
from fits_dagster.fits.walker import Walker
from fits_dagster.metadata import describe

__all__ = ["measure_describe"]

_SMALLEST_GMOS_MB = 4.0
_RATIO_AIM = 1.1
_REPETITIONS = 10


def measure_describe(*, rounds: int = 20) -> list[Figures]:
    """Measure the median time of making a record of a file's headers.

    Parameters
    ----------
    rounds
        Rounds of ten descriptions of each file; the median counts.
    """
    subjects = {
        "GMOS, 12 extensions": _headers(gmos_sample(_SMALLEST_GMOS_MB).content),
        "NIRI": _headers(niri_sample().content),
        "GHOST bundle": ghost_bundle(),
    }
    return [_measure(name, hdus, rounds) for name, hdus in subjects.items()]


def _measure(name: str, hdus: Sequence[HDU], rounds: int) -> Figures:
    from astropy.io.fits import Header

    texts = [hdu.text for hdu in hdus]

    def ours() -> None:
        # new objects each time: what has been parsed is remembered by them
        describe([HDU(text) for text in texts], f"N{NIGHT}S0001.fits")

    def floor() -> None:
        for text in texts:
            Header.fromstring(text)

    ours()
    rounded = take_turns(rounds, partial(_repeated, ours), partial(_repeated, floor))
    return Figures(
        name=f"describe {name}",
        floor="astropy reads the same headers from memory (Header.fromstring)",
        aim=f"ratio <= {_RATIO_AIM}",
        files=1,
        bytes=sum(len(text) for text in texts),
        seconds=rounded.seconds,
        floor_seconds=rounded.floor,
        reached=rounded.seconds / rounded.floor <= _RATIO_AIM,
        details={"hdus": len(texts), "cards": sum(len(text) // 80 for text in texts), **rounded.details},
    )


def _repeated(action: Callable[[], None]) -> float:
    """Return the seconds of one of several repetitions."""
    began = time.perf_counter()
    for _ in range(_REPETITIONS):
        action()
    return (time.perf_counter() - began) / _REPETITIONS


def _headers(content: bytes) -> list[HDU]:
    walker = Walker()
    walker.feed(content, 0)
    walker.finish(len(content))
    return walker.hdus
