"""Processing tags: who is to be seen, who goes first, and whose lists a change of a tag concerns."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, create_engine, text

from fits_dagster.calibration import associate_headers
from fits_dagster.calibration.associate import INGEST_BARRIER
from fits_dagster.calibration.explain import explain
from fits_dagster.calibration.lookup import associations_of
from fits_dagster.calibration.processing_tags import remove_processing_tag, set_processing_tag
from fits_dagster.calibration.requests import answer_request
from fits_dagster.ledger.items import NewWork
from fits_dagster.records.processing_tags import ProcessingTag
from fits_dagster.schema.migrate import alembic_config
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
    "observation_type": "OBJECT",
    "central_wavelength": "1.65",
    "types": ["SPECT"],
    "ut_datetime": UT,
}
ROW = {"disperser": "32/mm&SXD", "camera": "ShortBlue", "array_name": "a", "focal_plane_mask": "0.3&SCXD"}
#: An answer has at most five of them.
PINHOLE = {"observation_type": "PINHOLE"}
REDUCED = {"processing": "Science-Quality"}


def arrive(
    archive: Any, name: str, days: float, *changes: dict[str, Any], camera: str = "ShortBlue"
) -> tuple[int, set[str]]:
    """Bring a file; returns its header, and the names of those whom it concerns."""
    record = RECORD | {"ut_datetime": UT + timedelta(days=days)}
    for change in changes:
        record = record | change
    header, work = archive.arrive(f"{name}.fits", record, "gnirs", [ROW | {"camera": camera}])
    return header, names(work)


def names(work: list[NewWork]) -> set[str]:
    assert {item.stage for item in work} <= {"associate"}
    return {item.filename.removesuffix(".fits") for item in work}


def set_tag(connection: Connection, tag: str, priority: int = 0, *, published: bool = True) -> set[str]:
    return names(
        set_processing_tag(connection, ProcessingTag(tag=tag, priority=priority, published=published))
    )


def pinholes(archive: Any, header: int) -> list[str]:
    associate_headers(archive.connection, [header])
    found = archive.cached().get(archive.names[header], {}).get("pinhole", [])
    return [name.removesuffix(".fits") for name in found]


@pytest.fixture
def archive(connection: Connection) -> Any:
    return Archive(connection)


@pytest.fixture
def target(archive: Any) -> int:
    return arrive(archive, "target", 0.0)[0]


@pytest.mark.parametrize(
    ("processing", "tag", "seen"),
    [
        ("Raw", None, True),
        # a raw file needs no tag
        ("Raw", "drafted", True),
        ("Raw", "unknown", True),
        ("Science-Quality", None, False),
        ("Science-Quality", "unknown", False),
        ("Science-Quality", "drafted", False),
        ("Science-Quality", "published", True),
        ("Quick-Look", "published", True),
        ("Failed", "published", True),
        (None, None, False),
        (None, "published", True),
    ],
)
@pytest.mark.parametrize("tags_first", [True, False])
def test_what_is_not_raw_needs_a_published_tag(
    archive: Any, target: int, processing: str | None, tag: str | None, seen: bool, tags_first: bool
) -> None:
    def bring() -> None:
        arrive(archive, "pinhole", 1.0, PINHOLE, {"processing": processing, "processing_tag": tag})

    if not tags_first:
        bring()
    set_tag(archive.connection, "published")
    set_tag(archive.connection, "drafted", published=False)
    if tags_first:
        bring()
    assert pinholes(archive, target) == (["pinhole"] if seen else [])


def test_requests_and_lists_on_demand_keep_to_it_too(archive: Any, target: int) -> None:
    arrive(archive, "pinhole", 1.0, PINHOLE, REDUCED, {"processing_tag": "A"})
    described = {
        **ROW,
        **{"data_label": "x", "instrument": "GNIRS", "ut_datetime": UT, "central_wavelength": 1.65},
        **{"observation_type": "OBJECT", "observation_class": "science", "filter_name": "XD"},
        **{"object": "M31", "gcal_lamp": None},
    }

    def found() -> tuple[Any, list[str]]:
        [listed] = (
            each
            for each in associations_of(archive.connection, "target", all_types=True)
            if each.caltype == "pinhole"
        )
        return answer_request(archive.connection, described, ["SPECT"], "pinhole"), list(listed.names)

    assert found() == ([], [])
    set_tag(archive.connection, "A")
    answer, listed = found()
    assert ([archive.names[each] for each in answer], listed) == (["pinhole.fits"], ["pinhole.fits"])


def test_no_tag_goes_before_any_and_a_higher_priority_before_what_is_nearer(
    archive: Any, target: int
) -> None:
    for tag, priority in (("high", 9), ("low", -3)):
        set_tag(archive.connection, tag, priority)
    for name, days, tag in (
        ("low_near", 1, "low"),
        ("high_far", 90, "high"),
        ("high_near", 30, "high"),
        ("none_far", 300, None),
    ):
        processing = "Raw" if tag is None else "Science-Quality"
        arrive(archive, name, days, PINHOLE, {"processing": processing, "processing_tag": tag})
    # a raw file is ranked by its tag, published or not
    set_tag(archive.connection, "drafted", 2, published=False)
    arrive(archive, "drafted", 200, PINHOLE, {"processing_tag": "drafted"})
    assert pinholes(archive, target) == ["none_far", "high_near", "high_far", "drafted", "low_near"]
    arrive(archive, "none_farther", -301, PINHOLE)
    assert pinholes(archive, target) == ["none_far", "none_farther", "high_near", "high_far", "drafted"]


@pytest.mark.parametrize("seed", range(12))
def test_any_list_is_in_the_order_of_its_keys(archive: Any, target: int, seed: int) -> None:
    """Compare with a sort: priority, none first, then seconds, then processing, then the latest arrival."""
    chance = random.Random(seed)
    modes = ["Failed", "Raw", "Quick-Look", "Science-Quality"]
    tags = {"A": 3, "B": chance.choice([3, -1]), "C": chance.randint(-5, 5)}
    for tag, priority in tags.items():
        set_tag(archive.connection, tag, priority)
    keys: dict[str, tuple[Any, ...]] = {}
    for number in range(chance.randint(3, 25)):
        tag = chance.choice([None, *tags])
        processing = chance.choice(modes) if tag else "Raw"
        seconds = chance.choice([-1, 1]) * chance.randint(1, 6)
        arrive(
            archive,
            f"p{number}",
            seconds / 86400,
            PINHOLE,
            {"processing": processing, "processing_tag": tag},
        )
        place = (1, -tags[tag]) if tag else (0, 0)
        keys[f"p{number}"] = (place, abs(seconds), -modes.index(processing), -number)
    assert pinholes(archive, target) == sorted(keys, key=lambda name: keys[name])[:5]


def test_a_list_by_a_score_has_the_priority_before_the_score(connection: Connection, archive: Any) -> None:
    row = {"disperser": "R400_G5305", "filter_name": "open", "focal_plane_mask": "1.0arcsec"}
    science = RECORD | {"instrument": "GMOS-N", "central_wavelength": "0.700", "types": ["LS", "SPECT"]}
    target, _ = archive.arrive("target.fits", science, "gmos", [row])
    set_tag(connection, "A", 1)
    set_tag(connection, "B", 2)
    for name, days, tag in (("near", 1, "A"), ("far", 100, "B"), ("farther", 150, None)):
        star = {"types": ["STANDARD", "LS"], "object": "Feige 34", "processing_tag": tag}
        archive.arrive(
            f"{name}.fits", science | star | {"ut_datetime": UT + timedelta(days=days)}, "gmos", [row]
        )
    associate_headers(connection, [target])
    assert archive.cached()["target.fits"]["standard"] == ["farther.fits", "far.fits", "near.fits"]


def test_a_tag_concerns_those_who_could_have_its_files(archive: Any, target: int) -> None:
    connection = archive.connection
    arrive(archive, "far", 364.9)
    arrive(archive, "too_far", 366.5)
    arrive(archive, "other", 0.5, camera="LongBlue")
    assert arrive(archive, "pinhole", 1.0, PINHOLE, REDUCED, {"processing_tag": "A"})[1] == set()
    assert arrive(archive, "without", 1.0, PINHOLE, REDUCED)[1] == set()
    assert set_tag(connection, "A", published=False) == set()
    assert set_tag(connection, "A") == {"target", "far"}
    assert pinholes(archive, target) == ["pinhole"]
    # neither the description nor what is the same already makes a difference
    described = ProcessingTag(tag="A", published=True, description="more", domain="GNIRS")
    assert set_processing_tag(connection, described) == []
    [item] = set_processing_tag(connection, ProcessingTag(tag="A"), priority=-1)
    assert (item.filename, item.subject_id, item.priority) == ("target.fits", target, -1)
    assert pinholes(archive, target) == []


def test_a_priority_concerns_lists_that_have_its_files_or_take_them_up(archive: Any, target: int) -> None:
    connection = archive.connection
    set_tag(connection, "A", 5)
    set_tag(connection, "B", 1)
    far, _ = arrive(archive, "far", 300.0)
    for number in range(5):
        arrive(archive, f"a{number}", 1.0 + number, PINHOLE, REDUCED, {"processing_tag": "A"})
    arrive(archive, "b", -300.0, PINHOLE, REDUCED, {"processing_tag": "B"})
    associate_headers(connection, [target, far])
    assert "b" not in pinholes(archive, target)
    # it stays behind five better ones, and out of the window of the other
    assert set_tag(connection, "B", 4) == set()
    assert set_tag(connection, "B", 6) == {"target"}
    assert pinholes(archive, target) == ["b", "a0", "a1", "a2", "a3"]
    assert set_tag(connection, "A", 7) == {"target", "far"}
    assert pinholes(archive, target) == ["a0", "a1", "a2", "a3", "a4"]


def test_a_full_list_without_tags_is_left_alone_by_files_with_one(archive: Any, target: int) -> None:
    set_tag(archive.connection, "A")
    for number in range(5):
        arrive(archive, f"p{number}", 100.0 + number, PINHOLE)
    pinholes(archive, target)
    assert arrive(archive, "near", 0.1, PINHOLE, REDUCED, {"processing_tag": "A"})[1] == set()
    assert arrive(archive, "nearer", 99.0, PINHOLE)[1] == {"target"}


def test_a_forgotten_tag_hides_its_files_again(archive: Any, target: int) -> None:
    set_tag(archive.connection, "A")
    arrive(archive, "pinhole", 1.0, PINHOLE, REDUCED, {"processing_tag": "A"})
    arrive(archive, "raw", 2.0, PINHOLE, {"processing_tag": "A"})
    assert pinholes(archive, target) == ["pinhole", "raw"]
    assert names(remove_processing_tag(archive.connection, "A")) == {"target"}
    assert pinholes(archive, target) == ["raw"]
    with pytest.raises(LookupError, match="no processing tag A"):
        remove_processing_tag(archive.connection, "A")


def test_why_tells_of_tags(archive: Any) -> None:
    arrive(archive, "target", 0.0)
    arrive(archive, "hidden", 0.5, PINHOLE, REDUCED)
    [hidden] = explain(archive.connection, "target", "pinhole").nearest
    assert [str(each) for each in hidden.misses] == [
        "processing tag: wanted a published one, or a raw file, found Science-Quality, no tag"
    ]
    set_tag(archive.connection, "A")
    arrive(archive, "later", 1.0, PINHOLE, REDUCED, {"processing_tag": "A"})
    for number in range(5):
        arrive(archive, f"p{number}", 100.0 + number, PINHOLE)
    found = {each.name: each.misses for each in explain(archive.connection, "target", "pinhole").nearest}
    assert str(found["later.fits"][0]).startswith("processing tag: wanted none, or one of higher priority")


def test_a_change_waits_for_the_ingest_under_way(engine: Engine) -> None:
    with engine.begin() as connection:
        arrive(Archive(connection), "target", 0.0)
    found: list[set[str]] = []

    def publish() -> None:
        with engine.begin() as connection:
            found.append(set_tag(connection, "A"))

    ingest = engine.connect()
    thread = threading.Thread(target=publish)
    try:
        # it comes with the tag still unknown, and commits after the change has begun
        arrive(Archive(ingest), "pinhole", 1.0, PINHOLE, REDUCED, {"processing_tag": "A"})
        thread.start()
        waiting = text(
            "select count(*) from pg_locks where locktype = 'advisory' and objid = :key and not granted"
        )
        with engine.connect() as watcher:
            while not watcher.scalar(waiting, {"key": INGEST_BARRIER}) and thread.is_alive():
                watcher.rollback()
        assert found == []
        ingest.commit()
        thread.join(20)
        assert found == [{"target"}]
    finally:
        ingest.close()
        thread.join(20)
        with engine.begin() as connection:
            connection.execute(
                text("truncate file, diskfile, header, calibration_answer, processingtag cascade")
            )


def test_migrating_hides_what_is_not_raw_and_queues_who_has_it(postgres_url: Callable[[], Any]) -> None:
    engine = create_engine(postgres_url())
    config = alembic_config()
    try:
        with engine.begin() as connection:
            archive = Archive(connection)
            target, _ = arrive(archive, "N20190601S0001", 0.0)
            arrive(archive, "N20190601S0002", 0.1)
            arrive(archive, "raw", 2.0, PINHOLE)
            set_tag(connection, "A")
            arrive(archive, "reduced", 1.0, PINHOLE, REDUCED, {"processing_tag": "A"})
            associate_headers(connection, [target])
            config.attributes["connection"] = connection
            command.downgrade(config, "0003")
            command.upgrade(config, "head")
            queued = connection.execute(text("select filename, night, subject_id from work_item")).all()
            assert queued == [("N20190601S0001.fits", "20190601", target)]
            assert pinholes(archive, target) == ["raw"]
            assert set_tag(connection, "A") == {"N20190601S0001", "N20190601S0002"}
            assert pinholes(archive, target) == ["raw", "reduced"]
    finally:
        engine.dispose()
