"""The cache stays true: whoever arrives, changes or goes, the targets concerned are queued, no others."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from fits_dagster.calibration import associate_headers
from fits_dagster.calibration.associate import INGEST_BARRIER
from fits_dagster.calibration.concerned import nobody_is_associated, owed
from fits_dagster.calibration.lookup import compute
from fits_dagster.calibration.match_keys import applicable_types, index_headers, load_facts, needs_of
from fits_dagster.calibration.processing_tags import remove_processing_tag, set_processing_tag
from fits_dagster.records.processing_tags import ProcessingTag
from fits_dagster_tests.builders.versions import Archive

UT = datetime(2019, 6, 1, 4, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "instrument": "GNIRS",
    "engineering": False,
    "qa_state": "Pass",
    "processing": "Raw",
    "reduction": "RAW",
    "spectroscopy": True,
    "observation_class": "science",
    "central_wavelength": "1.65",
    "detector_binning": "1x1",
    "exposure_time": "30",
    "types": ["SPECT"],
}
ROW: dict[str, Any] = {
    "disperser": "32/mm&SXD",
    "camera": "ShortBlue",
    "filter_name": "XD",
    "array_name": "a",
    "well_depth_setting": "Shallow",
    "focal_plane_mask": "0.3&SCXD",
}
SCIENCE = {"observation_type": "OBJECT"}
STANDARD = {"observation_type": "OBJECT", "observation_class": "partnerCal"}
PINHOLE = {"observation_type": "PINHOLE"}
MASK = {"observation_type": "BPM", "reduction": "PROCESSED_BPM"}
FLAT = {"observation_type": "FLAT", "gcal_lamp": "IRhigh"}
QUARTZ = {"observation_type": "FLAT", "gcal_lamp": "QH"}
REDUCED_FLAT = {"observation_type": "FLAT", "reduction": "PROCESSED_FLAT"}
ARC = {"observation_type": "ARC"}
KINDS = [SCIENCE, STANDARD, PINHOLE, MASK, FLAT, QUARTZ, REDUCED_FLAT, ARC]


def arrive(archive: Any, name: str, days: float, *changes: dict[str, Any], camera: str = "ShortBlue") -> Any:
    record = RECORD | {"ut_datetime": UT + timedelta(days=days)}
    for change in changes:
        record = record | change
    return archive.arrive(name, record, "gnirs", [ROW | {"camera": camera}])


def targets(work: list[Any]) -> set[str]:
    assert {item.stage for item in work} <= {"associate"}
    return {item.filename for item in work}


def associate(archive: Any, header: int) -> None:
    associate_headers(archive.connection, [header])


SPECTRUM: dict[str, Any] = RECORD | {
    "instrument": "GMOS-N",
    "detector_roi_setting": "Full Frame",
    "central_wavelength": "0.600",
    "elevation": "70",
    "types": ["SPECT", "LS"],
}
GMOS_ROW: dict[str, Any] = {
    "disperser": "R400_G5305",
    "filter_name": "open",
    "focal_plane_mask": "1.0arcsec",
    "array_name": "CCD1",
    "amp_read_area": "a",
    "detector_x_bin": 1,
    "detector_y_bin": 1,
}
GMOS_STAR = STANDARD | {"types": ["SPECT", "LS", "STANDARD"], "object": "Feige 34"}
GMOS_BIAS = {"observation_type": "BIAS"}
SHIFTED = {"central_wavelength": "0.607"}
GMOS_KINDS = [
    *(SCIENCE, SCIENCE | SHIFTED, GMOS_STAR, GMOS_STAR | SHIFTED, FLAT, ARC, ARC | SHIFTED),
    *(GMOS_BIAS, GMOS_BIAS | {"reduction": "PROCESSED_BIAS"}, MASK),
]
BUNDLE: dict[str, Any] = RECORD | {"instrument": "GHOST", "focal_plane_mask": "SR"}
BUNDLE_KINDS = [SCIENCE, STANDARD, GMOS_BIAS, FLAT, ARC, MASK]
ARMS = [{"arm": arm, "focal_plane_mask": "SR", "detector_x_bin": 1} for arm in ("blue", "red", "slitv")]

#: By table, and what is special: record, kinds of files, and the rows of either configuration.
WORLDS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[list[dict[str, Any]]]]] = {
    "gnirs": (RECORD, KINDS, [[ROW], [ROW | {"camera": "LongBlue"}]]),
    "gmos": (SPECTRUM, GMOS_KINDS, [[GMOS_ROW], [GMOS_ROW | {"detector_x_bin": 2}]]),
    "ghost": (BUNDLE, BUNDLE_KINDS, [ARMS, ARMS[:1]]),
    # lists of one are full at once: who is farther, or of what priority, makes the difference
    "gnirs, arcs": (RECORD, [SCIENCE, ARC, ARC, REDUCED_FLAT], [[ROW]]),
}
#: Number of the file, kind, days, configuration, state of quality, how far processed and its tag, and whether
#: the queue is drained now; work that waits is done later, with what has come by then.
Arrival = tuple[int, int, float, int, str, tuple[str, str | None], bool]
#: Tag, priority (None removes it), whether it is published, and whether the queue is drained now.
TagChange = tuple[str, int | None, bool, bool]
Sequence = list[Arrival | TagChange]

DAYS = [-400.0, -91.0, -5.0, -0.5, 0.0, 0.25, 0.9, 3.0, 89.0]
QUALITIES = ["Pass", "Pass", "Pass", "Undefined", "Fail"]
PROCESSINGS: list[tuple[str, str | None]] = [
    *[("Raw", None)] * 4,
    *[("Raw", "B"), ("Science-Quality", None), ("Science-Quality", "unknown")],
    *[("Science-Quality", "A"), ("Quick-Look", "A"), ("Failed", "A"), ("Science-Quality", "B")],
]


def history(seed: int) -> tuple[str, Sequence]:
    """Make up a world and what happens in it."""
    chance = random.Random(seed)
    draw = chance.choice
    steps: Sequence = []
    for _ in range(chance.randint(4, 24)):
        if chance.random() < 0.2:
            steps.append((draw("AB"), draw([None, 0, 0, 1, 5]), draw([True, False]), draw([True, False])))
        else:
            frame = chance.randrange(10), chance.randrange(12), draw(DAYS), draw([0, 0, 1])
            steps.append((*frame, draw(QUALITIES), draw(PROCESSINGS), draw([True, False])))
    return draw(sorted(WORLDS)), steps


#: Drawn evenly: a generator that likes small values likes short and empty histories.
histories = st.integers(0, 2**63).map(history)


def property_settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        # every example is a sequence of transactions: shrinking would take minutes
        phases=[Phase.explicit, Phase.generate],
    )


@property_settings(30)
@given(histories)
def test_the_maintained_cache_equals_one_computed_from_scratch(
    engine: Engine, told: tuple[str, Sequence]
) -> None:
    check_sequence(engine, *told)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@property_settings(1000)
@given(histories)
def test_it_does_so_in_a_thousand_histories(engine: Engine, told: tuple[str, Sequence]) -> None:
    check_sequence(engine, *told)


def check_sequence(engine: Engine, world: str, sequence: Sequence) -> None:
    record, kinds, configurations = WORLDS[world]
    table = world.partition(",")[0]
    with engine.connect() as connection:
        archive = Archive(connection)
        queue: dict[str, int] = {}
        owing: set[int] = set()
        current: dict[str, int] = {}
        change_tag(connection, "A", 1, True)
        for step in sequence:
            if len(step) == 4:
                tag, priority, published, _ = step
                work = change_tag(connection, tag, priority, published)
            else:
                number, kind, days, configuration, qa_state, (processing, tag), _ = step
                name = f"{number}.fits"
                state = {"qa_state": qa_state, "ut_datetime": UT + timedelta(days=days)}
                state |= {"processing": processing, "processing_tag": tag}
                values = record | kinds[kind % len(kinds)] | state
                rows = configurations[configuration % len(configurations)]
                # every third is background work
                later = (number + kind) % 3 == 0
                header, work = archive.arrive(name, values, table, rows, others_later=later)
                if later and not nobody_is_associated(connection):
                    owing.add(header)
                current[name] = queue[name] = header
                assert name not in targets(work)
            queue |= {item.filename: item.subject_id for item in work}
            if step[-1]:
                work_off(connection, queue, owing)
        work_off(connection, queue, owing)
        assert archive.cached() == from_scratch(archive, list(current.values()))
        connection.rollback()


def work_off(connection: Connection, queue: dict[str, int], owing: set[int]) -> None:
    """Do what the associate stage does until nothing waits."""
    while queue:
        done = list(queue.values())
        queue.clear()
        associate_headers(connection, done)
        work = owed(connection, [header for header in done if header in owing])
        owing.difference_update(done)
        queue |= {item.filename: item.subject_id for item in work if item.subject_id is not None}


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


def change_tag(connection: Connection, tag: str, priority: int | None, published: bool) -> list[Any]:
    """Set a processing tag, or remove it."""
    if priority is not None:
        known = ProcessingTag(tag=tag, priority=priority, published=published)
        return set_processing_tag(connection, known)
    try:
        return remove_processing_tag(connection, tag)
    except LookupError:
        return []


def from_scratch(archive: Any, headers: list[int]) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    index_headers(archive.connection, headers)
    facts = load_facts(archive.connection, headers)
    needs = [need for each in facts for need in needs_of(each, applicable_types(each))]
    for (target, caltype), calibrations in compute(archive.connection, needs).items():
        names = [archive.names[each] for each in calibrations]
        found.setdefault(archive.names[target], {})[caltype] = names
    return found


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
