"""What a stage is: one kind of work on one file, and how its result becomes durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from fits_dagster.ledger.items import NewWork, WorkItem
from fits_dagster.sites import Site

__all__ = ["Committed", "NightSummary", "NotReady", "Result", "Stage"]

Result = TypeVar("Result")


class NotReady(Exception):
    """The file cannot be worked on yet; it goes back to its queue and this is no failed attempt."""

    def __init__(
        self, reason: str, message: str, *, delay: float, payload: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.delay = delay
        self.payload = dict(payload or {})


@dataclass(frozen=True)
class Committed:
    """What the end of a stage means for one file."""

    #: One word for the history: ``copied``, ``ingested``, ``unchanged`` …
    outcome: str
    #: Work that begins now, committed in the same transaction.
    follow_ups: Sequence[NewWork] = field(default=())
    #: Bytes of the file, for figures.
    size: int = 0
    detail: str = ""


@dataclass(frozen=True)
class NightSummary:
    """What a stage has to tell of whole nights, beyond the files that it has just done."""

    figures: Mapping[str, int]
    #: A table: its name, and its rows.
    title: str = ""
    rows: Sequence[Mapping[str, str]] = ()


class Stage(ABC, Generic[Result]):
    """One stage of the dataflow."""

    #: Name of the stage and of its queue.
    name: str
    #: Whether :meth:`work` may run in several threads at once.
    parallel = True
    #: Results that share a transaction, at most.
    group_size = 16
    #: Seconds between calls of :meth:`look` while a run is at this stage; None where all work is announced.
    look_every_s: float | None = None
    #: Whether :meth:`commit_group` writes many results in fewer statements than one by one.
    commits_groups = False

    def is_on_the_way(self, site: Site) -> bool:
        """Tell whether every file that comes to a site meets this stage there."""
        return True

    def begin(self) -> None:
        """Get ready for files that may come; a process that works at a stage calls this first."""

    def end(self) -> None:
        """Let go of what is kept from file to file; work may begin again after it."""

    def look(self, site: Site) -> None:
        """Queue what has come from outside the database; see :attr:`look_every_s`."""

    def prepare(self, site: Site, connection: Connection, items: Sequence[WorkItem]) -> Mapping[int, Any]:
        """Look up in one query what the batch needs from the database, by item id."""
        return {}

    @abstractmethod
    def work(self, site: Site, item: WorkItem, known: Any) -> Result:
        """Do the work on one file, without the database.

        Raises
        ------
        NotReady
            Not yet; later.
        Exception
            The work failed; :func:`fits_dagster.errors.describe_error` tells how.
        """

    @abstractmethod
    def commit(self, site: Site, connection: Connection, item: WorkItem, result: Result) -> Committed:
        """Write the result of one file on the caller's transaction, inside a savepoint of its own."""

    def commit_group(
        self, site: Site, connection: Connection, group: Sequence[tuple[WorkItem, Result]]
    ) -> Sequence[Committed]:
        """Write several results at once. When this fails, they are committed one by one."""
        return [self.commit(site, connection, item, result) for item, result in group]

    def after_commit(self, site: Site, item: WorkItem, result: Result) -> None:
        """Clean up once the transaction is durable (a staged file, for instance)."""

    def summary(self, site: Site, connection: Connection, nights: Sequence[str]) -> NightSummary | None:
        """Tell of the state of nights that this stage has just worked on; None if there is nothing to say."""
        return None

    def after_failure(self, site: Site, connection: Connection, item: WorkItem, error: BaseException) -> None:
        """Note consequences of a failure beyond this item (a destination that is down)."""
