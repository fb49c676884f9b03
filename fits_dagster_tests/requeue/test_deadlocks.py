"""Two transactions that wait for each other: the victim tries again."""

from __future__ import annotations

import threading

from sqlalchemy import Connection

from fits_dagster.database.deadlocks import once_more_after_a_deadlock
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.sites import Site


def test_the_victim_of_a_deadlock_tries_again(summit: Site) -> None:
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    def add(connection: Connection, name: str) -> None:
        add_work(connection, [NewWork(stage="ingest", filename=name)])

    @once_more_after_a_deadlock
    def crosswise(first: str, second: str) -> None:
        attempts.append(first)
        with summit.engine.begin() as connection:
            add(connection, first)
            if len(attempts) <= 2:
                both_hold_one.wait(timeout=10)
            add(connection, second)

    names = ("N20250101S0001.fits", "N20250101S0002.fits")
    threads = [
        threading.Thread(target=crosswise, args=names),
        threading.Thread(target=crosswise, args=names[::-1]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert len(attempts) == 3, "one of them was ended, and tried again"
