"""The ledger of work items: nothing is lost, nothing is done twice, a late worker changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text

from fits_dagster.ledger import items as work
from fits_dagster.ledger.items import NewWork, new_lease, reap
from fits_dagster.ledger.management import retry_failed
from fits_dagster.ledger.retry import RetryPolicy
from fits_dagster.ledger.scope import Scope, Urgency
from fits_dagster.nights import UNDATED

NAME = "N20251123S0001.fits"


@pytest.fixture
def engine(postgres_url: Callable[[], URL]) -> Iterator[Engine]:
    engine = create_engine(postgres_url())
    yield engine
    engine.dispose()


def add(engine: Engine, *names: str, **options: object) -> None:
    with engine.begin() as connection:
        work.add_work(connection, [NewWork(stage="ingest", filename=n, **options) for n in names])  # type: ignore[arg-type]


def claim(engine: Engine, limit: int = 10, **options: object) -> tuple[work.Lease, list[work.WorkItem]]:
    lease = new_lease("test", 60)
    with engine.begin() as connection:
        return lease, work.claim(connection, "ingest", lease, limit=limit, **options)  # type: ignore[arg-type]


def rows(connection_or_engine: Engine) -> list[tuple[str, str]]:
    with connection_or_engine.connect() as connection:
        return [
            tuple(r) for r in connection.execute(text("select filename, state from work_item order by id"))
        ]


def test_adding_what_already_waits_merges_flags_and_keeps_one_row(engine: Engine) -> None:
    add(engine, NAME, force=True, delay=100)
    add(engine, NAME, force_md5=True, priority=2)
    _, items = claim(engine)
    assert len(items) == 1
    assert (items[0].force, items[0].force_md5, items[0].priority) == (True, True, 2)


def test_what_is_given_twice_at_once_is_merged_as_if_it_came_one_after_the_other(engine: Engine) -> None:
    other = "N20251123S0002.fits"
    with engine.begin() as connection:
        given = [
            NewWork(stage="ingest", filename=NAME, force=True, subject_id=1, payload={"a": 1, "b": 1}),
            NewWork(stage="ingest", filename=other),
            NewWork(stage="ingest", filename=NAME, priority=2, delay=60, payload={"b": 2}),
            NewWork(stage="ingest", filename=NAME, no_defer=True, subject_id=3),
        ]
        assert work.add_work(connection, given) == 4
    _, items = claim(engine)
    assert [item.filename for item in items] == [NAME, other]
    merged = items[0]
    assert (merged.force, merged.force_md5, merged.no_defer) == (True, False, True)
    assert (merged.priority, merged.subject_id, merged.payload) == (2, 3, {"a": 1, "b": 2})


def test_a_great_deal_of_work_is_added_at_once(engine: Engine) -> None:
    names = [f"N20251123S{number:04d}.fits" for number in range(1, 2501)]
    add(engine, *names)
    assert sorted(name for name, _ in rows(engine)) == names


def test_adding_while_running_waits_behind_and_is_not_claimed_meanwhile(engine: Engine) -> None:
    add(engine, NAME)
    lease, [first] = claim(engine)
    add(engine, NAME)
    assert claim(engine)[1] == []
    with engine.begin() as connection:
        assert work.complete(connection, lease, [first.id]) == {first.id}
    assert [i.filename for i in claim(engine)[1]] == [NAME]


def test_newest_night_first_live_before_backfill_and_oldest_on_request(engine: Engine) -> None:
    add(engine, "N20200101S0001.fits")
    add(engine, "N20251122S0009.fits", "N20251123S0001.fits")
    add(engine, "N20251124S0001.fits", priority=-10)
    lease = new_lease("test", 60)
    with engine.connect() as connection:
        newest = [i.filename for i in work.claim(connection, "ingest", lease, limit=3)]
        connection.rollback()
        oldest = [i.filename for i in work.claim(connection, "ingest", lease, limit=1, oldest=True)]
        connection.rollback()
    assert newest == ["N20251123S0001.fits", "N20251122S0009.fits", "N20200101S0001.fits"]
    assert oldest == ["N20200101S0001.fits"]


def test_claims_keep_to_the_nights_asked_for(engine: Engine) -> None:
    add(engine, "N20200101S0001.fits", "N20251123S0001.fits", "nodate.fits")
    assert [i.night for i in claim(engine, scope=Scope(("20200101",)))[1]] == ["20200101"]
    assert [i.filename for i in claim(engine, scope=Scope((UNDATED,)))[1]] == ["nodate.fits"]


def test_two_workers_at_once_never_hold_the_same_file(engine: Engine) -> None:
    names = [f"N20251123S{n:04d}.fits" for n in range(200)]
    add(engine, *names)
    claimed: list[str] = []
    gate = threading.Barrier(4)

    def worker() -> None:
        gate.wait()
        while items := claim(engine, limit=7)[1]:
            claimed.extend(i.filename for i in items)

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == names


def test_a_lost_lease_returns_to_the_queue_and_the_late_commit_is_refused(engine: Engine) -> None:
    add(engine, NAME)
    lease, [item] = claim(engine)
    with engine.begin() as connection:
        connection.execute(text("update work_item set lease_expires = now() - interval '1 s'"))
        assert work.reap(connection) == 1
    again, [same] = claim(engine)
    assert (same.id, same.attempts) == (item.id, 2)
    with engine.begin() as connection:
        assert work.complete(connection, lease, [item.id]) == set()
        assert not work.fail(connection, lease, item.id, reason="x", message="x", trace="x")
        assert work.renew(connection, lease, [item.id]) == set()
        assert work.complete(connection, again, [item.id]) == {item.id}
    assert rows(engine) == []


def test_going_back_gives_way_to_what_was_added_meanwhile(engine: Engine) -> None:
    add(engine, NAME, force=True)
    lease, [item] = claim(engine)
    add(engine, NAME)
    with engine.begin() as connection:
        work.postpone(connection, lease, item.id, delay=9, reason="network", message="m", trace="t")
    assert rows(engine) == [(NAME, "waiting")]
    assert claim(engine)[1][0].force is True


def put_aside(connection: Connection, lease: work.Lease, item_id: int) -> None:
    work.defer(connection, lease, item_id, delay=0, reason="young", message="young")


def lose(connection: Connection, lease: work.Lease, item_id: int) -> None:
    connection.execute(text("update work_item set lease_expires = now() - interval '1 hour'"))
    reap(connection)


@pytest.mark.parametrize("back", [put_aside, lose])
def test_going_back_gives_way_to_what_is_added_at_the_same_moment(
    engine: Engine, back: Callable[[Connection, work.Lease, int], None]
) -> None:
    add(engine, NAME, force=True)
    lease, [item] = claim(engine)

    def go_back() -> None:
        with engine.begin() as connection:
            back(connection, lease, item.id)

    with ThreadPoolExecutor(1) as pool, engine.begin() as other:
        work.add_work(other, [NewWork(stage="ingest", filename=NAME)])
        # what goes back cannot see it, and waits for its end
        going = pool.submit(go_back)
        with engine.connect() as connection:
            while not connection.scalar(text("select count(*) from pg_locks where not granted")):
                assert not going.done()
                time.sleep(0.01)
        other.commit()
        going.result(10)
    assert rows(engine) == [(NAME, "waiting")]
    assert claim(engine)[1][0].force


def test_a_failure_is_kept_until_success_and_replaces_older_ones(engine: Engine) -> None:
    for _ in range(2):
        add(engine, NAME)
        lease, [item] = claim(engine)
        with engine.begin() as connection:
            assert work.fail(connection, lease, item.id, reason="not_fits", message="no", trace="tb")
        assert rows(engine) == [(NAME, "failed")]
    add(engine, NAME)
    lease, [item] = claim(engine)
    with engine.begin() as connection:
        work.complete(connection, lease, [item.id])
    assert rows(engine) == []


@pytest.mark.parametrize("waiting_too", [False, True])
def test_retrying_a_failure_makes_exactly_one_waiting_item(engine: Engine, waiting_too: bool) -> None:
    add(engine, NAME)
    lease, [item] = claim(engine, run_id="run-1")
    with engine.begin() as connection:
        work.fail(connection, lease, item.id, reason="not_fits", message="no", trace="tb")
    if waiting_too:
        add(engine, NAME)
    with engine.begin() as connection:
        assert retry_failed(connection, stage="ingest", run_ids=["another"]) == 0
        assert retry_failed(connection, stage="ingest", run_ids=["run-1"]) == int(not waiting_too)
    assert rows(engine) == [(NAME, "waiting")]


def test_deferring_is_no_attempt_and_keeps_what_was_seen(engine: Engine) -> None:
    add(engine, NAME)
    lease, [item] = claim(engine)
    with engine.begin() as connection:
        work.defer(connection, lease, item.id, delay=0, reason="young", message="m", payload={"size": 5})
    _, [again] = claim(engine)
    assert (again.attempts, again.payload) == (1, {"size": 5})


def test_an_item_cannot_run_without_a_lease(engine: Engine) -> None:
    add(engine, NAME)

    def start(connection: Connection) -> None:
        connection.execute(text("update work_item set state = 'running'"))

    with engine.connect() as connection, pytest.raises(Exception, match="work_item_lease"):
        start(connection)


def test_pauses_between_attempts_double_up_to_the_cap() -> None:
    policy = RetryPolicy(base_seconds=5, cap_seconds=300, max_attempts=9)
    longest = [max(policy.delay(n, "network") or 0 for _ in range(200)) for n in range(1, 9)]
    for pause, most in zip(longest, [5, 10, 20, 40, 80, 160, 300, 300], strict=True):
        assert 0.9 * most < pause <= most
    assert policy.delay(9, "network") is None
    assert policy.delay(9, "disk_full") is not None
    assert RetryPolicy(5, 300, None).delay(1000, "network") is not None


def test_background_work_is_claimed_only_by_who_asks_for_it(engine: Engine) -> None:
    add(engine, "N20250110S0001.fits", priority=work.BACKGROUND)
    add(engine, NAME)
    assert [i.filename for i in claim(engine, scope=Scope(urgency=Urgency.LIVE))[1]] == [NAME]
    assert [i.filename for i in claim(engine, scope=Scope(urgency=Urgency.BACKGROUND))[1]] == [
        "N20250110S0001.fits"
    ]
