"""The worker's loop waits for what it has put off, however slow the machine is."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from fits_dagster.ledger.items import NewWork, WorkItem, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.stage import Committed, NotReady, Stage
from fits_dagster.sites import Site

LINGER_S = 0.8


class HesitantStage(Stage[None]):
    """Takes longer than a drain lingers to find that a file is not ready; the next look finds it ready."""

    name = "ingest"
    title = "Ingest"
    tab = "iq"
    asset = "observations"
    asset_description = ""
    words = "ingest"
    duty = "waits"

    def work(self, site: Site, item: WorkItem, known: Any) -> None:
        if item.payload.get("seen"):
            return
        time.sleep(1.5 * LINGER_S)
        raise NotReady("unstable", "first seen", delay=0.1, payload={"seen": True})

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: None) -> Committed:
        return Committed("waited for")


def test_a_file_that_was_put_off_for_a_moment_is_done_though_the_first_look_took_long(summit: Site) -> None:
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename="N20251123S0001.fits")])
    report = drain(summit, HesitantStage(), linger=LINGER_S)
    assert (report.deferred, report.done) == (1, 1)


def test_a_drain_does_not_linger_longer_for_what_is_never_ready(summit: Site) -> None:
    class NeverReady(HesitantStage):
        def work(self, site: Site, item: WorkItem, known: Any) -> None:
            raise NotReady("unstable", "changes", delay=0.05)

    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename="N20251123S0001.fits")])
    report = drain(summit, NeverReady(), linger=0.3)
    assert (report.deferred > 1, report.done) == (True, 0)


def test_a_drain_of_what_is_queued_waits_for_what_was_put_off_and_for_nothing_else(summit: Site) -> None:
    with summit.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename="N20251123S0001.fits")])
    began = time.monotonic()
    report = drain(summit, HesitantStage(), linger=60, for_queued_only=True)
    assert (report.deferred, report.done) == (1, 1)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("files", [1, 2])
def test_what_a_file_took_counts_its_share_of_the_transaction(summit: Site, files: int) -> None:
    class WritesSlowly(HesitantStage):
        def work(self, site: Site, item: WorkItem, known: Any) -> None:
            return

        def commit(self, site: Site, connection: Connection, item: WorkItem, result: None) -> Committed:
            connection.execute(text("select pg_sleep(0.1)"))
            return Committed("written")

    with summit.engine.begin() as connection:
        names = [f"N20251123S000{number}.fits" for number in range(files)]
        add_work(connection, [NewWork(stage="ingest", filename=name) for name in names])
    assert drain(summit, WritesSlowly()).done == files
    with summit.engine.connect() as connection:
        took = connection.scalars(text("select seconds from event where outcome = 'written'")).all()
    assert len(took) == files and all(0.1 <= seconds < 10 for seconds in took)


def test_a_process_that_is_told_to_end_begins_no_further_file(summit: Site) -> None:
    begun: list[str] = []

    class TellingStage(HesitantStage):
        def work(self, site: Site, item: WorkItem, known: Any) -> None:
            begun.append(item.filename)
            tells = len(begun) == 4
            # an exit in the middle of a statement would come out as an error of the driver
            time.sleep(0.3)
            if tells:
                os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.1)

    site = replace(summit, work=summit.work.model_copy(update={"workers": 2}))
    names = [f"N20251123S{number:04}.fits" for number in range(1, 21)]
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=name) for name in names])
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(1))
    try:
        with pytest.raises(SystemExit):
            drain(site, TellingStage())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(begun) < len(names)
    with site.engine.connect() as connection:
        left = connection.execute(text("select state, count(*) from work_item group by state")).all()
    assert [state for state, _ in left] == ["waiting"], "nothing is left in hand"
