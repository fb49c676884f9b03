"""A simulated night is valid FITS, rightly named and dated, and its calibrations fit its science frames."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import cos, radians
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits

from fits_dagster.simulator import instruments_available, plan_night, simulate_night, tonight, write_frame
from fits_dagster.simulator.frames import PlannedFrame

NIGHT = "20251123"
PROGRAM = r"G[NS]-(CAL|ENG)20\d{6}|G[NS]-20\d\d[AB]-(Q|C|SV|QS|DD|LP|FT|DS)-\d+|G-20\d\d[AB]-\d+-[CDFLQSVP]"


class Night:
    """Frames of a written night with their headers."""

    def __init__(self, directory: Path) -> None:
        self.paths = simulate_night(directory, night=NIGHT)
        self.frames = plan_night(NIGHT)
        self.primary: dict[str, fits.Header] = {}
        self.extensions: dict[str, list[fits.Header]] = {}
        for path in self.paths:
            with fits.open(path) as file:
                self.primary[path.stem] = file[0].header.copy()
                self.extensions[path.stem] = [hdu.header.copy() for hdu in file[1:]]

    def of(self, instrument: str, kind: str, mode: str | None = None) -> list[PlannedFrame]:
        return [
            frame
            for frame in self.frames
            if frame.instrument == instrument and frame.kind == kind and mode in (None, frame.mode)
        ]

    def values(self, frame: PlannedFrame, *keywords: str) -> list[Any]:
        return [self.primary[frame.name].get(keyword) for keyword in keywords]

    def of_extensions(self, frame: PlannedFrame, *keywords: str) -> list[list[Any]]:
        return [[header.get(keyword) for keyword in keywords] for header in self.extensions[frame.name]]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return Night(tmp_path_factory.mktemp("night"))


def test_forty_files_of_at_least_six_instruments_at_both_sites(night: Night) -> None:
    assert len(night.paths) == 40
    assert len({frame.instrument for frame in night.frames}) >= 6
    assert {path.name[0] for path in night.paths} == {"N", "S"}
    assert all(re.fullmatch(rf"[NS]{NIGHT}S\d{{4}}\.fits", path.name) for path in night.paths)


def test_astropy_finds_nothing_to_complain_about(night: Night) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in night.paths:
            with fits.open(path) as file:
                file.verify("exception")
                for hdu in file:
                    assert hdu.data is None or hdu.data.size > 0
                    keywords = [keyword for keyword in hdu.header if keyword != "COMMENT"]
                    assert len(keywords) == len(set(keywords)), path.name


def test_default_files_are_small(night: Night) -> None:
    assert all(300_000 < path.stat().st_size < 2_300_000 for path in night.paths)


def test_names_follow_time_and_times_lie_in_the_night_of_the_name(night: Night) -> None:
    day = datetime.strptime(NIGHT, "%Y%m%d").replace(tzinfo=UTC)
    for letter, start in (("N", day), ("S", day - timedelta(hours=6))):
        frames = [frame for frame in night.frames if frame.name.startswith(letter)]
        assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
        times = [frame.ut for frame in frames]
        assert times == sorted(times)
        assert start <= times[0] and times[-1] < start + timedelta(days=1)
        assert times[-1] - times[0] > timedelta(hours=10)
        for frame in frames:
            written = "{}T{}".format(*night.values(frame, "DATE-OBS", "UT"))
            assert abs(datetime.fromisoformat(f"{written}+00:00") - frame.ut) < timedelta(seconds=0.11)


def test_identifiers_are_valid_and_data_labels_differ(night: Night) -> None:
    labels = []
    for frame in night.frames:
        program, observation, label = night.values(frame, "GEMPRGID", "OBSID", "DATALAB")
        assert re.fullmatch(PROGRAM, program)
        assert re.fullmatch(rf"{program}-\d+", observation)
        assert re.fullmatch(rf"{observation}-\d+", label)
        labels.append(label)
        if frame.obsclass == "dayCal":
            assert program == f"G{frame.name[0]}-CAL{NIGHT}"
    assert len(set(labels)) == len(labels)


def test_telescope_points_above_the_horizon_and_parks_for_day_calibrations(night: Night) -> None:
    for frame in night.frames:
        elevation, airmass, system = night.values(frame, "ELEVATIO", "AIRMASS", "FRAME")
        assert elevation > 25 and 1.0 <= airmass < 2.4, frame
        assert (system == "AZEL_TOPO") == (frame.target is None)


def test_gmos_amplifiers_have_sections_that_agree_with_their_arrays(night: Night) -> None:
    frames = [frame for frame in night.frames if frame.instrument.startswith("GMOS")]
    assert frames
    for frame in frames:
        headers = night.extensions[frame.name]
        assert len(headers) == 12
        edge = 0
        for header in headers:
            data, bias, detector, chip = (
                _section(header[keyword]) for keyword in ("DATASEC", "BIASSEC", "DETSEC", "CCDSEC")
            )
            xbin, ybin = (int(part) for part in header["CCDSUM"].split())
            assert sorted([data[:2], bias[:2]]) == [
                (1, min(data[1], bias[1])),
                (min(data[1], bias[1]) + 1, header["NAXIS1"]),
            ]
            assert data[2:] == (1, header["NAXIS2"])
            assert detector[1] - detector[0] + 1 == (data[1] - data[0] + 1) * xbin
            assert detector[3] - detector[2] + 1 == header["NAXIS2"] * ybin
            assert chip[1] - chip[0] == detector[1] - detector[0] and (detector[0] - chip[0]) % 2048 == 0
            assert detector[0] == edge + 1
            edge = detector[1]
        assert edge == 6144


@pytest.mark.parametrize("instrument", ["GMOS-N", "GMOS-S"])
def test_gmos_longslit_science_has_bias_flat_and_arc(night: Night, instrument: str) -> None:
    read_area = ("AMPNAME", "DETSEC", "CCDSUM", "GAIN")
    optics = ("GRATING", "FILTER1", "FILTER2", "MASKNAME", "GRWLEN", "AMPINTEG")
    for science in night.of(instrument, "science", "longslit"):
        area, beam = night.of_extensions(science, *read_area), night.values(science, *optics)
        biases = night.of(instrument, "bias", "longslit")
        assert any(night.of_extensions(bias, *read_area) == area for bias in biases)
        for kind in ("flat", "arc"):
            fitting = [
                frame
                for frame in night.of(instrument, kind)
                if night.of_extensions(frame, *read_area) == area and night.values(frame, *optics) == beam
            ]
            assert fitting
        flat = night.of(instrument, "flat")[0]
        elevation, rotator = night.values(science, "ELEVATIO", "CRPA")
        flat_elevation, flat_rotator = night.values(flat, "ELEVATIO", "CRPA")
        assert abs(flat_elevation - elevation) < 15
        assert elevation >= 85 or abs(flat_rotator - rotator) < 15 / cos(radians(elevation))


def test_gmos_imaging_science_has_twilight_flats_and_biases(night: Night) -> None:
    for science in night.of("GMOS-N", "science", "image"):
        area = night.of_extensions(science, "AMPNAME", "DETSEC", "CCDSUM")
        biases = night.of("GMOS-N", "bias", "image")
        assert any(night.of_extensions(bias, "AMPNAME", "DETSEC", "CCDSUM") == area for bias in biases)
        twilight = night.of("GMOS-N", "twilight")[0]
        assert night.of_extensions(twilight, "AMPNAME", "DETSEC", "CCDSUM") == area
        equal = ("FILTER1", "FILTER2", "GRATING", "MASKNAME")
        assert night.values(twilight, *equal) == night.values(science, *equal)
        assert night.values(twilight, "OBJECT", "OBSTYPE", "OBSCLASS") == ["Twilight", "OBJECT", "dayCal"]


def test_niri_science_has_darks_and_flats_with_the_lamp_on_and_off(night: Night) -> None:
    for science in night.of("NIRI", "science"):
        readout = ("EXPTIME", "COADDS", "LNRS", "NDAVGS", "A_VDDUC", "A_VDET")
        assert any(
            night.values(dark, *readout) == night.values(science, *readout)
            for dark in night.of("NIRI", "dark")
        )
        optics = ("FILTER1", "FILTER2", "FILTER3", "CAMERA", "FPMASK", "A_VDDUC", "A_VDET")
        for kind, shutter in (("flat", "OPEN"), ("lampoff_flat", "CLOSED")):
            (flat,) = night.of("NIRI", kind)
            assert night.values(flat, "GCALLAMP", "GCALSHUT", "OBSTYPE") == ["IRhigh", shutter, "FLAT"]
            assert night.values(flat, *optics) == night.values(science, *optics)
            assert night.of_extensions(flat, "NAXIS1", "NAXIS2") == night.of_extensions(
                science, "NAXIS1", "NAXIS2"
            )


def test_f2_has_a_dark_for_every_exposure_time(night: Night) -> None:
    darks = {tuple(night.values(dark, "EXPTIME", "LNRS")) for dark in night.of("F2", "dark")}
    for kind in ("science", "standard", "flat", "arc"):
        for frame in night.of("F2", kind):
            assert tuple(night.values(frame, "EXPTIME", "LNRS")) in darks


@pytest.mark.parametrize(
    ("instrument", "kinds", "optics"),
    [
        ("F2", ("flat", "arc", "standard"), ("GRISM", "FILTER1", "FILTER2", "LYOT", "MOSPOS", "MASKNAME")),
        (
            "GNIRS",
            ("flat", "arc", "standard"),
            ("GRATING", "PRISM", "CAMERA", "SLIT", "DECKER", "FILTER2", "GRATWAVE", "ARRAYID", "DETBIAS"),
        ),
        ("GNIRS", ("pinhole",), ("GRATING", "PRISM", "CAMERA", "GRATWAVE", "ARRAYID")),
        ("NIFS", ("flat", "lampoff_flat", "arc", "standard"), ("GRATING", "APERTURE", "FILTER", "GRATWAVE")),
        ("NIFS", ("ronchi",), ("GRATING", "GRATWAVE")),
        ("GSAOI", ("domeflat",), ("FILTER1", "FILTER2")),
    ],
)  # fmt: skip
def test_calibrations_share_the_optics_of_the_science(
    night: Night, instrument: str, kinds: tuple[str, ...], optics: tuple[str, ...]
) -> None:
    science = night.of(instrument, "science")[0]
    assert None not in night.values(science, *optics)
    for kind in kinds:
        frames = night.of(instrument, kind)
        assert frames
        for frame in frames:
            assert night.values(frame, *optics) == night.values(science, *optics)


def test_gnirs_cross_dispersed_flats_come_from_both_lamps(night: Night) -> None:
    lamps = {night.values(flat, "GCALLAMP")[0] for flat in night.of("GNIRS", "flat")}
    assert lamps == {"IRhigh", "QHalogen"}


def test_science_is_guided_and_proprietary(night: Night) -> None:
    for frame in night.frames:
        states = night.values(frame, "PWFS1_ST", "PWFS2_ST", "OIWFS_ST", "AOWFS_ST")
        assert ("guiding" in states) == (frame.kind in ("science", "standard"))
        date, release = night.values(frame, "DATE-OBS", "RELEASE")
        assert (release > date) == (frame.obsclass == "science")


@pytest.mark.parametrize("files", [1, 5, 17, 100, 401])
def test_any_number_of_files_can_be_planned(files: int) -> None:
    frames = plan_night(NIGHT, files=files)
    assert (
        len(frames) == files == len({frame.name for frame in frames}) == len({f.data_label for f in frames})
    )
    start = datetime.strptime(NIGHT, "%Y%m%d").replace(tzinfo=UTC)
    for frame in frames:
        shift = timedelta(hours=6 if frame.name[0] == "S" else 0)
        assert timedelta(0) <= frame.ut + shift - start < timedelta(days=1)


def test_only_the_instruments_asked_for_are_planned() -> None:
    assert {frame.instrument for frame in plan_night(NIGHT, files=30, instruments=["NIRI", "F2"])} == {
        "NIRI",
        "F2",
    }


def test_an_unknown_instrument_is_refused() -> None:
    with pytest.raises(ValueError, match="HARMONI"):
        plan_night(NIGHT, instruments=["HARMONI"])
    assert "GMOS-N" in instruments_available()


@pytest.mark.parametrize(
    ("night_label", "semester"),
    [("20251123", "2025B"), ("20260115", "2025B"), ("20260201", "2026A"), ("20260801", "2026B")],
)  # fmt: skip
def test_programs_are_of_the_semester_of_the_night(night_label: str, semester: str) -> None:
    programs = {frame.program_id for frame in plan_night(night_label) if frame.obsclass == "science"}
    assert programs and all(semester in program for program in programs)


def test_tonight_is_the_default() -> None:
    before = tonight()
    assert plan_night(files=1)[0].night in (before, tonight())


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    (first,) = plan_night(NIGHT, files=1, instruments=["NIRI"], seed=3)
    (other,) = plan_night(NIGHT, files=1, instruments=["NIRI"], seed=4)
    for frame, name in ((first, "a"), (first, "b"), (other, "c")):
        write_frame(frame, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_full_size_frames_have_the_true_shapes() -> None:
    def shape(test: Callable[[PlannedFrame], bool]) -> set[tuple[tuple[int, ...], int]]:
        frames = plan_night(NIGHT, full_size=True)
        return {(frame.shape, frame.extensions) for frame in frames if test(frame)}

    assert shape(lambda frame: frame.instrument == "NIRI") == {((1024, 1024), 1)}
    assert shape(lambda frame: frame.instrument == "GMOS-N") == {((2112, 288), 12)}
    assert shape(lambda frame: frame.instrument == "GMOS-S") == {((4224, 544), 12)}
    assert shape(lambda frame: frame.instrument == "GSAOI") == {((2048, 2048), 4)}


def test_progress_is_told_of_every_file(tmp_path: Path) -> None:
    seen: list[Path] = []
    paths = simulate_night(tmp_path, night=NIGHT, files=3, progress=seen.append)
    assert seen == paths


def _section(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
