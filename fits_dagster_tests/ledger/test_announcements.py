"""Announcements: who waits for work of a stage hears of it, of no other, and after a lost connection too."""

from __future__ import annotations

import time
from threading import Timer

from sqlalchemy import text

from fits_dagster.ledger.announcements import Listener, announce
from fits_dagster.sites import Site

#: Far longer than any announcement takes.
LONG_S = 60.0
SHORT_S = 0.3


def tell(site: Site, *stages: str) -> None:
    with site.engine.begin() as connection:
        announce(connection, stages)


def test_work_of_its_stages_wakes_a_listener(archive: Site) -> None:
    with Listener(archive.engine, ["ingest", "store"]) as listener:
        later = Timer(SHORT_S, tell, (archive, "preview", "store"))
        later.start()
        began = time.monotonic()
        assert listener.wait(LONG_S)
        assert SHORT_S <= time.monotonic() - began < LONG_S
        later.join()


def test_what_was_announced_while_nobody_waited_is_heard(archive: Site) -> None:
    with Listener(archive.engine, ["store"]) as listener:
        tell(archive, "preview")
        tell(archive, "store")
        assert listener.wait(LONG_S)
        assert not listener.wait(0), "it was told once"


def test_work_of_other_stages_wakes_nobody(archive: Site) -> None:
    with Listener(archive.engine, ["ingest"]) as listener:
        later = Timer(SHORT_S / 2, tell, (archive, "preview"))
        later.start()
        began = time.monotonic()
        assert not listener.wait(SHORT_S)
        assert time.monotonic() - began >= SHORT_S
        later.join()


def test_a_lost_connection_is_a_reason_to_look_and_is_made_again(archive: Site) -> None:
    with Listener(archive.engine, ["ingest"]) as listener:
        with archive.engine.connect() as connection:
            connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where query like 'listen %' and pid <> pg_backend_pid() and datname = current_database()"
                )
            )
        assert listener.wait(LONG_S)
        assert not listener.wait(0)
        tell(archive, "ingest")
        assert listener.wait(LONG_S)
