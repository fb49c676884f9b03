"""The metadata rules read a simulated night as what it is meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fits_dagster.fits.reading import read_headers
from fits_dagster.metadata import Description, describe
from fits_dagster.simulator import plan_night, write_frame

#: kind of frame -> tags that it must have; twilights, dome flats and standards are treated below
KIND_TAGS = {
    "bias": {"BIAS", "CAL"},
    "dark": {"DARK", "CAL"},
    "flat": {"FLAT", "CAL", "GCALFLAT"},
    "lampoff_flat": {"FLAT", "CAL", "LAMPOFF"},
    "arc": {"ARC", "CAL"},
    "pinhole": {"PINHOLE", "CAL"},
    "ronchi": {"RONCHI", "CAL"},
    "twilight": {"TWILIGHT", "FLAT", "CAL"},
}
MODE_TAGS = {"image": "IMAGE", "longslit": "LS", "cross_dispersed": "XD", "ifu": "IFU"}

# one frame of each instrument, kind and mode
FRAMES = list(
    {(frame.instrument, frame.kind, frame.mode): frame for frame in plan_night("20251123")}.values()
)


@pytest.fixture(params=FRAMES, ids=lambda frame: f"{frame.instrument}-{frame.mode}-{frame.kind}")
def described(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    frame = request.param
    path = tmp_path / frame.filename
    write_frame(frame, path)
    return frame, describe(read_headers(path), frame.filename)


def test_tags_say_the_kind_and_the_mode(described) -> None:  # type: ignore[no-untyped-def]
    frame, description = described
    tags = tags_of(description)
    site = "NORTH" if frame.name.startswith("N") else "SOUTH"
    assert {"GEMINI", "RAW", "UNPREPARED", site} <= tags
    if frame.obstype != "OBJECT" or frame.kind == "twilight":
        assert KIND_TAGS[frame.kind] <= tags
    if frame.kind == "science":
        assert "SIDEREAL" in tags and "CAL" not in tags and MODE_TAGS[frame.mode] in tags
    if frame.kind == "standard" and frame.instrument == "GMOS-N":
        assert "STANDARD" in tags


def test_identity_time_and_exposure_come_out_as_planned(described) -> None:  # type: ignore[no-untyped-def]
    frame, description = described
    record = description.record
    assert record["instrument"] == frame.instrument
    assert record["telescope"] == frame.site.telescope
    assert record["program_id"] == frame.program_id
    assert record["data_label"] == frame.data_label
    assert record["engineering"] is False
    assert record["qa_state"] == "Undefined"
    assert abs(float(record["exposure_time"]) - frame.exposure) < 1e-6
    assert abs((record["ut_datetime"].replace(tzinfo=frame.ut.tzinfo) - frame.ut).total_seconds()) < 0.11


def tags_of(description: Description) -> set[str]:
    return set(description.record["types"])
