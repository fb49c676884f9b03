"""Match keys of all current headers written anew: after a change of the rules."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Engine, text

from fits_dagster.calibration.concerned import as_work, hold_barrier
from fits_dagster.calibration.match_keys import index_headers
from fits_dagster.ledger.items import BACKGROUND, add_work

__all__ = ["count_current_headers", "rebuild_match_keys"]

_COUNT_HEADERS = text("select count(*) from header h join diskfile d on d.id = h.diskfile_id and d.canonical")
_NEXT_HEADERS = text("""
select h.id, d.path, d.filename from header h join diskfile d on d.id = h.diskfile_id and d.canonical
where h.id > :after order by h.id limit :limit
""")


def rebuild_match_keys(engine: Engine, *, batch: int = 500) -> Iterator[int]:
    """Write the offers and needs of all current headers anew, and queue their associations in the background.

    Each batch is a transaction; what was done stays when it is interrupted, and files may be ingested
    meanwhile.

    Yields
    ------
    int
        Number of headers of each batch that is done.
    """
    after = 0
    while True:
        with engine.begin() as connection:
            hold_barrier(connection)
            rows = connection.execute(_NEXT_HEADERS, {"after": after, "limit": batch}).all()
            if not rows:
                return
            index_headers(connection, [row.id for row in rows])
            add_work(connection, as_work({row.id: (row.path, row.filename) for row in rows}, BACKGROUND))
        after = rows[-1].id
        yield len(rows)


def count_current_headers(connection: Connection) -> int:
    """Return the number of headers that :func:`rebuild_match_keys` would go through."""
    return int(connection.scalar(_COUNT_HEADERS) or 0)
