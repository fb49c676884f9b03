"""Ingest of small files with all its work in the database, against bringing in the same rows by COPY."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from psycopg import Connection as Driver
from psycopg import sql
from sqlalchemy import Engine

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, with_workers
from benchmarks.ingest import ingest_all
from benchmarks.rounds import Spent, take_turns
from fits_dagster.records import tables
from fits_dagster.records.calibrations import calibration_need, calibration_offer
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.simulator import simulate_night
from fits_dagster.sites import Site
from fits_dagster.stages.ingest import STAGE

__all__ = ["measure_small_files", "small_night"]

_AIM_MS: Final = 6.0
_SMALL: Final = ("NIRI", "GNIRS", "F2", "NIFS", "GSAOI")
#: Tables of a version, with what tells its rows among all: ids of versions, or of headers.
_OF_VERSIONS: Final = tuple(
    each.name for each in (tables.diskfile, tables.diskfile_report, tables.header, tables.fulltextheader)
)
_OF_HEADERS: Final = (
    tables.reduction.name,
    tables.footprint.name,
    calibration_offer.name,
    calibration_need.name,
    *INSTRUMENT_TABLES,
)


def small_night(directory: Path, files: int, night: str) -> list[Path]:
    """Make so many files of a night, 1 MB each: of the near infrared instruments, parts of their arrays."""
    directory.mkdir(parents=True, exist_ok=True)
    return simulate_night(directory, files=files, night=night, instruments=_SMALL)


def measure_small_files(home: Path | None, *, files: int = 60, rounds: int = 5) -> list[Figures]:
    """Measure the ingest of files of 1 MB and less at an archive, with their associations' match keys."""
    with bench_home(home) as settings, bench_site(settings, "archive") as opened:
        site = with_workers(opened, 1)
        assert site.settings.store_directory is not None
        STAGE.begin()
        last: list[Path] = []
        spent: list[float] = []
        wall: list[float] = []
        night = 0

        def stage() -> float:
            nonlocal last, night
            assert site.settings.store_directory is not None
            night += 1
            last = small_night(site.settings.store_directory, files, f"202511{night:02d}")
            meter = Spent(site.engine)
            wall.append(ingest_all(site, last))
            spent.append(meter.again())
            return spent[-1]

        def floor() -> float:
            return _copied(site, [path.name for path in last])

        stage()  # imports, first queries, plans
        spent.clear()
        found = take_turns(rounds, stage, floor)
        size = sum(path.stat().st_size for path in last)
        STAGE.end()
    per_file = found.seconds / files * 1e3
    return [
        Figures(
            name="ingest of small files, processor",
            floor="the same rows by COPY, processor",
            aim=f"<= {_AIM_MS:.0f} ms of processor a file",
            files=files,
            bytes=size,
            seconds=found.seconds,
            floor_seconds=found.floor,
            reached=per_file <= _AIM_MS,
            details={
                "kb_per_file": round(size / files / 1e3),
                "wall_ms_per_file": round(sorted(wall)[len(wall) // 2] / files * 1e3, 2),
                **found.details,
            },
        )
    ]


def _copied(site: Site, names: Sequence[str]) -> float:
    """Bring the rows of files into empty tables of the same make; returns the seconds of processor."""
    engine: Engine = site.engine
    with engine.connect() as connection:
        driver: Driver[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        content = {}
        for table in (*_OF_VERSIONS, *_OF_HEADERS):
            name = sql.Identifier(table)
            driver.execute(
                sql.SQL("create temporary table {} (like public.{} including all)").format(
                    sql.Identifier(f"floor_{table}"), name
                )
            )
            key = sql.Identifier(
                "id" if table == "diskfile" else "diskfile_id" if table in _OF_VERSIONS else "header_id"
            )
            ids = _VERSION_IDS if table in _OF_VERSIONS else _HEADER_IDS
            chosen = sql.SQL("copy (select * from {} where {} in ({})) to stdout").format(
                name, key, sql.SQL(ids).format(sql.SQL(", ").join(map(sql.Literal, names)))
            )
            with driver.cursor() as cursor, cursor.copy(chosen) as out:
                content[table] = [bytes(piece) for piece in out]
        before = _on_processor(driver.info.backend_pid)
        for table, pieces in content.items():
            into = sql.Identifier(f"floor_{table}")
            with driver.cursor() as cursor, cursor.copy(sql.SQL("copy {} from stdin").format(into)) as copy:
                for piece in pieces:
                    copy.write(piece)
        driver.commit()
        spent = _on_processor(driver.info.backend_pid) - before
        for table in content:
            driver.execute(sql.SQL("drop table {}").format(sql.Identifier(f"floor_{table}")))
        driver.commit()
    return spent


def _on_processor(backend: int) -> float:
    """Return the processor time of this process and of a session, seconds; finer than the usual ticks."""
    spent = Path(f"/proc/{backend}/schedstat").read_text().split()[0]
    return int(spent) / 1e9 + time.process_time()


_VERSION_IDS: Final = "select id from diskfile where present and filename in ({})"
_HEADER_IDS: Final = (
    "select h.id from header h join diskfile d on d.id = h.diskfile_id where d.present and d.filename in ({})"
)
