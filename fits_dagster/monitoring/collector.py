"""One scrape: each part is looked up by itself, and one that does not answer leaves the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from sqlalchemy import URL, Connection, Engine, TextClause, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fits_dagster import __version__
from fits_dagster.database.server import RUN_LOCKS
from fits_dagster.ledger.management import paused_stages
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.monitoring.catalogue import METRICS
from fits_dagster.monitoring.disks import disks_of, site_directories
from fits_dagster.monitoring.progress import Progress
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.stages.registry import stages_of

__all__ = ["SiteMetrics"]

log = logging.getLogger(__name__)

#: A scrape within this time of another one gets the same answer.
_FRESH_S: Final = 5.0
_CONNECT_S: Final = 2
_QUESTION_MS: Final = 2000
_UNDER_WAY: Final = ("not_started", "queued", "starting", "started", "canceling")
_ENDED: Final = ("success", "failure", "canceled")


class SiteMetrics:
    """The metrics of a site."""

    def __init__(
        self,
        site: Site,
        *,
        dagster_url: URL | None = None,
        count_workers: Callable[[], int | None] | None = None,
        fresh_seconds: float = _FRESH_S,
    ) -> None:
        """Prepare to look; nothing is asked yet.

        Parameters
        ----------
        dagster_url
            Dagster's database; None leaves its runs out.
        count_workers
            Counts the workers at the broker, None where that cannot be told; not given: left out.
        """
        self._site = site
        self._stages = [stage.name for stage in stages_of(site.settings)]
        self._engine = _patient_engine(site.engine.url)
        self._dagster = None if dagster_url is None else _patient_engine(dagster_url)
        self._count_workers = count_workers
        self._directories = site_directories(site.settings)
        self._progress = Progress(self._engine, self._stages)
        self._fresh_s = fresh_seconds
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._lock = threading.Lock()
        self._answer = b""
        self._answered_at = float("-inf")

    def begin(self) -> None:
        """Count what the stages do from now on; if the database does not answer, from the first scrape."""
        try:
            self._progress.begin()
        except (DBAPIError, PoolTimeoutError) as error:
            log.warning("the counters begin later: %s", error)

    def scrape(self) -> bytes:
        """Return all metrics as text; however many ask, it is looked once in some seconds."""
        with self._lock:
            if time.monotonic() - self._answered_at >= self._fresh_s:
                self._answer = generate_latest(self._registry)
                self._answered_at = time.monotonic()
            return self._answer

    def close(self) -> None:
        """Let go of the databases."""
        self._engine.dispose()
        if self._dagster is not None:
            self._dagster.dispose()

    def describe(self) -> list[Family]:
        """Name nothing in advance: the registry would look at everything for it."""
        return []

    def collect(self) -> Iterator[Family]:
        """Look at every part, one after the other."""
        yield _gauges("fits_dagster_build_info", {(__version__,): 1})
        up: dict[tuple[str, ...], float] = {}
        for name, look in self._parts().items():
            try:
                families = list(look())
                up[(name,)] = 1
            except (DBAPIError, PoolTimeoutError, OSError) as error:
                log.warning("metrics: %s does not answer: %s", name, str(error).splitlines()[0])
                families, up[(name,)] = [], 0
            yield from families
        # what has been counted so far is told even if nothing more can be
        yield from self._counters()
        yield _gauges("fits_dagster_part_up", up)

    def _parts(self) -> Mapping[str, Callable[[], Iterator[Family]]]:
        parts = {
            "queues": self._queues,
            "events": self._events,
            "disks": self._disk_space,
        }
        if self._dagster is not None:
            parts["dagster"] = self._runs
        if self._count_workers is not None:
            parts["broker"] = self._workers
        return parts

    def _queues(self) -> Iterator[Family]:
        asked = {"stages": self._stages}
        states = ("due", "running", "retrying", "deferred", "failed")
        destinations = list(self._site.settings.export_destinations)
        with self._engine.connect() as connection:
            rows = {row["stage"]: row for row in connection.execute(LEDGER["queue_counts"], asked).mappings()}
            paused = paused_stages(connection)
            alerts = _numbers(connection, LEDGER["alerts_by_kind"])
            rows_of = connection.execute(LEDGER["destination_states"], {"urls": destinations})
            answers = {url: up for url, up in rows_of}
        files = {(stage, state): rows[stage][state] if stage in rows else 0
                 for stage in self._stages for state in states}  # fmt: skip
        yield _gauges("fits_dagster_queue_files", files)
        yield _gauges(
            "fits_dagster_queue_oldest_seconds",
            {(stage,): _age(rows[stage]["oldest"]) if stage in rows else 0 for stage in self._stages},
        )
        yield _gauges("fits_dagster_stage_paused", {(stage,): stage in paused for stage in self._stages})
        yield _gauges("fits_dagster_alerts", alerts)
        yield _gauges("fits_dagster_destination_up", {(url,): answers.get(url, True) for url in destinations})

    def _events(self) -> Iterator[Family]:
        self._progress.update()
        yield from ()

    def _counters(self) -> Iterator[Family]:
        done = self._progress
        yield _counters("fits_dagster_stage_files_total", done.files)
        yield _counters("fits_dagster_stage_bytes_total", {(s,): n for s, n in done.bytes.items()})
        yield _counters("fits_dagster_stage_seconds_total", {(s,): n for s, n in done.seconds.items()})
        metric = METRICS["fits_dagster_latency_seconds"]
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for stage, latencies in done.latencies.items():
            family.add_metric([stage], latencies.buckets(), latencies.total)
        yield family

    def _runs(self) -> Iterator[Family]:
        assert self._dagster is not None
        with self._dagster.connect() as connection:
            at_work = connection.scalar(RECORDS["runs_at_work"], {"run_locks": RUN_LOCKS})
            yield _gauges("fits_dagster_runs_at_work", {(): at_work or 0})
            under_way: dict[tuple[str, ...], int] = {(state,): 0 for state in _UNDER_WAY}
            yield _gauges("fits_dagster_runs", under_way | _numbers(connection, RECORDS["runs_by_state"]))
            ended: dict[tuple[str, ...], int] = {(state,): 0 for state in _ENDED}
            yield _gauges("fits_dagster_runs_last_hour", ended | _numbers(connection, RECORDS["runs_ended"]))

    def _workers(self) -> Iterator[Family]:
        assert self._count_workers is not None
        number = self._count_workers()
        yield _gauges("fits_dagster_workers", {} if number is None else {(): number})

    def _disk_space(self) -> Iterator[Family]:
        found = {
            (name, str(self._directories[name])): figures
            for name, figures in disks_of(self._directories).items()
        }
        yield _gauges("fits_dagster_disk_up", {place: disk is not None for place, disk in found.items()})
        known = {place: disk for place, disk in found.items() if disk is not None}
        yield _gauges("fits_dagster_disk_free_bytes", {place: disk.free for place, disk in known.items()})
        yield _gauges("fits_dagster_disk_size_bytes", {place: disk.size for place, disk in known.items()})


def _patient_engine(url: URL) -> Engine:
    """Open an engine of one connection: scrapes cannot take those that people need, nor wait for long."""
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=_CONNECT_S,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_S,
            "options": f"-c timezone=UTC -c jit=off -c statement_timeout={_QUESTION_MS}",
            "application_name": "fits_dagster metrics",
        },
    )


def _numbers(connection: Connection, question: TextClause) -> dict[tuple[str, ...], int]:
    return {(row[0],): row[1] for row in connection.execute(question)}


def _gauges(name: str, values: Mapping[Any, float]) -> Family:
    metric = METRICS[name]
    return _filled(GaugeMetricFamily(name, metric.help, labels=metric.labels), values)


def _counters(name: str, values: Mapping[Any, float]) -> Family:
    metric = METRICS[name]
    return _filled(CounterMetricFamily(name, metric.help, labels=metric.labels), values)


def _filled(family: Any, values: Mapping[Sequence[str], float]) -> Family:
    for labels, value in values.items():
        family.add_metric(list(labels), float(value))
    filled: Family = family
    return filled


def _age(moment: datetime | None) -> float:
    return (datetime.now(UTC) - moment).total_seconds() if moment is not None else 0.0
