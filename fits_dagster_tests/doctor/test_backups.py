"""What the doctor says of the backups, wherever they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fits_dagster.doctor.backups import backups
from fits_dagster.doctor.finding import Finding
from fits_dagster.settings import Settings, load_settings


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """A home whose archive keeps its backups elsewhere."""
    return load_settings(tmp_path / "home", sites=("archive",), backups=str(tmp_path / "kept"))


def said(settings: Settings) -> Sequence[tuple[str, str]]:
    found: list[Finding] = list(backups(settings))
    return [(each.verdict, each.message) for each in found]


def made(settings: Settings, age: timedelta) -> None:
    place = Path(settings.backups)
    place.mkdir(exist_ok=True)
    for ending in ("dump", "json"):
        (place / f"archive-{datetime.now(UTC) - age:%Y%m%dT%H%M%SZ}.{ending}").touch()


def test_none_where_none_are_asked_for_is_told(tmp_path: Path) -> None:
    [(state, message)] = said(load_settings(tmp_path / "home", sites=("archive",)))
    assert (state, "made elsewhere" in message) == ("ok", True)


def test_the_newest_counts(kept: Settings) -> None:
    [(state, message)] = said(kept)
    assert (state, message) == ("warning", f"{kept.backups} holds no backup of it")
    made(kept, timedelta(hours=40))
    [(state, _)] = said(kept)
    assert state == "warning"
    made(kept, timedelta(hours=12))
    [(state, _)] = said(kept)
    assert state == "ok"


def test_a_bucket_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    s3 = {"endpoint_url": "http://127.0.0.1:9", "max_attempts": 1}
    settings = load_settings(
        tmp_path / "home", sites=("archive",), backups="s3://kept/here", archive={"s3": s3}
    )
    [(state, message)] = said(settings)
    assert state == "warning" and message.startswith("s3://kept/here: ")
