"""``/history``: what a reduced file says of its inputs and of the steps of its reduction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import ingest
from fits_dagster_tests.builders.sites import HttpServer

NAME = "N20251123S0001_flat.fits"


def table(name: str, **columns: str) -> fits.BinTableHDU:
    made = [fits.Column(name=key, format="64A", array=np.array([value])) for key, value in columns.items()]
    return fits.BinTableHDU.from_columns(made, name=name)


@pytest.fixture
def reduced(archive: Site, night: list[Path]) -> Callable[[], Path]:
    """Put a reduced file, and the raw one, into the archive."""

    def put() -> Path:
        store = archive.settings.store_directory
        assert store is not None
        with fits.open(night[0]) as hdus:
            hdus[0].header["PROCFLAT"] = "2025-11-24T00:00:00"
            hdus[0].header["PREPARE"] = "2025-11-24T00:00:00"
            hdus.append(
                table(
                    "PROVENANCE",
                    timestamp="2025-11-24 01:00:00.5",
                    filename="N20251123S0001.fits",
                    md5="d41d8",
                    provenance_added_by="prepare",
                )
            )
            hdus.append(
                table(
                    "HISTORY",
                    timestamp_start="2025-11-24T01:00:00",
                    timestamp_stop="2025-11-24T01:00:01",
                    primitive="stackFlats",
                    args='{"operation": "mean"}',
                )
            )
            hdus.writeto(store / NAME)
        (store / night[0].name).write_bytes(night[0].read_bytes())
        with archive.engine.begin() as connection:
            add_work(connection, [NewWork(stage="ingest", filename=each) for each in (NAME, night[0].name)])
        assert drain(archive, ingest.STAGE).done == 2
        with archive.engine.begin() as connection:
            connection.execute(
                text(
                    "update header set reduction = 'PROCESSED_FLAT' from diskfile d "
                    "where d.id = diskfile_id and d.filename = :name"
                ),
                {"name": NAME},
            )
        return store / NAME

    return put


def test_inputs_and_steps_are_told(archive_http: HttpServer, reduced: Callable[[], Path]) -> None:
    path = reduced()
    answer = requests.get(f"{archive_http.url}/history/{NAME}", timeout=10)
    assert answer.text == (
        "--- Inputs ---\n"
        "2025-11-24 01:00:00.500000  N20251123S0001.fits  d41d8  prepare\n"
        "--- Steps ---\n"
        '2025-11-24 01:00:00  2025-11-24 01:00:01  stackFlats  {"operation": "mean"}\n'
    )
    raw = requests.get(f"{archive_http.url}/history/N20251123S0001", timeout=10)
    assert raw.text == "this file is not reduced\n"
    path.unlink()
    assert requests.get(f"{archive_http.url}/history/{NAME}", timeout=10).status_code == 410
    assert requests.get(f"{archive_http.url}/history/none", timeout=10).status_code == 404
