"""An archive takes a header edit from a summit, and refuses what it cannot confirm."""

from __future__ import annotations

import bz2
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from fits_dagster.destinations.fits_server import API_COOKIE
from fits_dagster.intake.uploads import Reception
from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import serve
from fits_dagster_tests.headers.two_sites import (
    API,
    arrived,
    have,
    present_md5,
    staged,
)


def request_edit(site: Site, frame: Path, **changes: object) -> dict[str, Any]:
    """Ask the archive for an edit of the stored frame, as a summit does."""
    md5 = present_md5(site, frame.name) or "0" * 32
    item = {
        "filename": frame.name,
        "values": {"generic": [["RAWGEMQA", "USABLE"]]},
        "reject_new": False,
        "path": "",
        "md5_before": md5,
        "md5_after": "0" * 32,
        **changes,
    }
    server, stop = serve(create_app(site, session_hours=1))
    try:
        response = requests.post(
            f"{server.url}/update_headers",
            data=json.dumps({"request": [item], "batch": False}),
            cookies={API_COOKIE: API},
            timeout=20,
        )
    finally:
        stop()
    assert response.status_code == 200
    [answer] = response.json()
    assert isinstance(answer, dict)
    return answer


def upload(site: Site, source: Path, content: bytes | None = None) -> None:
    reception = Reception(site, "", f"{source.name}.bz2")
    reception.write(bz2.compress(source.read_bytes() if content is None else content))
    reception.finish()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, "the edit of"),  # gives another MD5
        ({"md5_before": "1" * 32}, "has the data MD5"),
        ({"filename": "N20251123S9999.fits"}, "No present file found"),
        ({"path": "elsewhere"}, "No present file found"),
        ({"path": "../.."}, "No present file found"),
        ({"md5_after": "x"}, "no MD5"),
        ({"values": {"generic": [["NAXIS", 3]]}}, "may change"),
        ({"md5_before": None}, "at the summit"),
    ],
)
def test_what_the_archive_cannot_confirm_it_refuses_and_forgets(
    receiving: Site, frame: Path, changes: dict[str, object], error: str
) -> None:
    upload(receiving, frame)
    arrived(receiving)
    answer = request_edit(receiving, frame, **changes)
    assert answer["result"] is False
    assert error in answer["error"]
    assert answer["id"] == changes.get("filename", frame.name)
    assert staged(receiving) == []
    with receiving.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from work_item where stage = 'store'")) == 0
        assert connection.scalar(text("select count(*) from upload")) == 1


def test_an_upload_that_came_meanwhile_is_not_undone(
    monkeypatch: pytest.MonkeyPatch, receiving: Site, frame: Path, tmp_path: Path
) -> None:
    from fits_dagster.fits.edit import Edit, EditReport, edit_headers
    from fits_dagster.headers import updates as module

    upload(receiving, frame)
    arrived(receiving)
    changed = tmp_path / frame.name
    shutil.copy(frame, changed)
    wanted = edit_headers(changed, [Edit(set={"RAWGEMQA": "USABLE"})]).data_md5
    original = module.edit_file

    def edit_slowly(path: Path, cards: Any) -> EditReport:
        upload(receiving, frame, frame.read_bytes() + b"newer")
        return original(path, cards)

    monkeypatch.setattr(module, "edit_file", edit_slowly)
    answer = request_edit(receiving, frame, md5_after=wanted)
    assert answer["result"] is False and "about to be replaced" in answer["error"]
    assert len(staged(receiving)) == 1
    # and one that waits beforehand is found before anything is done
    assert "about to be replaced" in request_edit(receiving, frame, md5_after=wanted)["error"]


def test_a_stored_object_that_is_not_the_version_known_is_not_edited(receiving: Site, frame: Path) -> None:
    upload(receiving, frame)
    arrived(receiving)
    assert receiving.settings.store_directory is not None
    stored = receiving.settings.store_directory / f"{frame.name}.bz2"
    content = stored.read_bytes()
    stored.write_bytes(bz2.compress(frame.read_bytes() + bytes(2880)))
    assert "the stored" in request_edit(receiving, frame)["error"]
    stored.write_bytes(content[:-100])
    assert "CompressionError" in request_edit(receiving, frame)["error"]
    stored.unlink()
    assert "FileNotFoundError" in request_edit(receiving, frame)["error"]
    assert staged(receiving) == []


def test_a_plain_file_stays_plain(receiving: Site, frame: Path, tmp_path: Path) -> None:
    from fits_dagster.fits.edit import Edit, edit_headers

    have(receiving, frame)
    changed = tmp_path / frame.name
    shutil.copy(frame, changed)
    wanted = edit_headers(changed, [Edit(set={"RAWGEMQA": "USABLE"})]).data_md5
    answer = request_edit(receiving, frame, md5_after=wanted)
    assert answer == {"result": True, "id": frame.name, "md5": wanted}
    arrived(receiving)
    with receiving.store.local(frame.name) as stored:
        assert stored.read_bytes() == changed.read_bytes()
