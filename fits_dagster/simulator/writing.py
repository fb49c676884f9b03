"""Write frames, at once or as slowly as a detector's data handling system does."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fits_dagster.simulator.cards import Card, Value, fill, format_card, header_block, padding
from fits_dagster.simulator.facility import facility_cards
from fits_dagster.simulator.frames import PlannedFrame
from fits_dagster.simulator.gmos import gmos_cards, gmos_extensions
from fits_dagster.simulator.near_infrared import array_cards, array_extensions

__all__ = ["frame_bytes", "primary_cards", "write_frame", "write_slowly"]


def primary_cards(frame: PlannedFrame) -> list[Card]:
    """All cards of the primary header: facility, instrument, and what the configuration sets."""
    instrument = gmos_cards(frame) if "roi" in frame.setup else array_cards(frame)
    values: dict[str, Value] = {keyword: value for keyword, value in frame.setup.items() if keyword.isupper()}
    return fill([*facility_cards(frame), *instrument], values)


def frame_bytes(frame: PlannedFrame) -> bytes:
    """The whole file of a frame."""
    return b"".join(_parts(frame))


def write_frame(frame: PlannedFrame, path: Path) -> None:
    """Write a frame in place, without a temporary name (as the data handling system does)."""
    with path.open("wb") as file:
        for part in _parts(frame):
            file.write(part)


def write_slowly(
    source: bytes | Path,
    destination: Path,
    seconds: float,
    chunks: int = 8,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Write a file in place in several pieces spread over some time.

    A reader sees a growing file under its final name, as on the disk of the data handling system.

    Parameters
    ----------
    source : bytes or Path
        Content, or the file that holds it.
    destination : Path
        Overwritten.
    seconds : float
        Time from the first piece to the last.
    chunks : int
        Number of pieces.
    wait : callable
        Called with the seconds between two pieces.
    """
    data = source.read_bytes() if isinstance(source, Path) else source
    size = max(1, -(-len(data) // max(1, chunks)))
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for number, piece in enumerate(pieces):
            if number:
                wait(seconds / (len(pieces) - 1))
            file.write(piece)


def _parts(frame: PlannedFrame) -> Iterator[bytes]:
    rng = np.random.default_rng([frame.seed, zlib.crc32(frame.name.encode())])
    yield header_block(format_card(*card) for card in primary_cards(frame))
    extensions = gmos_extensions if "roi" in frame.setup else array_extensions
    for cards, data in extensions(frame, rng):
        yield header_block(format_card(*card) for card in cards)
        yield data
        yield bytes(padding(len(data)))
