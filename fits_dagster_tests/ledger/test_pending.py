"""How much is left of a backlog, and when it will be done."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.pending import backlogs
from fits_dagster.sites import Site


def test_a_backlog_says_what_is_left_and_when_it_will_be_done(archive: Site) -> None:
    nights = ("20240101", "20240102", "20240103")
    work = [
        NewWork(stage="ingest", filename=f"N{night}S{number:04d}.fits", priority=-10)
        for night in nights
        for number in range(100)
    ]
    with archive.engine.begin() as connection:
        add_work(connection, [*work, NewWork(stage="preview", filename="N20240101S0001.fits")])
        assert [each.stage for each in backlogs(connection)] == ["ingest"]
        [backlog] = backlogs(connection)
        assert (backlog.left, backlog.nights, backlog.oldest) == (300, 3, "20240101")
        assert backlog.seconds is None
        assert str(backlog) == "ingest 300 left of 3 nights, none done in the last minutes"
        connection.execute(
            text(
                "insert into event (stage, path, filename, night, outcome, at) "
                "select 'ingest', '', 'x' || n, '20240101', "
                "case when n > 60 then 'failed' else 'ingested' end, now() from generate_series(1, 90) n"
            )
        )
        [backlog] = backlogs(connection, seconds=60)
        assert backlog.per_s == pytest.approx(1.0)
        assert backlog.seconds == pytest.approx(300)
        assert "60 a minute, done at about 20" in str(backlog)
