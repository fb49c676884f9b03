"""Which rules serve a file: known instruments, plug-ins, Gemini in general, anything else."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest

from fits_dagster.fits.reading import headers_from_text
from fits_dagster.metadata import describe, registry
from fits_dagster.metadata.tags import TagRule, always, equals
from fits_dagster.metadata.translator import Translator
from fits_dagster.metadata.vocabulary import OFFICIAL_INSTRUMENTS


def header(**keywords: str):
    return headers_from_text("\n".join(["SIMPLE  = T", *(f"{k:8}= '{v}'" for k, v in keywords.items())]))


class Spectra(Translator):
    """An instrument of another package; the example of docs/instruments.md."""

    instrume = ("SPECTRA",)
    keywords: ClassVar = {"disperser": ("GRATNAM",), "central_wavelength": ("WAVE",)}
    wavelength_unit = 1e-3
    tag_rules: ClassVar = (
        TagRule(("SPECTRA", "SPECT"), always),
        TagRule(("ARC", "CAL"), equals("OBSTYPE", "ARC")),
    )


@pytest.fixture
def plugins(monkeypatch):
    """Entry points that the test chooses, in a registry that forgets them afterwards."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.plug_ins.cache_clear()
    yield points
    registry.plug_ins.cache_clear()


def test_an_instrument_of_another_package_is_found_by_its_entry_point(plugins, monkeypatch):
    monkeypatch.setattr(EntryPoint, "load", lambda self: Spectra)
    plugins.append(EntryPoint("spectra", "site.spectra:Spectra", registry.ENTRY_POINT_GROUP))
    found = describe(header(INSTRUME="Spectra", GRATNAM="B600_G5303", WAVE="650", OBSTYPE="ARC"), "x.fits")
    assert found.record["disperser"] == "B600"
    assert found.record["central_wavelength"] == 0.65
    assert found.tags >= {"SPECTRA", "SPECT", "ARC", "CAL", "GEMINI"}
    assert "SPECTRA" in registry.known_instruments()


def test_a_broken_plug_in_does_not_stop_the_others(plugins, caplog):
    plugins.append(EntryPoint("broken", "no.such.module:Thing", registry.ENTRY_POINT_GROUP))
    assert describe(header(INSTRUME="NIRI"), "x.fits").instrument_table == "niri"
    assert "broken" in caplog.text


def test_every_official_instrument_has_rules():
    known = registry.known_instruments()
    for name in OFFICIAL_INSTRUMENTS:
        assert name.upper() in known
        described = describe(header(INSTRUME=name.lower()), "x.fits")
        assert described.record["instrument"] == name


def test_hokupaa_is_known_in_all_its_spellings():
    for name in ("Hokupa'a".replace("'", "") + "a+QUIRC", "hokupaaquirc", "HOKUPAA+QUIRC"):
        assert describe(header(INSTRUME=name), "x.fits").record["instrument"] == "Hokupaa+QUIRC"


def test_the_sky_camera_is_known_by_its_telescope():
    record = describe(header(TELESCOP='"GS_ALLSKYCAMERA"'), "img_20221020_12h23m34s.fits").record
    assert record["instrument"] == "GS_ALLSKYCAMERA"
    assert (record["site_monitoring"], record["engineering"]) == (True, False)


def test_an_unknown_gemini_instrument_gets_the_general_rules():
    found = describe(header(INSTRUME="NewCam", OBSERVAT="Gemini-South", OBSTYPE="OBJECT"), "x.fits")
    assert found.record["instrument"] == "NewCam"
    assert {"GEMINI", "SOUTH", "RAW"} <= found.tags


def test_any_other_fits_file_has_a_record_and_no_tags():
    found = describe(header(OBJECT="M 31", TELESCOP="Elsewhere"), "x.fits")
    assert found.tags == frozenset()
    assert found.record["object"] == "M 31"
    assert (found.record["telescope"], found.record["instrument"]) == (None, None)
    assert describe(header(), "S20200101S0001.fits").record["telescope"] == "Gemini-South"


def test_no_headers_are_no_fits_file():
    with pytest.raises(ValueError, match="without headers"):
        describe([], "x.fits")
