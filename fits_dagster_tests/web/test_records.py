"""What the archive tells and gives: file lists, summaries, files, headers, previews."""

from __future__ import annotations

import bz2
import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest, preview
from fits_dagster_tests.builders.remembered import remembered
from fits_dagster_tests.builders.sites import HttpServer


@pytest.fixture
def stored(archive: Site, night: list[Path]) -> list[Path]:
    """Three files in the archive, compressed, with previews."""
    remembered("three_files", [archive], lambda: store_three(archive, night))
    return night[:3]


def store_three(archive: Site, night: list[Path]) -> None:
    assert archive.settings.store_directory is not None
    for source in night[:3]:
        squeezed = archive.settings.store_directory / f"{source.name}.bz2"
        squeezed.write_bytes(bz2.compress(source.read_bytes()))
        with archive.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename=squeezed.name)])
    assert drain(archive, ingest.STAGE).done == 3
    assert drain(archive, preview.STAGE).done == 3


def get(server: HttpServer, path: str) -> Any:
    answer = requests.get(f"{server.url}{path}", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_question_of_the_exporter_is_answered(archive_http: HttpServer, stored: list[Path]) -> None:
    [entry] = get(archive_http, f"/jsonfilelist/present/path=/filename={stored[0].name}")
    assert entry["data_md5"] == hashlib.md5(stored[0].read_bytes()).hexdigest()
    assert entry["pending_ingest"] is False
    assert (entry["name"], entry["filename"]) == (stored[0].name, f"{stored[0].name}.bz2")
    assert entry["size"] == entry["file_size"]
    assert entry["md5"] == entry["file_md5"]
    # a name with .bz2 means the same file; another path does not
    assert len(get(archive_http, f"/jsonfilelist/present/path=/filename={stored[0].name}.bz2")) == 1
    assert get(archive_http, f"/jsonfilelist/present/path=masks/filename={stored[0].name}") == []


@pytest.mark.parametrize("path", ["path=a=slash=b", "path=a%2Fb"])
def test_a_slash_in_a_path_is_part_of_the_path(
    archive_http: HttpServer, stored: list[Path], path: str
) -> None:
    assert get(archive_http, f"/jsonfilelist/present/{path}/filename={stored[0].name}") == []


def test_a_summary_has_the_keys_and_forms_of_the_archive(
    archive_http: HttpServer, stored: list[Path]
) -> None:
    records = get(archive_http, f"/jsonsummary/notengineering/NotFail/filename={stored[0].name}")
    for record in records or get(archive_http, f"/jsonsummary/filename={stored[0].name}"):
        assert record["instrument"] == "GMOS-N"
        assert isinstance(record["exposure_time"], float | int)
        assert "T" not in record["ut_datetime"]
        assert isinstance(record["types"], str)


def test_unknown_terms_are_passed_over_and_an_open_selection_is_marked(
    archive_http: HttpServer, stored: list[Path]
) -> None:
    found = get(archive_http, "/jsonsummary/GMOS-N/YYYYMMdd/nonsense")
    assert len(found) == 2
    assert found[-1]["results_truncated"] is True


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ("20251123", 3),
        ("20251122-20251124", 3),
        ("20251120", 0),
        ("NIRI", 1),
        ("gmos", 2),
        ("Gemini-North", 3),
        ("gemini_south", 0),
        ("filepre=N20251123", 3),
        ("filepre=N2025112_", 0),  # no wild card
        ("notcanonical", 0),
    ],
)
def test_selections_narrow_what_is_listed(
    archive_http: HttpServer, stored: list[Path], selection: str, count: int
) -> None:
    assert len(get(archive_http, f"/jsonsummary/{selection}")) == count


@pytest.mark.parametrize("suffix", ["", ".bz2"])
def test_a_released_file_is_given_in_the_form_asked_for(
    archive: Site, archive_http: HttpServer, stored: list[Path], suffix: str
) -> None:
    _release(archive)
    answer = requests.get(f"{archive_http.url}/file/{stored[0].name}{suffix}", timeout=10)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "content-encoding" not in answer.headers
    content = bz2.decompress(answer.content) if suffix else answer.content
    assert content == stored[0].read_bytes()


def test_an_unreleased_or_unknown_file_is_refused(
    archive: Site, archive_http: HttpServer, stored: list[Path]
) -> None:
    from sqlalchemy import text

    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = '2999-01-01', engineering = false"))
    for feature in ("file", "preview"):
        answer = requests.get(f"{archive_http.url}/{feature}/{stored[0].name}", timeout=10)
        assert answer.status_code == 403
    assert requests.get(f"{archive_http.url}/file/N19990101S0001.fits", timeout=10).status_code == 404


def test_header_text_and_preview_are_given(
    archive: Site, archive_http: HttpServer, stored: list[Path]
) -> None:
    _release(archive)
    text = requests.get(f"{archive_http.url}/fullheader/{stored[0].name}", timeout=10).text
    assert "--- PHU ---" in text
    picture = requests.get(f"{archive_http.url}/preview/{stored[0].name}", timeout=10)
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content[:3] == b"\xff\xd8\xff"


def _release(archive: Site) -> None:
    from sqlalchemy import text

    with archive.engine.begin() as connection:
        connection.execute(text("update header set release = '2020-01-01'"))


def test_reports_of_the_checks_are_given(archive_http: HttpServer, stored: list[Path]) -> None:
    for feature in ("fitsverify", "mdreport"):
        answer = requests.get(f"{archive_http.url}/{feature}/{stored[0].name}", timeout=10)
        assert (answer.status_code, answer.text) == (200, "nothing to report\n")
    assert requests.get(f"{archive_http.url}/fitsverify/N19990101S0001", timeout=10).status_code == 404
