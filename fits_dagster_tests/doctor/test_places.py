"""Directories and disks that are away, full, or not for writing, and what the doctor says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fits_dagster.doctor import places
from fits_dagster.settings import Settings
from fits_dagster.system.ports import free_port
from fits_dagster_tests.doctor.said import changed, verdicts


def test_directories_that_are_away_or_cannot_be_written(settings: Settings) -> None:
    settings.home.mkdir(exist_ok=True)
    assert set(verdicts(places.directories(settings)).values()) == {"ok"}
    dhs, store, staging = (
        settings.summit.dhs_directory,
        settings.archive.store_directory,
        settings.archive.staging_directory,
    )
    assert dhs is not None and store is not None and staging is not None
    dhs.rmdir()
    store.rmdir()
    store.write_text("a file in its place")
    found = verdicts(places.directories(settings))
    assert found.pop(str(dhs)) == "wrong"
    assert found.pop(str(store)) == "wrong"
    assert set(found.values()) == {"ok"}
    assert list(staging.iterdir()) == [], "nothing is left behind"


def test_a_directory_that_cannot_be_written(settings: Settings) -> None:
    # nobody can write there, not even root
    sealed = changed(settings, staging_directory=Path("/proc/self"))
    assert verdicts(places.directories(sealed))["/proc/self"] == "wrong"


def test_disks_with_little_space(settings: Settings) -> None:
    store = str(settings.archive.store_directory)

    def with_least(gb: float) -> Settings:
        return settings.model_copy(
            update={"alerts": settings.alerts.model_copy(update={"disk_free_gb": {store: gb}})}
        )

    assert verdicts(places.disks(with_least(0)))[store] == "ok"
    assert verdicts(places.disks(with_least(1e9)))[store] == "warning"
    full = changed(settings, min_free_bytes=10**18)
    assert verdicts(places.disks(full))[store] == "wrong"


def test_a_store_that_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    endpoint = f"http://127.0.0.1:{free_port()}"
    s3 = settings.archive.s3.model_copy(
        update={"bucket": "data", "endpoint_url": endpoint, "max_attempts": 1}
    )
    assert verdicts(places.stores(changed(settings, store="s3", s3=s3))) == {"archive bucket data": "wrong"}
    assert verdicts(places.stores(settings)) == {}
