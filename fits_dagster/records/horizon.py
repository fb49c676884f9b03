"""Until when all that is told of a site's database is told: what still may be written comes later.

A row's time is that of the beginning of the transaction that writes it, so one with an earlier time may
become visible after one with a later time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from fits_dagster.records.queries import QUERIES

__all__ = ["settled_until"]

#: Longest time between a transaction's own time and the moment at which others see that there is one.
_MARGIN_S: Final = 0.2
#: A transaction that has written nothing for so long will not write.
_IDLE_S: Final = 60


def settled_until(connection: Connection) -> datetime:
    """Return the time before which no row will come any more; ends the transaction."""
    until: datetime = connection.execute(
        QUERIES["settled_until"], {"idle": _IDLE_S, "margin": _MARGIN_S}
    ).scalar_one()
    # what is read next must see what has been committed until now
    connection.rollback()
    return until
