"""Until when all that is told of a site's database is told: what still may be written comes later.

A row's time is that of the beginning of the transaction that writes it, so one with an earlier time may
become visible after one with a later time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

__all__ = ["settled_until"]

#: Longest time between a transaction's own time and the moment at which others see that there is one.
_MARGIN_S: Final = 0.2
#: A transaction that has written nothing for so long will not write.
_IDLE_S: Final = 60

# of other databases of the server the transactions do not matter; our own reads only
_OLDEST = text("""
select least(clock_timestamp() - make_interval(secs => :margin), min(xact_start)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and (backend_xid is not null or xact_start > clock_timestamp() - make_interval(secs => :idle))
""")


def settled_until(connection: Connection) -> datetime:
    """Return the time before which no row will come any more; ends the transaction."""
    until: datetime = connection.execute(_OLDEST, {"idle": _IDLE_S, "margin": _MARGIN_S}).scalar_one()
    # what is read next must see what has been committed until now
    connection.rollback()
    return until
