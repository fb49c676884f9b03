"""The change feed: harvesters that walk it from the beginning miss nothing and get nothing twice, while files
arrive in transactions that end in another order than they began."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from sqlalchemy import text

from fits_dagster.sites import Site
from fits_dagster_tests.builders.records import insert_in, insert_records, make_records
from fits_dagster_tests.builders.sites import HttpServer, served


@pytest.fixture
def small_pages(archive: Site) -> Iterator[HttpServer]:
    """An archive with pages of twenty rows, so that there are many."""
    with served(archive, most_files_open=20) as server:
        yield server


def arriving(count: int) -> list[dict[str, Any]]:
    """Records whose time of entry the database gives."""
    return [
        {k: v for k, v in record.items() if k != "entrytime"} | {"canonical": True, "present": True}
        for record in make_records(count)
    ]


def pour(site: Site, records: list[dict[str, Any]]) -> None:
    """Write records from four threads, in transactions that stay open for up to 0.3 s after they began."""
    choice = random.Random(7)
    batches = [records[i : i + 3] for i in range(0, len(records), 3)]
    waits = [(choice.uniform(0, 0.15), choice.uniform(0, 0.15)) for _ in batches]

    def write(batch: list[dict[str, Any]], before: float, after: float) -> None:
        with site.engine.begin() as connection:
            connection.execute(text("select 1"))
            time.sleep(before)
            insert_in(connection, batch)
            time.sleep(after)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, batches, *zip(*waits, strict=True)))


def by_pages(url: str, is_over: Callable[[], bool]) -> list[str]:
    """Follow the pages, and ask again with the last cursor until nothing more comes."""
    found: list[str] = []
    cursor, over_at = "", None
    with requests.Session() as session:
        while True:
            if over_at is None and is_over():
                over_at = datetime.now(UTC)
            answer = session.get(f"{url}/jsonsummary/includeengineering?cursor={cursor}", timeout=20)
            answer.raise_for_status()
            found += [each["name"] for each in answer.json()]
            cursor = answer.headers["X-Fits-Dagster-Cursor"]
            settled = datetime.fromisoformat(answer.headers["X-Fits-Dagster-Complete-Until"])
            if over_at is not None and settled >= over_at and not answer.links:
                return found
            time.sleep(0.05)


def by_times(url: str, is_over: Callable[[], bool]) -> list[str]:
    """Ask for what came since the last time that was seen, as harvesters do that know nothing of pages."""
    found: dict[str, None] = {}
    since = "2025-01-01T00:00:00"
    calm = 0
    with requests.Session() as session:
        while calm < 12:
            was_over = is_over()
            path = f"jsonfilelist/entrytimedaterange={since}--2099-01-01?orderby=entrytime"
            answer = session.get(f"{url}/{path}", timeout=20)
            answer.raise_for_status()
            new = [each for each in answer.json() if each["name"] not in found]
            found |= dict.fromkeys(each["name"] for each in new)
            since = max([since, *(each["entrytime"].replace(" ", "T")[:26] for each in answer.json())])
            calm = calm + 1 if was_over and not new else 0
            time.sleep(0.05)
    return list(found)


def by_windows(url: str, is_over: Callable[[], bool]) -> list[str]:
    """Ask for one window of time after the other, each up to now, and never look back."""
    found: list[str] = []
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with requests.Session() as session:
        while True:
            was_over = is_over()
            end = datetime.now(UTC)
            window = f"{start:%Y-%m-%dT%H:%M:%S.%f}--{end:%Y-%m-%dT%H:%M:%S.%f}"
            page = f"{url}/jsonsummary/entrytimedaterange={window}"
            while page:
                answer = session.get(page, timeout=20)
                answer.raise_for_status()
                found += [each["name"] for each in answer.json()]
                page = f"{url}{answer.links['next']['url']}" if "next" in answer.links else ""
            start = end
            if was_over:
                return found
            time.sleep(0.05)


@pytest.mark.parametrize("walk", [by_pages, by_times, by_windows])
def test_a_harvester_misses_nothing_while_files_arrive(
    archive: Site, small_pages: HttpServer, walk: Callable[..., list[str]]
) -> None:
    records = arriving(240)
    insert_in_one = records[:40]
    insert_records(archive, insert_in_one)
    writer = threading.Thread(target=pour, args=(archive, records[40:]))
    writer.start()
    try:
        found = walk(small_pages.url, lambda: not writer.is_alive())
    finally:
        writer.join()
    assert sorted(found) == sorted(r["name"] for r in records)


@pytest.fixture
def pages(archive: Site, archive_http: HttpServer) -> Iterator[Callable[[str], requests.Response]]:
    """An archive with 1 230 records; ask for a page of them."""
    insert_records(archive, [r | {"canonical": True} for r in make_records(1230)])
    yield lambda path: requests.get(f"{archive_http.url}{path}", timeout=20)


def test_pages_go_beyond_the_limit_and_stay_the_same_when_files_arrive(
    archive: Site, pages: Callable[[str], requests.Response]
) -> None:
    path, found, sizes = "/jsonsummary/entrytimedaterange=20251201-20260101", [], []
    while path:
        answer = pages(path)
        names = [each["name"] for each in answer.json()]
        sizes.append(len(names))
        found += names
        path = answer.links["next"]["url"] if "next" in answer.links else ""
        late = make_records(1, seed=len(sizes))[0] | {"name": f"late{len(sizes)}.fits", "canonical": True}
        insert_records(archive, [{k: v for k, v in late.items() if k != "entrytime"}])
    assert sizes == [500, 500, 230]
    assert found == [r["name"] for r in make_records(1230)]


def test_a_page_that_is_cut_says_so(pages: Callable[[str], requests.Response]) -> None:
    first = pages("/jsonfilelist/entrytimedaterange=20251201-20260101")
    assert first.headers["X-Fits-Dagster-Truncated"] == "500"
    last = first.json()[-1]["entrytime"].replace(" ", "T")
    assert datetime.fromisoformat(first.headers["X-Fits-Dagster-Complete-Until"]) == datetime.fromisoformat(
        last
    )
    assert "next" not in pages("/jsonfilelist/entrytimedaterange=20251201-20251202/mdgood/GNIRS").links


@pytest.mark.parametrize("cursor", ["x", "1", "1.2.3", "-1.2", "99999999999999999999.1", "17.x"])
def test_a_cursor_that_is_none_is_refused(archive_http: HttpServer, cursor: str) -> None:
    answer = requests.get(f"{archive_http.url}/jsonsummary/?cursor={cursor}", timeout=10)
    assert (answer.status_code, cursor in answer.json()["error"]) == (400, True)


def test_a_transaction_that_never_ends_holds_nothing_up_for_long(
    archive: Site, archive_http: HttpServer
) -> None:
    def ask_until_now() -> tuple[requests.Response, datetime]:
        now = datetime.now(UTC)
        path = f"jsonfilelist/entrytimedaterange=2025-01-01--{now:%Y-%m-%dT%H:%M:%S.%f}"
        return requests.get(f"{archive_http.url}/{path}", timeout=20), now

    insert_records(archive, arriving(3))
    assert len(ask_until_now()[0].json()) == 3
    with archive.engine.connect() as idle:
        idle.execute(text("select 1"))
        insert_records(archive, [arriving(4)[3]])
        started = time.monotonic()
        answer, now = ask_until_now()
        assert time.monotonic() - started < 6
        # what may not be complete is held back, and said
        assert len(answer.json()) == 3
        assert datetime.fromisoformat(answer.headers["X-Fits-Dagster-Complete-Until"]) < now
    assert len(ask_until_now()[0].json()) == 4
