"""Whatever happens in whatever order, the cache that is maintained equals one computed from scratch."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from fits_dagster.calibration import associate_headers
from fits_dagster.calibration.concerned import nobody_is_associated, owed
from fits_dagster.calibration.lookup import compute
from fits_dagster.calibration.match_keys import applicable_types, index_headers, load_facts, needs_of
from fits_dagster.calibration.processing_tags import remove_processing_tag, set_processing_tag
from fits_dagster.records.processing_tags import ProcessingTag
from fits_dagster_tests.builders.spectra import (
    ARC,
    FLAT,
    GMOS_BIAS,
    GMOS_ROW,
    GMOS_STAR,
    KINDS,
    MASK,
    RECORD,
    REDUCED_FLAT,
    ROW,
    SCIENCE,
    SHIFTED,
    SPECTRUM,
    STANDARD,
    UT,
    targets,
)
from fits_dagster_tests.builders.versions import Archive

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
