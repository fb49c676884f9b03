"""Work on a file that may have killed its workers: in a process of its own, which is all it kills."""

from __future__ import annotations

import ctypes
import pickle
import signal
import sys
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import URL, create_engine

from fits_dagster.errors import DataflowError, FileError, Retry, describe_error
from fits_dagster.fits.guarded import Guard
from fits_dagster.fits.readers import Readers
from fits_dagster.ledger.items import WorkItem
from fits_dagster.ledger.leases import KILLED_ITS_WORKER
from fits_dagster.ledger.stage import NotReady, Stage
from fits_dagster.settings import SiteName, SiteSettings, WorkSettings
from fits_dagster.sites import Site
from fits_dagster.storage import open_store

__all__ = ["work_alone"]

#: Longest time of the work on one such file, seconds.
_SECONDS: Final = 3600.0
#: Limit of its process's address space, bytes; readers of headers and pixels have lower ones of their own.
_MEMORY: Final = 16 << 30
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class _Order:
    """What the process needs: a stage works without the database, which is named but never asked."""

    stage: type[Stage[Any]]
    site: SiteName
    settings: SiteSettings
    work: WorkSettings
    database: URL
    item: WorkItem
    known: Any


@dataclass(frozen=True)
class _Said:
    """How the work ended."""

    result: Any = None
    not_ready: tuple[str, str, float, dict[str, Any]] | None = None
    error: Exception | None = None
    #: Of an error that cannot travel: reason, retry class, text.
    failure: tuple[str, Retry, str] | None = None


def work_alone(site: Site, stage: Stage[Any], item: WorkItem, known: Any) -> Any:
    """Do a stage's work on one file in a process of its own; returns what the stage returns.

    Raises
    ------
    FileError
        The process died, or did not end (``killed_its_worker``).
    NotReady, Exception
        What the stage raised.
    """

    def killed(message: str, *, reason: str) -> FileError:
        return FileError(
            f"{item.deaths} workers died with this file in hand, and then it was taken alone: {message}",
            reason=KILLED_ITS_WORKER,
        )

    order = _Order(type(stage), site.name, site.settings, site.work, site.engine.url, item, known)
    with Guard(seconds=_SECONDS, readers=Readers(_MEMORY), error=killed, ended=killed) as guard:
        said = guard.call(_carry_out, order)
    if said.not_ready is not None:
        reason, message, delay, payload = said.not_ready
        raise NotReady(reason, message, delay=delay, payload=payload)
    if said.failure is not None:
        reason, retry, message = said.failure
        error = DataflowError(message, reason=reason)
        error.retry = retry
        raise error
    if said.error is not None:
        raise said.error
    return said.result


def _carry_out(order: _Order) -> _Said:
    """Do the work, in the process that was made for it."""
    _end_with_parent()
    site = Site(
        name=order.site,
        settings=order.settings,
        work=order.work,
        engine=create_engine(order.database),
        store=open_store(order.settings),
    )
    stage = order.stage()
    try:
        return _Said(stage.work(site, order.item, order.known))
    except NotReady as later:
        return _Said(not_ready=(later.reason, str(later), later.delay, later.payload))
    except Exception as error:  # it is the parent that decides what follows
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, a moment ago
        except Exception:
            reason, retry, line, _ = describe_error(error)
            return _Said(failure=(reason, retry, line))
        return _Said(error=error)
    finally:
        stage.end()


def _end_with_parent() -> None:
    """Ask the system to end this process with the thread that waits for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
