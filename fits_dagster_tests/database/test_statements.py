"""SQL has one place: files of statements with names and purposes, in the rooms that own the tables."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

import fits_dagster
from fits_dagster.database.statements import Statements
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site

PACKAGE = Path(fits_dagster.__path__[0])
ROOMS = {"ledger": LEDGER, "records": RECORDS}
#: Rooms that may hold SQL of their own; the server's and the migrations' is no question to the archive.
MAY_HOLD_SQL = ("ledger/", "records/", "calibration/", "database/", "schema/")
#: Dagster's own tables and locks are the business of who knows Dagster.
KNOWS_DAGSTER = ("orchestration/",)


def sources() -> list[tuple[str, str]]:
    return [(path.relative_to(PACKAGE).as_posix(), path.read_text()) for path in PACKAGE.rglob("*.py")]


@pytest.mark.parametrize("room", ROOMS)
def test_every_statement_is_asked_and_every_question_has_a_statement(room: str) -> None:
    asked = set()
    for path, source in sources():
        names = [room.upper()] + (["QUERIES"] if path.startswith(f"{room}/") else [])
        for name in names:
            asked |= set(re.findall(rf'\b{name}(?:\[|\.with_parts\(\s*)"(\w+)"', source))
            asked |= set(re.findall(rf'\b{name}\["(\w+)" if \w+ else "\w+"\]', source))
            asked |= set(re.findall(rf'\b{name}\["\w+" if \w+ else "(\w+)"\]', source))
        asked |= set(re.findall(r"{(\w+)}", source)) & ROOMS[room].purposes.keys()
    whole = (PACKAGE / room / "queries.sql").read_text()
    asked |= set(re.findall(r"{(\w+)}", whole)) & ROOMS[room].purposes.keys()
    assert asked == set(ROOMS[room].purposes)


@pytest.mark.parametrize("room", ROOMS)
def test_every_statement_says_what_it_is_for(room: str) -> None:
    assert all(len(purpose) > 15 and purpose.endswith(".") for purpose in ROOMS[room].purposes.values())


def test_no_sql_stands_outside_its_rooms() -> None:
    found = []
    for path, source in sources():
        if path.startswith((*MAY_HOLD_SQL, *KNOWS_DAGSTER)):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text":
                argument = node.args[0] if node.args else None
                if isinstance(argument, ast.Constant | ast.JoinedStr) and argument_is_sql(argument):
                    found.append(f"{path}:{node.lineno}")
    assert found == []


def argument_is_sql(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
    return re.search(r"\b(select|insert into|update|delete from)\b", str(value)) is not None


def test_statements_that_need_no_parts_are_understood_by_the_server(archive: Site) -> None:
    refused = []
    for room, statements in ROOMS.items():
        whole = (PACKAGE / room / "queries.sql").read_text()
        for name in statements.purposes:
            body = whole.split(f"-- {name} --")[1].split("\n-- ")[0]
            starts = re.search(r"^\(?(select|insert|update|delete|with)", body, re.MULTILINE)
            try:
                sql = str(statements[name].compile(archive.engine))
            except KeyError:
                continue  # parts come from the caller
            if starts and "daemon_heartbeats" not in sql and not is_understood(archive.engine, sql):
                refused.append(name)
    dagsters = {"runs_by_state", "runs_ended", "sensor_ticks", "failed_runs"}
    assert set(refused) <= dagsters


def is_understood(engine: Engine, sql: str) -> bool:
    """Tell whether the server can plan a statement, whatever its values."""
    numbered: dict[str, str] = {}
    plain = re.sub(r"%\((\w+)\)s", lambda m: numbered.setdefault(m[1], f"${len(numbered) + 1}"), sql)
    with engine.connect() as connection:
        try:
            connection.execute(text("deallocate all"))
            connection.exec_driver_sql(f"prepare asked as {plain.replace('%%', '%')}")
        except Exception:
            return False
    return True


def test_a_statement_without_purpose_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_queries"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "queries.sql").write_text("-- one --\nselect 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="one stands there twice, or without a purpose"):
        Statements("some_queries")
