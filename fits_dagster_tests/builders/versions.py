"""Versions of files with headers and match keys, as ingest leaves them, without the stage around them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from fits_dagster.calibration.concerned import follow_ups
from fits_dagster.ledger.items import NewWork
from fits_dagster.records.instruments import INSTRUMENT_TABLES
from fits_dagster.records.tables import calcache, diskfile, file, header

__all__ = ["Archive"]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass
class Archive:
    """Headers come and go as they do at ingest."""

    connection: Connection
    names: dict[int, str] = field(default_factory=dict)
    _clock: Iterator[int] = field(default_factory=itertools.count)

    def insert(
        self,
        name: str,
        record: Mapping[str, Any],
        table: str | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
    ) -> int:
        """Insert the next version of a file; the older ones are demoted. Returns its header."""
        run = self.connection.execute
        file_id = run(select(file.c.id).where(file.c.name == name)).scalar()
        if file_id is None:
            file_id = run(insert(file).values(name=name).returning(file.c.id)).scalar_one()
        older = update(diskfile).where(diskfile.c.file_id == file_id).values(present=False, canonical=False)
        run(older)
        moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._clock))
        version = {
            "file_id": file_id,
            "filename": name,
            "path": "",
            "present": True,
            "canonical": True,
            "file_md5": "",
            "file_size": 0,
            "lastmod": moment,
            "entrytime": moment,
            "compressed": False,
            "data_md5": "",
            "data_size": 0,
        }
        diskfile_id = run(insert(diskfile).values(version).returning(diskfile.c.id)).scalar_one()
        known = {key: value for key, value in record.items() if key in header.c}
        moment_ut = known.get("ut_datetime")
        if moment_ut is not None and moment_ut.tzinfo is None:
            known["ut_datetime"] = moment_ut.replace(tzinfo=UTC)
        if known.get("ut_datetime") is not None:
            known["ut_datetime_secs"] = int((known["ut_datetime"] - _EPOCH).total_seconds())
        values = {"diskfile_id": diskfile_id, **known}
        header_id = int(run(insert(header).values(values).returning(header.c.id)).scalar_one())
        for row in rows if table else ():
            run(insert(INSTRUMENT_TABLES[str(table)]).values({"header_id": header_id, **row}))
        self.names[header_id] = name
        return header_id

    def arrive(
        self,
        name: str,
        record: Mapping[str, Any],
        table: str | None = None,
        rows: Sequence[Mapping[str, Any]] = (),
        *,
        others_later: bool = False,
    ) -> tuple[int, list[NewWork]]:
        """Insert a version and index it, as ingest does; of background work with `others_later`."""
        header_id = self.insert(name, record, table, rows)
        return header_id, follow_ups(self.connection, [header_id], others_later=others_later)

    def cached(self) -> dict[str, dict[str, list[str]]]:
        """Return the cache: target, type, names in rank order."""
        rows = self.connection.execute(
            select(calcache.c.obs_hid, calcache.c.caltype, calcache.c.cal_hid).order_by(
                calcache.c.obs_hid, calcache.c.caltype, calcache.c.rank
            )
        )
        found: dict[str, dict[str, list[str]]] = {}
        for target, caltype, calibration in rows:
            found.setdefault(self.names[target], {}).setdefault(caltype, []).append(self.names[calibration])
        return found
