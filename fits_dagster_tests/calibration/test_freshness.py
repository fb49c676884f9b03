"""The cache stays true: whoever arrives, changes or goes, the targets concerned are queued, no others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from fits_dagster.calibration import associate_headers
from fits_dagster.calibration.associate import INGEST_BARRIER
from fits_dagster.calibration.concerned import nobody_is_associated, owed
from fits_dagster_tests.builders.spectra import (
    ARC,
    FLAT,
    GMOS_ROW,
    GMOS_STAR,
    KINDS,
    PINHOLE,
    RECORD,
    ROW,
    SCIENCE,
    SHIFTED,
    SPECTRUM,
    UT,
    arrive,
    targets,
)
from fits_dagster_tests.builders.versions import Archive


def associate(archive: Any, header: int) -> None:
    associate_headers(archive.connection, [header])


def test_a_calibration_of_background_work_looks_for_its_targets_when_it_is_associated(
    connection: Connection,
) -> None:
    archive = Archive(connection)
    done, _ = arrive(archive, "done.fits", 0.0, SCIENCE)
    waiting, _ = arrive(archive, "waiting.fits", 0.1, SCIENCE)
    assert nobody_is_associated(connection)
    associate_headers(connection, [done, waiting])
    assert not nobody_is_associated(connection), "what has been found to have no calibration is associated"
    record = RECORD | ARC | {"ut_datetime": UT}
    arc, work = archive.arrive("arc.fits", record, "gnirs", [ROW], others_later=True)
    assert work == []
    connection.execute(
        text("""insert into work_item (stage, filename, night, sort_key, subject_id)
                values ('associate', 'waiting.fits', '20190601', '', :id)"""),
        {"id": waiting},
    )
    associate(archive, arc)
    assert targets(owed(connection, [arc])) == {"done.fits"}, "the other one will find it by itself"
    associate(archive, done)
    assert archive.cached()["done.fits"]["arc"] == ["arc.fits"]
    assert owed(connection, [arc]) == []


def test_a_batch_gives_what_its_members_give_one_by_one(connection: Connection) -> None:
    archive = Archive(connection)
    ids = [
        arrive(archive, f"{kind}-{days}.fits", days, KINDS[kind])[0]
        for kind in range(len(KINDS))
        for days in (-0.5, 0.0, 0.25, 3.0)
    ]
    together = associate_headers(connection, ids)
    cached = archive.cached()
    assert sum(together.values()) > 100
    connection.execute(text("delete from calibration_answer"))
    one_by_one: dict[int, int] = {}
    for header in ids:
        one_by_one |= associate_headers(connection, [header])
    assert (one_by_one, archive.cached()) == (together, cached)


def test_a_late_calibration_queues_the_targets_inside_its_window_only(connection: Connection) -> None:
    archive = Archive(connection)
    for name, days, camera in (
        ("near.fits", 1.0, "ShortBlue"),
        ("far.fits", 364.9, "ShortBlue"),
        ("too_far.fits", 365.1, "ShortBlue"),
        ("other.fits", 1.0, "LongBlue"),
    ):
        arrive(archive, name, days, SCIENCE, camera=camera)
    arrive(archive, "flat.fits", 1.0, FLAT)
    _, work = arrive(archive, "pinhole.fits", 0.0, PINHOLE)
    assert targets(work) == {"near.fits", "far.fits"}


def test_a_science_frame_queues_nobody(connection: Connection) -> None:
    archive = Archive(connection)
    arrive(archive, "first.fits", 0.0, SCIENCE)
    assert arrive(archive, "second.fits", 0.1, SCIENCE)[1] == []


def test_a_full_list_of_nearer_ones_is_left_alone(connection: Connection) -> None:
    archive = Archive(connection)
    target, _ = arrive(archive, "target.fits", 0.0, SCIENCE)
    for number in range(5):
        _, work = arrive(archive, f"pinhole{number}.fits", 1.0 + number, PINHOLE)
        assert targets(work) == {"target.fits"}
        associate(archive, target)
    assert arrive(archive, "farther.fits", 5.1, PINHOLE)[1] == []
    assert targets(arrive(archive, "nearer.fits", -4.9, PINHOLE)[1]) == {"target.fits"}


def test_a_full_list_by_score_is_left_alone_by_what_time_alone_makes_worse(connection: Connection) -> None:
    archive = Archive(connection)

    def arrive_gmos(name: str, days: float, kind: dict[str, Any]) -> tuple[int, list[Any]]:
        record = SPECTRUM | kind | {"ut_datetime": UT + timedelta(days=days)}
        return archive.arrive(name, record, "gmos", [GMOS_ROW])

    target, _ = arrive_gmos("target.fits", 0.0, SCIENCE)
    associate(archive, target)
    for number in range(4):
        _, work = arrive_gmos(f"star{number}.fits", 1.0 + number, GMOS_STAR)
        assert "target.fits" in targets(work)
        associate(archive, target)
    assert archive.cached()["target.fits"]["standard"] == [f"star{number}.fits" for number in range(4)]
    assert "target.fits" not in targets(arrive_gmos("farther.fits", 4.1, GMOS_STAR)[1])
    assert "target.fits" in targets(arrive_gmos("nearer.fits", -3.9, GMOS_STAR)[1])
    associate(archive, target)
    # a list that ends with a star of another wavelength reaches farther
    for number in range(4):
        arrive_gmos(f"star{number}.fits", 1.0 + number, GMOS_STAR | {"qa_state": "Fail"})
    for number in range(2):
        arrive_gmos(f"shifted{number}.fits", 5.0, GMOS_STAR | SHIFTED)
    associate(archive, target)
    found = archive.cached()["target.fits"]["standard"]
    assert found == ["nearer.fits", "farther.fits", "shifted1.fits", "shifted0.fits"]
    assert "target.fits" in targets(arrive_gmos("distant.fits", 90.0, GMOS_STAR)[1])


def test_a_failed_calibration_queues_those_that_use_it(connection: Connection) -> None:
    archive = Archive(connection)
    user, _ = arrive(archive, "user.fits", 0.0, SCIENCE)
    other, _ = arrive(archive, "other.fits", 30.0, SCIENCE)
    arrive(archive, "arc.fits", 1.0, ARC)
    arrive(archive, "other_arc.fits", 29.0, ARC)
    associate_headers(connection, [user, other])
    assert archive.cached()["user.fits"]["arc"] == ["arc.fits"]
    _, work = arrive(archive, "arc.fits", 1.0, ARC, {"qa_state": "Fail"})
    assert targets(work) == {"user.fits"}
    associate(archive, user)
    assert archive.cached()["user.fits"]["arc"] == ["other_arc.fits"]


def test_a_changed_calibration_concerns_its_old_and_its_new_users(connection: Connection) -> None:
    archive = Archive(connection)
    short, _ = arrive(archive, "short.fits", 0.0, SCIENCE)
    long, _ = arrive(archive, "long.fits", 0.0, SCIENCE, camera="LongBlue")
    arrive(archive, "pinhole.fits", 1.0, PINHOLE)
    associate_headers(connection, [short, long])
    _, work = arrive(archive, "pinhole.fits", 1.0, PINHOLE, camera="LongBlue")
    assert targets(work) == {"short.fits", "long.fits"}
    assert {item.subject_id for item in work} == {short, long}


def test_work_carries_the_priority_of_what_caused_it(connection: Connection) -> None:
    from fits_dagster.calibration.concerned import follow_ups

    archive = Archive(connection)
    target, _ = arrive(archive, "target.fits", 0.0, SCIENCE)
    record = RECORD | PINHOLE | {"ut_datetime": UT}
    header = archive.insert("pinhole.fits", record, "gnirs", [ROW])
    [item] = follow_ups(connection, [header], priority=-5)
    assert (item.stage, item.filename, item.subject_id, item.priority) == (
        "associate",
        "target.fits",
        target,
        -5,
    )


def test_a_target_whose_association_runs_now_is_queued_even_if_its_list_looks_full(
    connection: Connection,
) -> None:
    archive = Archive(connection)
    target, _ = arrive(archive, "target.fits", 0.0, SCIENCE)
    arrive(archive, "near.fits", 0.1, ARC)
    associate(archive, target)
    assert arrive(archive, "far.fits", 9.0, ARC)[1] == []
    connection.execute(
        text("""insert into work_item (stage, filename, night, sort_key, state, lease_token)
                values ('associate', 'target.fits', '20190601', '', 'running', 'x')""")
    )
    assert targets(arrive(archive, "farther.fits", 10.0, ARC)[1]) == {"target.fits"}


@pytest.fixture
def committed(engine: Engine) -> Iterator[Engine]:
    """An engine for tests that commit; the tables are emptied afterwards."""
    yield engine
    with engine.begin() as connection:
        connection.execute(text("truncate file, diskfile, header, calibration_answer cascade"))


def test_an_association_waits_for_the_ingest_under_way_and_sees_what_it_brings(committed: Engine) -> None:
    with committed.begin() as connection:
        archive = Archive(connection)
        target, _ = arrive(archive, "target.fits", 0.0, SCIENCE)
    ingest = committed.connect()
    arrive(Archive(ingest), "pinhole.fits", 1.0, PINHOLE)
    found: dict[int, int] = {}

    def run() -> None:
        with committed.begin() as connection:
            found.update(associate_headers(connection, [target]))

    thread = threading.Thread(target=run)
    thread.start()
    waiting = text(
        "select count(*) from pg_locks where locktype = 'advisory' and objid = :key and not granted"
    )
    with committed.connect() as watcher:
        while not watcher.scalar(waiting, {"key": INGEST_BARRIER}) and thread.is_alive():
            watcher.rollback()
    assert found == {}
    ingest.commit()
    ingest.close()
    thread.join(20)
    assert found == {target: 1}
