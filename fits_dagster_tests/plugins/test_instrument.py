"""An instrument of another observatory, from another package: described, ingested, shown and found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster_tests.builders.sites import HttpServer
from fits_dagster_tests.plugins.conftest import Install

NAME = "kestrel_0042.fits"


def write(path: Path) -> Path:
    """Write a frame of Kestrel."""
    header = fits.Header()
    header["TELESCOP"], header["INSTRUME"] = "SKUA", "KESTREL"
    header["DATE-OBS"] = "2025-01-10T03:04:05.5"
    header["IMAGETYP"], header["OBJECT"], header["PROPID"] = "OBJECT", "M 1", "sk-77"
    header["RELEASE"] = "2025-01-10"
    header["EXPOSED"], header["FILTNAM"], header["SHUTOPEN"] = 12.5, "wide", True
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"], header["CRPIX1"], header["CRPIX2"] = 83.633, 22.0145, 32.0, 24.0
    header["CD1_1"], header["CD1_2"], header["CD2_1"], header["CD2_2"] = -1e-4, 0.0, 0.0, 1e-4
    pixels = np.arange(64 * 48, dtype=np.int16).reshape(48, 64)
    fits.PrimaryHDU(pixels, header).writeto(path)
    return path


@pytest.fixture
def archived(install: Install, migrated: Callable[[], Site]) -> Site:
    """The archive, with the instrument installed and a frame of it ingested."""
    install("kestrel")
    archive = migrated()
    assert archive.settings.store_directory is not None
    write(archive.settings.store_directory / NAME)
    with archive.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=NAME)])
    assert drain(archive, ingest.STAGE).outcomes == {"ingested": 1}
    return archive


def get(server: HttpServer, path: str) -> Any:
    answer = requests.get(f"{server.url}{path}", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def row(site: Site, question: str) -> dict[str, Any]:
    with site.engine.connect() as connection:
        return dict(connection.execute(text(question)).mappings().one())


def test_it_is_described_by_its_own_rules(install: Install, tmp_path: Path) -> None:
    install("kestrel")
    done = subprocess.run(
        [sys.executable, "-m", "fits_dagster", "describe", "--json", str(write(tmp_path / NAME))],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = json.loads(done.stdout)
    assert (record["telescope"], record["instrument"]) == ("Skua", "Kestrel")
    assert (record["exposure_time"], record["filter_name"], record["wavelength_band"]) == (12.5, "wide", "r")
    assert (record["observation_type"], record["program_id"]) == ("OBJECT", "SK-77")
    assert (record["ut_datetime"], record["engineering"]) == ("2025-01-10 03:04:05.500000", False)


def test_its_record_is_fit_for_searches_and_its_table_is_filled(archived: Site) -> None:
    assert row(archived, "select mdstatus, mdreport from diskfilereport") == {
        "mdstatus": "CORRECT",
        "mdreport": "",
    }
    assert row(archived, "select mdready from diskfile") == {"mdready": True}
    assert row(archived, "select filter_name, shutter from instruments.kestrel") == {
        "filter_name": "wide",
        "shutter": True,
    }


@pytest.mark.parametrize(
    "selection",
    ["Kestrel", "kestrel", "inst=KESTREL", "Skua", "skua/kestrel/OBJECT/imaging", "mdgood", "ra=83.6/dec=22"],
)
def test_it_is_found_by_what_it_declares(archived: Site, archive_http: HttpServer, selection: str) -> None:
    found = get(archive_http, f"/jsonsummary/20250110/{selection}")
    assert [(each["name"], each["instrument"], each["telescope"]) for each in found] == [
        (NAME, "Kestrel", "Skua")
    ]
    assert get(archive_http, "/jsonsummary/20250110/GMOS-N") == []


def test_the_words_of_searches_have_it(archived: Site, archive_http: HttpServer) -> None:
    assert "Kestrel" in requests.get(f"{archive_http.url}/help", timeout=10).text
    assert "Kestrel" in json.dumps(get(archive_http, "/help.json"))


def test_its_picture_is_made_and_given(archived: Site, archive_http: HttpServer) -> None:
    assert drain(archived, preview.STAGE).outcomes == {"rendered": 1}
    answer = requests.get(f"{archive_http.url}/preview/{NAME}", timeout=10)
    assert (answer.status_code, answer.content[:2]) == (200, b"\xff\xd8")


def test_without_rules_for_its_calibrations_it_has_none(archived: Site) -> None:
    assert drain(archived, associate.STAGE).outcomes == {"associated": 1}
