"""Packages outside of fits_dagster, found as installed ones are: by the entry points of their metadata."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from fits_dagster.metadata import registry as instruments
from fits_dagster.records.instruments import plug_in_tables
from fits_dagster.schema.migrate import migrate
from fits_dagster.sites import Site
from fits_dagster.stages import registry as stages
from fits_dagster_tests.web.conftest import signed_in, staff

__all__ = ["signed_in", "staff"]

HERE = Path(__file__).parent

Install = Callable[[str], None]


def _forget() -> None:
    """Let the registries look for entry points again, and readers of files be started anew."""
    for stage in stages.all_stages().values():
        stage.end()
    stages.all_stages.cache_clear()
    instruments.plug_ins.cache_clear()
    plug_in_tables.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put packages on the path of this process and of those that it starts."""
    before = set(sys.modules)

    def put(name: str) -> None:
        monkeypatch.syspath_prepend(str(HERE / name))
        paths = [str(HERE / name), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        _forget()

    yield put
    monkeypatch.undo()
    for module in set(sys.modules) - before:
        if (getattr(sys.modules[module], "__file__", None) or "").startswith(str(HERE)):
            del sys.modules[module]
    _forget()


@pytest.fixture
def migrated(archive: Site) -> Iterator[Callable[[], Site]]:
    """Migrate the archive once packages are installed; what they made of their own is dropped afterwards."""

    def do() -> Site:
        migrate(archive.engine)
        return archive

    yield do
    with archive.engine.begin() as connection:
        own = "select nspname from pg_namespace where nspname !~ '^(pg_|information_schema$|public$)'"
        for schema in connection.scalars(text(own)).all():
            connection.execute(text(f'drop schema "{schema}" cascade'))
