"""What takes long to make is made once: later tests of a process get the same rows and files again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection, text

from fits_dagster.sites import Site

__all__ = ["remembered"]

_USED = "select tablename from pg_tables where schemaname = 'public' and tablename !~ 'alembic|compatibility'"
_COLUMNS = """
select string_agg(quote_ident(column_name), ', ' order by ordinal_position) from information_schema.columns
where table_schema = 'public' and table_name = :name and is_generated = 'NEVER'
"""
_SEQUENCES = "select sequencename, last_value from pg_sequences where schemaname = 'public'"


@dataclass(frozen=True)
class _State:
    """Rows of a site's database, kept in a schema of their own there, and files of its directories."""

    schema: str
    tables: tuple[str, ...]
    sequences: tuple[tuple[str, int | None], ...]
    files: Path


_states: dict[str, list[_State]] = {}
_kept_files: list[TemporaryDirectory[str]] = []


def remembered(key: str, sites: Sequence[Site], make: Callable[[], object]) -> None:
    """Have sites in the state that a function makes of empty ones; it is called for the first test only.

    Parameters
    ----------
    key
        Names the state. The function must depend on nothing that differs from test to test.
    """
    states = _states.get(key)
    if states is not None and all(_is_there(site, state) for site, state in zip(sites, states, strict=True)):
        for site, state in zip(sites, states, strict=True):
            _restore(site, state)
        return
    make()
    _states[key] = [_keep(site, f"kept_{key}") for site in sites]


def _is_there(site: Site, state: _State) -> bool:
    with site.engine.connect() as connection:
        return bool(connection.scalar(text("select to_regnamespace(:name)"), {"name": state.schema}))


def _keep(site: Site, schema: str) -> _State:
    directory = TemporaryDirectory(prefix="fits_dagster_tests")
    _kept_files.append(directory)
    with site.engine.begin() as connection:
        connection.execute(text(f"drop schema if exists {schema} cascade"))
        connection.execute(text(f"create schema {schema}"))
        tables = [
            name
            for name in connection.scalars(text(_USED)).all()
            if connection.scalar(text(f"select exists (select from {name})"))
        ]
        for name in tables:
            connection.execute(
                text(f"create table {schema}.{name} as select {_columns(connection, name)} from {name}")
            )
        sequences = tuple((row.sequencename, row.last_value) for row in connection.execute(text(_SEQUENCES)))
    for name, path in _directories(site).items():
        shutil.copytree(path, Path(directory.name) / name)
    return _State(schema, tuple(tables), sequences, Path(directory.name))


def _restore(site: Site, state: _State) -> None:
    with site.engine.begin() as connection:
        # rows come as they were, whatever order their keys would ask for
        connection.execute(text("set local session_replication_role = replica"))
        for name in state.tables:
            columns = _columns(connection, name)
            connection.execute(
                text(
                    f"insert into {name} ({columns}) overriding system value "
                    f"select {columns} from {state.schema}.{name}"
                )
            )
        for name, last in state.sequences:
            if last is not None:
                connection.execute(text("select setval(:name, :last)"), {"name": name, "last": last})
    for name, path in _directories(site).items():
        shutil.copytree(state.files / name, path, dirs_exist_ok=True)


def _columns(connection: Connection, table: str) -> str:
    return str(connection.scalar(text(_COLUMNS), {"name": table}))


def _directories(site: Site) -> dict[str, Path]:
    names = ("dhs_directory", "store_directory", "staging_directory")
    found = {name: getattr(site.settings, name) for name in names}
    return {name: path for name, path in found.items() if path is not None and path.is_dir()}
