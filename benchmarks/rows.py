"""What the daily work costs beside ten thousand rows, and a million: the same, if nothing looks through all.

Every size has a site of its own, filled with file versions, their records, match keys and cache, the history
of the ledger, and what was copied through the years. The same work is done at each in turns, then the same is
asked over HTTP. A table that is large and that something read from one end to the other is named, and so is
the statement that took longest where the work has grown.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import requests
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, event, text

from benchmarks.archive import LargeArchive, fill_archive
from benchmarks.home import bench_home, bench_site, served_archive
from benchmarks.http import DECORATION, questions
from benchmarks.samples import NIGHT, niri_sample
from fits_dagster.checks.standing import checks_of
from fits_dagster.intake.dhs import scan_dhs
from fits_dagster.ledger.items import NewWork, add_work, claim, complete, new_lease
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.pending import queue_depths
from fits_dagster.ledger.views import last_files, queue_views
from fits_dagster.records.history import file_history
from fits_dagster.requeue.rescan import rescan
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest
from fits_dagster.stages.registry import stages_of

__all__ = ["measure_rows", "print_rows"]

_AIM: Final = 1.5
#: Nobody notices so many milliseconds.
_SMALL_MS: Final = 5.0
_ROUNDS: Final = 5
_FILES: Final = 40
_ON_DHS: Final = 1000
_ITEMS: Final = 500
#: A table of so many rows is not to be read from one end to the other.
_LARGE: Final = 50_000
#: Characters of a statement that are enough to find it.
_STATEMENT: Final = 160
_TIMEOUT_S: Final = 120.0

_HISTORY: Final = text("""
insert into event (at, stage, outcome, filename, night)
select now() - n * interval '60 s', (cast(:stages as text[]))[1 + n % cardinality(cast(:stages as text[]))],
       'done', 'N' || lpad((n / 4)::text, 12, '0') || '.fits',
       to_char(now() - n * interval '60 s', 'YYYYMMDD')
from generate_series(1, :rows) n
""")
_LANDED: Final = text("""
insert into dhs_file (name, size, mtime_ns, md5, landed_at)
select 'N' || lpad(n::text, 12, '0') || '.fits', 0, 0, md5(n::text), now() - n * interval '60 s'
from generate_series(1, :rows) n
""")
_LANDED_NOW: Final = text(
    "insert into dhs_file (name, size, mtime_ns, md5, landed_at) values (:name, 0, :mtime, '', now())"
)
_SCANS: Final = text("""
select relname, seq_tup_read from pg_stat_user_tables where schemaname = 'public' and n_live_tup >= :large
""")


@dataclass
class _Size:
    """A site with so many file versions."""

    made: LargeArchive
    settings: Settings
    site: Site
    summit: Site
    filled_s: float
    #: Seconds of each round, by the work.
    taken: dict[str, list[float]] = field(default_factory=dict)
    #: Large tables that were read from one end to the other, by the work.
    scans: dict[str, set[str]] = field(default_factory=dict)
    #: Seconds of the statement that took longest in each round, and its beginning, by the work.
    longest: dict[str, list[tuple[float, str]]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.made.headers

    def measure(self, name: str, work: Callable[[], object], *, counts: bool) -> None:
        """Do some work once; ``counts`` is false for what is done for the first time."""
        before = self._read()
        with _timed_statements(self.site, self.summit) as statements:
            began = time.perf_counter()
            work()
            seconds = time.perf_counter() - began
        if not counts:
            return
        self.taken.setdefault(name, []).append(seconds)
        self.longest.setdefault(name, []).append(max(statements, default=(0.0, "")))
        after = self._read()
        large = {table for table in after if after[table] - before.get(table, 0) >= _LARGE}
        self.scans.setdefault(name, set()).update(large)

    def ask(self) -> None:
        """Ask the archive over HTTP, with its web application in a process of its own."""
        with self.site.engine.connect() as connection:
            asked = questions(connection, self.made)
        before = self._read()
        url = f"http://127.0.0.1:{self.site.settings.port}"
        with served_archive(self.settings), requests.Session() as session:
            for number in range(_ROUNDS + 1):
                for each in asked:
                    began = time.perf_counter()
                    answer = session.get(f"{url}/{each.path}", timeout=_TIMEOUT_S)
                    answer.raise_for_status()
                    if number:
                        self.taken.setdefault(each.name, []).append(time.perf_counter() - began)
        # the sessions of the application have told what they read when they ended: together
        after = self._read()
        # all of them together, in one round: whoever read a large table whole would be seen
        rounds = _ROUNDS + 1
        large = {table for table in after if after[table] - before.get(table, 0) >= rounds * _LARGE}
        for each in asked:
            self.scans[each.name] = large

    def _read(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for site in (self.site, self.summit):
            # a session tells what it has read when it ends
            site.engine.dispose()
            with site.engine.connect() as connection:
                rows = connection.execute(_SCANS, {"large": _LARGE})
                found |= {f"{site.name} {name}": int(read or 0) for name, read in rows}
        return found


def measure_rows(home: Path | None, *, rows: Sequence[int]) -> dict[str, Any]:
    """Measure the daily work at each size.

    Parameters
    ----------
    rows
        File versions, rounded up to whole blocks of nights.

    Returns
    -------
    dict
        Ready for JSON: for each work the milliseconds at each size, the growth, and what was read whole.
    """
    with ExitStack() as stack:
        sizes = [stack.enter_context(_filled(home, each)) for each in sorted(set(rows))]
        for number in range(_ROUNDS + 1):
            for size in sizes:
                for name, prepare, work in _works(size, number):
                    prepare()
                    size.measure(name, work, counts=number > 0)
        for size in sizes:
            size.ask()
        return _told(sizes)


@contextmanager
def _filled(home: Path | None, rows: int) -> Iterator[_Size]:
    with (
        bench_home(home) as settings,
        bench_site(settings, "archive") as archive,
        bench_site(settings, "summit") as summit,
    ):
        began = time.perf_counter()
        made = fill_archive(archive.engine, rows, decoration=DECORATION)
        for site in (archive, summit):
            stages = [stage.name for stage in stages_of(site.settings)]
            with site.engine.begin() as connection:
                connection.execute(_HISTORY, {"stages": stages, "rows": 2 * made.headers})
        directory = summit.settings.dhs_directory
        assert directory is not None
        for number in range(_ON_DHS):
            (directory / f"N{NIGHT}S{number:04d}.fits").touch()
        with summit.engine.begin() as connection:
            connection.execute(_LANDED, {"rows": made.headers})
            _land(connection, directory)
        for site in (archive, summit):
            with site.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("vacuum analyze")
        yield _Size(made, settings, archive, summit, time.perf_counter() - began)


@contextmanager
def _timed_statements(*sites: Site) -> Iterator[list[tuple[float, str]]]:
    """Collect the seconds and the beginning of each statement that the sites' engines execute."""
    timed: list[tuple[float, str]] = []

    def before(connection: Connection, *_: object) -> None:
        connection.info["bench_began"] = time.perf_counter()

    def after(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        timed.append((time.perf_counter() - connection.info["bench_began"], " ".join(statement.split())))

    with ExitStack() as stack:
        for site in sites:
            for name, hear in (("before_cursor_execute", before), ("after_cursor_execute", after)):
                event.listen(site.engine, name, hear)
                stack.callback(event.remove, site.engine, name, hear)
        yield timed


def _land(connection: Connection, directory: Path) -> None:
    """Write of what lies there that it was copied."""
    rows = [{"name": path.name, "mtime": path.stat().st_mtime_ns} for path in directory.iterdir()]
    connection.execute(_LANDED_NOW, rows)


def _works(size: _Size, number: int) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Return what is measured: its name, what is made ready before, and the work."""
    site, first = size.site, 1 + number * _FILES
    store = site.settings.store_directory
    assert store is not None
    names = [f"N{NIGHT}S{each:04d}.fits" for each in range(first, first + _FILES)]

    def put() -> None:
        niri_sample().write(store, range(first, first + _FILES))
        with site.engine.begin() as connection:
            add_work(connection, [NewWork(stage=ingest.STAGE.name, filename=name) for name in names])

    def nothing() -> None:
        return

    def ledger() -> None:
        with site.engine.begin() as connection:
            add_work(connection, [NewWork(stage="preview", filename=f"X{n}.fits") for n in range(_ITEMS)])
        lease = new_lease("bench", 60)
        with site.engine.begin() as connection:
            items = claim(connection, "preview", lease, limit=_ITEMS)
        with site.engine.begin() as connection:
            complete(connection, lease, [item.id for item in items])

    def asked(question: Callable[[Connection], object]) -> Callable[[], None]:
        def ask() -> None:
            with site.engine.connect() as connection:
                question(connection)

        return ask

    stages = [stage.name for stage in stages_of(site.settings)]
    return [
        (f"look at a DHS directory of {_ON_DHS}", nothing, lambda: scan_dhs(size.summit)),
        (f"ingest of {_FILES} small files", put, lambda: drain(site, ingest.STAGE)),
        (f"associations of {_FILES} files", nothing, lambda: drain(site, associate.STAGE)),
        ("null re-ingest of a night", nothing, lambda: rescan(site, matches=lambda name: NIGHT in name)),
        (f"{_ITEMS} items added, claimed, settled", nothing, ledger),
        ("queries of the queue page", nothing, asked(lambda c: queue_views(c, stages))),
        ("status", nothing, asked(lambda c: (queue_depths(c), last_files(c, stages[0])))),
        ("history of a file", nothing, asked(lambda c: file_history(c, names[0]))),
        *(
            (f"check {check.stage} {check.name}", nothing, partial(check.look, site))
            for check in checks_of(site.settings)
            if not check.name.startswith("no_failed")
        ),
    ]


def print_rows(figures: Mapping[str, Any], console: Console) -> None:
    """Print a table: a line for each work."""
    sizes = list(figures["filled_s"])
    table = Table("work", *(f"{rows:,} rows, ms" for rows in sizes), "growth", "read whole")
    for work in figures["works"]:
        growth = f"{work['growth']:.2f}"
        table.add_row(
            work["work"], *(f"{ms:.1f}" for ms in work["ms"].values()), growth, ", ".join(work["read_whole"])
        )
    console.print(table)
    for work in figures["works"]:
        if work["growth"] > _AIM:
            for rows, (ms, statement) in work["longest_statement"].items():
                console.print(f"{work['work']}, {rows:,} rows: {ms:.1f} ms in {statement}", highlight=False)
    console.print(f"aim: {figures['aim']}; {'reached' if figures['reached'] else 'not reached'}")


def _told(sizes: Sequence[_Size]) -> dict[str, Any]:
    works: list[dict[str, Any]] = []
    for name in sizes[0].taken:
        ms = {size.rows: round(statistics.median(size.taken[name]) * 1e3, 2) for size in sizes}
        works.append(
            {
                "work": name,
                "ms": ms,
                "growth": round(ms[sizes[-1].rows] / ms[sizes[0].rows], 2),
                "read_whole": sorted(set().union(*(size.scans[name] for size in sizes))),
                "longest_statement": {size.rows: _longest(size.longest.get(name, ())) for size in sizes},
            }
        )
    return {
        "bench": "scale-rows",
        "works": works,
        "filled_s": {size.rows: round(size.filled_s, 1) for size in sizes},
        "rounds": _ROUNDS,
        "aim": f"growth <= {_AIM:g}, or less than {_SMALL_MS:g} ms; no large table read whole",
        "reached": all(_is_flat(work) for work in works),
    }


def _longest(rounds: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """Return milliseconds and beginning of the longest statement in the round of the median."""
    if not rounds:
        return 0.0, ""
    seconds, statement = sorted(rounds)[len(rounds) // 2]
    return round(seconds * 1e3, 2), statement[:_STATEMENT]


def _is_flat(work: Mapping[str, Any]) -> bool:
    first, *_, last = work["ms"].values()
    return (work["growth"] <= _AIM or last - first < _SMALL_MS) and not work["read_whole"]
