"""SQL has one place: files of statements with names and purposes, in the rooms that own the tables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

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


@pytest.mark.parametrize("word", ["select", "insert", "update", "delete", "exists"])
def test_no_query_is_built_outside_the_rooms(word: str) -> None:
    built = [
        path
        for path, source in sources()
        if not path.startswith((*MAY_HOLD_SQL, *KNOWS_DAGSTER))
        and re.search(rf"^from sqlalchemy[\w.]* import [^\n]*\b{word}\b", source, re.MULTILINE)
    ]
    assert built == []


def argument_is_sql(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
    return re.search(r"\b(select|insert into|update|delete from)\b", str(value)) is not None


#: Statements of Dagster's tables, which stand in another database.
OF_DAGSTER = {"runs_by_state", "runs_ended", "sensor_ticks", "failed_runs", "daemon_heartbeats"}
#: Tables that grow by a row or more with each file, or with each question.
GROWING = re.compile(
    r"event|file|diskfile|dhs_file|upload|header|work_item|preview|quarantine|scrub|usage|calibration_\w+"
)
#: What reads such a table, or one of its indexes, from one end to the other, and why that may be.
READ_WHOLE = {
    "count_associations": "the figure at the end of a demonstration",
    "forgive": "an update by keys: of an empty table the planner takes any index",
    "known_paths": "a command of upkeep, which looks through the whole store anyway",
    "list_tags": "counts the files of every tag, for the staff that maintains them",
    "links": "counts what waits for each destination",
    "long_queues": "counts what waits in each stage",
    "lost_files": "the files that were moved aside: few, or there is an alert",
}
#: Indexes that hold only what is in hand or has failed.
SMALL = {"uq_work_item_running", "ix_work_item_failed"}


def asked_alone(room: str, engine: Engine) -> Iterator[tuple[str, str]]:
    """Yield name and text, with numbered parameters, of the statements that need no parts from a caller."""
    for name in ROOMS[room].purposes:
        try:
            sql = str(ROOMS[room][name].compile(engine))
        except KeyError:
            continue  # parts come from the caller
        if re.match(r"\(?(select|insert|update|delete|with)\b", sql.strip()) and name not in OF_DAGSTER:
            numbered: dict[str, str] = {}
            plain = re.sub(r"%\((\w+)\)s", lambda m, n=numbered: n.setdefault(m[1], f"${len(n) + 1}"), sql)
            yield name, plain.replace("%%", "%")


def plan_of(connection: Connection, sql: str) -> dict[str, Any]:
    """Return the plan of a statement whatever its values, by indexes wherever one serves."""
    connection.execute(text("set local enable_seqscan = off"))
    found: Any = connection.exec_driver_sql(f"explain (generic_plan, format json) {sql}").scalar_one()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def read_whole(plan: Mapping[str, Any], *, is_limited: bool = False) -> Iterator[str]:
    """Yield tables, or their indexes, that a plan reads from one end to the other."""
    kind, is_limited = plan["Node Type"], is_limited or plan["Node Type"] == "Limit"
    is_narrow = "Index Cond" in plan or is_limited or plan.get("Index Name") in SMALL
    if kind == "Seq Scan" or (kind in ("Index Scan", "Index Only Scan") and not is_narrow):
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        # what is sorted is read to its end before anything is left out
        yield from read_whole(below, is_limited=is_limited and kind != "Sort")


@pytest.mark.parametrize("room", ROOMS)
def test_statements_that_need_no_parts_are_understood_by_the_server(archive: Site, room: str) -> None:
    statements = list(asked_alone(room, archive.engine))
    assert len(statements) > 50
    with archive.engine.begin() as connection:
        for name, sql in statements:
            try:
                plan_of(connection, sql)
            except DBAPIError as error:
                pytest.fail(f"{name}: {error}")


@pytest.mark.parametrize("room", ROOMS)
def test_no_statement_must_read_a_growing_table_from_end_to_end(archive: Site, room: str) -> None:
    found = {}
    with archive.engine.connect() as connection:
        # plans are those of tables of which nothing is known, whatever other tests have left
        connection.execute(text("delete from pg_statistic"))
        connection.execute(
            text("update pg_class set reltuples = -1, relpages = 0 where relkind in ('r', 'i')")
        )
        for name, sql in asked_alone(room, archive.engine):
            tables = {each for each in read_whole(plan_of(connection, sql)) if GROWING.fullmatch(each)}
            if tables and name not in READ_WHOLE:
                found[name] = tables
    assert found == {}


def test_a_statement_without_purpose_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_queries"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "queries.sql").write_text("-- one --\nselect 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="one stands there twice, or without a purpose"):
        Statements("some_queries")
