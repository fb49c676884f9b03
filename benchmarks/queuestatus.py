"""The queue status page with long queues, against one count of the same queues."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import requests
from sqlalchemy import Connection, text

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, served_archive
from fits_dagster.web.accounts import add_user, generate_password

__all__ = ["measure_queue_status"]

_SECONDS_AIM: Final = 0.5
_ROUNDS: Final = 9
_TIMEOUT_S: Final = 60.0
_READER: Final = "reader"
#: Stages over which the items are spread, and what was done in the last hour.
_STAGES: Final = ["ingest", "export", "preview", "associate", "store"]
_EVENTS: Final = 20_000

_ITEMS = text("""
insert into work_item (stage, filename, night, sort_key, state, added_at, not_before, attempts,
                       reason, error, traceback, failed_at)
select (cast(:stages as text[]))[1 + n % 5], 'N20251123S' || n || '.fits', '20251123', 'z' || n,
       case when n > :waiting then 'failed' else 'waiting' end,
       now() - n * interval '1 s', now() + (n % 3 - 1) * interval '1 h', n % 2,
       case when n > :waiting then 'truncated' end, case when n > :waiting then '5000 bytes missing' end,
       case when n > :waiting then repeat('Traceback line ', 100) end,
       case when n > :waiting then now() - n * interval '1 s' end
from generate_series(1, :waiting + :failed) n
""")
_HISTORY = text("""
insert into event (at, stage, outcome, filename, night)
select now() - n * interval '0.2 s', (cast(:stages as text[]))[1 + n % 5], 'done',
       'N20251123S' || n || '.fits', '20251123'
from generate_series(1, :events) n
""")
_COUNT = text("select stage, state, count(*) from work_item group by 1, 2")


def measure_queue_status(home: Path | None, *, waiting: int = 100_000, failed: int = 10_000) -> list[Figures]:
    """Measure the page, and the poll that keeps it fresh, over HTTP from an archive in another process.

    Parameters
    ----------
    waiting, failed
        Work items on all queues together.
    """
    with (
        bench_home(home) as settings,
        bench_site(settings, "archive") as site,
        served_archive(settings),
        requests.Session() as browser,
        site.engine.connect() as connection,
    ):
        connection.execute(_ITEMS, {"stages": _STAGES, "waiting": waiting, "failed": failed})
        connection.execute(_HISTORY, {"stages": _STAGES, "events": _EVENTS})
        connection.commit()
        for table in ("work_item", "event"):
            connection.execute(text(f"analyze {table}"))
        connection.commit()
        url = f"http://127.0.0.1:{settings.archive.port}"
        password = generate_password()
        add_user(site.engine, _READER, password, role="reader")
        browser.post(
            f"{url}/login/", data={"username": _READER, "password": password}, timeout=_TIMEOUT_S
        ).raise_for_status()
        floor = _median(lambda: _counted(connection, waiting + failed))
        figures = []
        for name, method, path in (
            ("queue status page", "GET", "queuestatus"),
            ("poll of the page", "POST", "queuestatus/json"),
        ):
            ask = partial(_answer, browser, method, f"{url}/{path}")
            size = len(ask())
            seconds = _median(ask)
            figures.append(
                Figures(
                    name=name,
                    floor="one count by stage and state in the database",
                    aim=f"<= {_SECONDS_AIM:g} s with 100,000 waiting and 10,000 failed",
                    files=waiting + failed,
                    bytes=size,
                    seconds=seconds,
                    floor_seconds=floor,
                    reached=seconds <= _SECONDS_AIM,
                    details={
                        "answer_ms": round(seconds * 1e3, 1),
                        "answer_kb": round(size / 1e3, 1),
                        "rounds": _ROUNDS,
                    },
                )
            )
    return figures


def _median(action: Callable[[], object]) -> float:
    """Return the median of the seconds that an action takes, after one that does not count."""
    action()
    taken = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _counted(connection: Connection, expected: int) -> None:
    total = sum(number for _, _, number in connection.execute(_COUNT))
    connection.rollback()
    if total != expected:
        raise RuntimeError(f"{total} items counted instead of {expected}")


def _answer(browser: requests.Session, method: str, url: str) -> bytes:
    answer = browser.request(method, url, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    if "/login" in answer.url:
        raise RuntimeError("the page asks for a sign-in")
    return answer.content
