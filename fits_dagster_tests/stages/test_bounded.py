"""A worker that has done thousands of files holds no more than one that has done some hundreds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from benchmarks.samples import Sample
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview
from fits_dagster_tests.builders.flow import store_of

FILES = 5_000
PORTION = 250

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Held:
    """What this process and its children hold."""

    memory: int
    descriptors: int
    connections: int
    temporary: int


def held(site: Site) -> Held:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    with site.engine.connect() as connection:
        count = connection.execute(
            text("select count(*) from pg_stat_activity where datname = current_database()")
        )
        connections = int(count.scalar_one())
    return Held(
        sum(each.memory_full_info().uss for each in family),
        sum(each.num_fds() for each in family),
        connections,
        sum("tmp" in path.name for path in store_of(site).rglob("*")),
    )


def test_memory_descriptors_and_connections_stay_flat_over_thousands_of_files(
    archive: Site, night: list[Path]
) -> None:
    smallest = min(night, key=lambda path: path.stat().st_size)
    sample = Sample(smallest.name, smallest.read_bytes())
    seen = []
    for first in range(0, FILES, PORTION):
        paths = sample.write(store_of(archive), range(first + 1, first + PORTION + 1))
        with archive.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename=path.name) for path in paths])
        for stage in (ingest.STAGE, preview.STAGE, associate.STAGE):
            report = drain(archive, stage)
            assert not report.failures
        for path in paths:
            path.unlink()
        seen.append(held(archive))
        print(first + PORTION, seen[-1], flush=True)
    early, late = seen[3], seen[-1]
    assert late.memory < 1.15 * early.memory
    assert late.descriptors <= early.descriptors + 5
    assert late.connections <= early.connections + 1
    assert late.temporary == 0
