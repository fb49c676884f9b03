"""Stages of a run end together, and a run that has lost one does not go on without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest
from sqlalchemy import text

from fits_dagster.dataflow import heartbeat
from fits_dagster.dataflow.heartbeat import dead_runs, live_runs, request_stop, show_heartbeat
from fits_dagster.dataflow.site import Site

STAGES = ("copy", "ingest", "export")
SOON_S = 5.0
#: Many beats.
A_WHILE_S = 0.5


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_HEARTBEAT_S", 0.05)


@contextmanager
def at_work(site: Site, stage: str, run: str = "one") -> Iterator[Event]:
    """A stage of a run of three stages at work on a night."""
    with show_heartbeat(site, run, stage, ["20251123"], together=STAGES) as stop:
        yield stop


def pretend(site: Site, assignment: str, stage: str) -> None:
    """Change what is known of a stage's drain."""
    with site.engine.begin() as connection:
        connection.execute(text(f"update drain set {assignment} where stage = :stage"), {"stage": stage})


def alive(site: Site) -> set[str]:
    """The runs with a heartbeat."""
    with site.engine.connect() as connection:
        return live_runs(connection)


def test_when_one_stage_ends_the_others_of_its_run_are_asked_to_end(summit: Site) -> None:
    with at_work(summit, "ingest") as stop, at_work(summit, "ingest", run="two") as others:
        with at_work(summit, "copy"):
            assert not stop.wait(A_WHILE_S)
        assert stop.wait(SOON_S)
        assert not others.wait(A_WHILE_S)
        assert alive(summit) == {"one", "two"}
    assert alive(summit) == set()


def test_a_stage_that_begins_when_another_has_ended_ends_too(summit: Site) -> None:
    with at_work(summit, "copy"):
        pass
    with at_work(summit, "ingest") as stop:
        assert stop.wait(SOON_S)


def test_stages_that_are_taken_one_after_another_do_not_end_each_other(summit: Site) -> None:
    with show_heartbeat(summit, "one", "copy", None, together=["copy"]):
        pass
    with show_heartbeat(summit, "one", "ingest", None, together=["ingest"]) as stop:
        assert not stop.wait(A_WHILE_S)


def test_a_stage_that_never_begins_ends_its_run(summit: Site) -> None:
    with at_work(summit, "copy"), at_work(summit, "ingest") as stop:
        assert not stop.wait(A_WHILE_S), "the third may still be starting"
        pretend(summit, "started_at = now() - interval '2 minutes'", "ingest")
        assert stop.wait(SOON_S)


def test_a_stage_that_is_killed_ends_its_run(summit: Site) -> None:
    with at_work(summit, "ingest") as stop, at_work(summit, "export"):
        with summit.engine.begin() as connection:
            connection.execute(
                text("insert into drain (run_id, stage, nights, owner) values ('one', 'copy', '[]', 'gone')")
            )
        pretend(summit, "started_at = now() - interval '2 minutes'", "ingest")
        assert not stop.wait(A_WHILE_S), "all three are at work"
        pretend(summit, "heartbeat = now() - interval '1 minute'", "copy")
        assert stop.wait(SOON_S)


def test_a_run_can_be_asked_to_end(summit: Site) -> None:
    with at_work(summit, "copy") as stop, at_work(summit, "copy", run="two") as others:
        with summit.engine.begin() as connection:
            request_stop(connection, "one")
        assert stop.wait(SOON_S)
        assert not others.wait(A_WHILE_S)


def test_a_run_is_dead_when_none_of_its_stages_beats_any_more(summit: Site) -> None:
    with at_work(summit, "copy", run="alive"), at_work(summit, "copy", run="ended"):
        pass
    with summit.engine.begin() as connection:
        connection.execute(
            text("""
            insert into drain (run_id, stage, nights, owner, heartbeat)
            select run, stage, '[]', 'w', now() - make_interval(secs => age) from (values
                ('killed', 'copy', 60), ('killed', 'ingest', 30), ('lame', 'copy', 60), ('lame', 'ingest', 1)
            ) as d (run, stage, age)
            """)
        )
    with at_work(summit, "ingest", run="alive"), summit.engine.connect() as connection:
        assert dead_runs(connection) == {"killed"}
        assert live_runs(connection) == {"alive", "lame"}
