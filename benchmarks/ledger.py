"""Claiming and settling work items by several workers, against bare statements on a like table."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.rounds import take_turns
from fits_dagster.database.server import open_engine
from fits_dagster.ledger.items import NewWork, WorkItem, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.stage import Committed, Stage
from fits_dagster.settings import Settings
from fits_dagster.sites import Site

__all__ = ["measure_ledger"]

_AIM: Final = 5000.0
_BATCH: Final = 32

_BARE_CLAIM = text("""
update bare set state = 'running', attempts = attempts + 1
where id in (select id from bare where state = 'waiting' order by sort_key desc, id limit :limit
             for update skip locked) returning id
""")
_BARE_END = text("delete from bare where id = any(:ids)")
_BARE_EVENT = text("""
insert into bare_event (stage, outcome, path, filename, night)
select 'bare', 'done', '', 'N20251123S0001.fits', '20251123' from unnest(cast(:ids as bigint[]))
""")


class _Nothing(Stage[None]):
    """A stage that does nothing to a file."""

    name = "nothing"
    parallel = False
    group_size = _BATCH

    def work(self, site: Site, item: WorkItem, known: Any) -> None:
        """Do nothing."""

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: None) -> Committed:
        """Write nothing."""
        return Committed("done")


def measure_ledger(
    home: Path | None, *, items: int = 8000, workers: int = 4, rounds: int = 5
) -> list[Figures]:
    """Measure how fast workers, a process each, get through items that need no work."""
    with bench_home(home) as settings, bench_site(settings, "archive") as site:

        def stage() -> float:
            with site.engine.begin() as connection:
                names = (f"N20251123S{number:06d}.fits" for number in range(items))
                add_work(connection, (NewWork(stage="nothing", filename=name) for name in names))
            return _slowest(settings, _drain, workers)

        def floor() -> float:
            with site.engine.begin() as connection:
                _fill_bare(connection, items)
            return _slowest(settings, _drain_bare, workers)

        stage()
        found = take_turns(rounds, stage, floor)
    rate = items / found.seconds
    return [
        Figures(
            name="claim and settle",
            floor="the bare statements of a claim, an end and a line of history",
            aim=f">= {_AIM:,.0f} items/s with four workers",
            files=items,
            bytes=0,
            seconds=found.seconds,
            floor_seconds=found.floor,
            workers=workers,
            reached=rate >= _AIM,
            details={"batch": _BATCH, **found.details},
        )
    ]


def _slowest(settings: Settings, action: Callable[[Settings, Any], None], workers: int) -> float:
    """Run an action in several processes that begin together; returns when the last has ended."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(workers + 1)
    processes = [context.Process(target=action, args=(settings, ready)) for _ in range(workers)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a worker of the measurement failed")
    return time.perf_counter() - began


def _drain(settings: Settings, ready: Any) -> None:
    with bench_site(settings, "archive") as opened:
        site = with_workers(opened, 1)
        with site.engine.connect():
            ready.wait()
        drain(site, _Nothing())


def _fill_bare(connection: Connection, items: int) -> None:
    for statement in (
        "drop table if exists bare, bare_event",
        "create table bare (like work_item including defaults including identity including indexes)",
        "create table bare_event (like event including defaults including identity including indexes)",
    ):
        connection.exec_driver_sql(statement)
    connection.execute(
        text("""
            insert into bare (stage, path, filename, destination, night, sort_key, priority, not_before)
            select 'bare', '', name, '', '20251123', name, 0, now() from unnest(cast(:names as text[])) name
        """),
        {"names": [f"N20251123S{number:06d}.fits" for number in range(items)]},
    )


def _drain_bare(settings: Settings, ready: Any) -> None:
    engine: Engine = open_engine(settings, "archive")
    with engine.connect():
        pass
    ready.wait()
    while True:
        with engine.begin() as connection:
            ids = list(connection.scalars(_BARE_CLAIM, {"limit": _BATCH}))
        if not ids:
            break
        with engine.begin() as connection:
            connection.execute(_BARE_END, {"ids": ids})
            connection.execute(_BARE_EVENT, {"ids": ids})
    engine.dispose()
