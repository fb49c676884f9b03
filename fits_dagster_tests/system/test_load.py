"""An initial load: by one process or several, each file once, whatever some of them hold."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work, claim, new_lease, owner_of
from fits_dagster.settings import Settings
from fits_dagster.simulator import simulate_night
from fits_dagster.sites import Site, opened_site
from fits_dagster.storage import ObjectInfo, directory
from fits_dagster.storage.directory import DirectoryStore
from fits_dagster.storage.landing import copy_hashed
from fits_dagster.system import load
from fits_dagster.system.load import initial_load

INSTRUMENTS = ("NIRI", "GNIRS", "NIFS")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return simulate_night(
        tmp_path_factory.mktemp("files"), files=24, night="20251123", instruments=INSTRUMENTS
    )


def test_two_processes_share_a_load(settings: Settings, archive: Site, files: list[Path]) -> None:
    last: dict[str, tuple[int, int]] = {}
    report = initial_load(
        settings,
        "archive",
        files,
        workers=2,
        progress=lambda stage, done, total: last.update({stage: (done, total)}),
    )
    assert report.failures == []
    assert report.outcomes["store"] == {"stored": 24}
    assert report.outcomes["ingest"] == {"ingested": 24}
    assert sum(report.outcomes["preview"].values()) == 24
    assert last["store"] == last["ingest"] == (24, 24)
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from diskfile where present")) == 24
        assert connection.scalar(text("select count(*) from work_item")) == 0
    again = initial_load(settings, "archive", files, workers=2)
    assert again.outcomes["ingest"] == {"unchanged": 24}


def test_files_that_fail_are_told_whichever_process_had_them(
    settings: Settings, archive: Site, files: list[Path], tmp_path: Path
) -> None:
    bad = [tmp_path / f"N20251124S000{number}.fits" for number in (1, 2, 3)]
    for path in bad:
        path.write_text("no FITS at all")
    report = initial_load(settings, "archive", [*files[:20], *bad], workers=2)
    assert sorted(failure.filename for failure in report.failures) == [path.name for path in bad]
    assert {failure.reason for failure in report.failures} == {"not_fits"}
    assert report.outcomes["ingest"] == {"ingested": 20}


def test_a_process_that_dies_is_no_silent_loss(
    settings: Settings, archive: Site, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        with opened_site(settings, "archive") as site, site.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename=files[0].name)])
        with opened_site(settings, "archive") as site, site.engine.begin() as connection:
            claim(connection, "ingest", new_lease(owner_of(os.getpid()), 600.0), limit=1)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(load, "_process", dies)
    with pytest.raises(RuntimeError, match="load again"):
        initial_load(settings, "archive", files, workers=2)
    monkeypatch.undo()
    # one file has waited since then: whoever comes first takes it, and finds it again when it is stored
    assert initial_load(settings, "archive", files, workers=2).outcomes["ingest"]["ingested"] == 24
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from diskfile where present")) == 24
        assert connection.scalar(text("select count(*) from work_item")) == 0
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_bytes_that_are_altered_on_their_way_are_told(
    settings: Settings, archive: Site, files: list[Path], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = DirectoryStore.put

    def alters_one(store: DirectoryStore, source: Path, key: str, **options: Any) -> ObjectInfo:
        info = put(store, source, key, **options)
        if key == files[3].name:
            path = store.path_of(key)
            content, times = bytearray(path.read_bytes()), path.stat()
            content[-1] ^= 1
            path.write_bytes(content)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return info

    monkeypatch.setattr(DirectoryStore, "put", alters_one)
    report = initial_load(settings, "archive", files, workers=workers)
    assert [(each.filename, each.reason) for each in report.failures] == [
        (files[3].name, "checksum_mismatch")
    ]
    assert "at its source" in report.failures[0].error


def test_a_file_that_changes_while_it_is_copied_is_not_taken(
    settings: Settings, archive: Site, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Path(shutil.copy(files[0], tmp_path))

    def grows(source: BinaryIO, target: BinaryIO) -> tuple[int, str]:
        copied = copy_hashed(source, target)
        with growing.open("ab") as stream:
            stream.write(b"more")
        return copied

    monkeypatch.setattr(directory, "copy_hashed", grows)
    report = initial_load(settings, "archive", [growing], workers=1)
    assert [each.reason for each in report.failures] == ["checksum_mismatch"]
    assert "changed while it was copied" in report.failures[0].error
    assert archive.store.stat(growing.name) is None
    monkeypatch.undo()
    assert initial_load(settings, "archive", [growing]).outcomes["ingest"] == {"ingested": 1}


def test_few_files_are_loaded_here(
    settings: Settings, archive: Site, files: list[Path], tmp_path: Path
) -> None:
    copied = Path(shutil.copy(files[0], tmp_path))
    report = initial_load(settings, "archive", [copied], workers=8)
    assert report.outcomes["ingest"] == {"ingested": 1}
