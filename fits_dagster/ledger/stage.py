"""What a stage is: one kind of work on one file, and how its result becomes durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, MetaData

from fits_dagster.database.own_tables import ensure_tables
from fits_dagster.fits.header_update import HeaderUpdate
from fits_dagster.ledger.items import NewWork, WorkItem
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site

__all__ = [
    "Committed",
    "NewVersion",
    "NightSummary",
    "NotReady",
    "Result",
    "Stage",
    "Subject",
    "pause_after",
]

#: A pause between two looks is so many times as long as a look took, at least.
_PAUSES: Final = 3.0

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
    #: MD5 of the uncompressed data, where it is known: by it the log lines of all sites tell one content.
    content: str = ""


@dataclass(frozen=True)
class NightSummary:
    """What a stage has to tell of whole nights, beyond the files that it has just done."""

    figures: Mapping[str, int]
    #: A table: its name, and its rows.
    title: str = ""
    rows: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class NewVersion:
    """A version of a file that has just been written to the database: what later stages work on."""

    item: WorkItem
    diskfile_id: int
    #: None for a file that has no header record.
    header_id: int | None
    #: How little of it has changed, where that is known.
    header_update: HeaderUpdate | None


class Subject(Enum):
    """What an item of a stage is about, and so what is queued when its nights are to be made again."""

    #: What the store has, whether the database knows it or not: the store is looked through.
    STORED = "stored"
    #: The file that is present, whatever its version.
    FILE = "file"
    #: The current version; ``subject_id`` is its ``diskfile.id``.
    VERSION = "version"
    #: The header record of the current version; ``subject_id`` is its ``header.id``.
    HEADER = "header"


class Stage(ABC, Generic[Result]):
    """One stage of the dataflow: what it does to a file, and all that the rest needs to know of it.

    A stage is an instance that is registered by the entry point group ``fits_dagster.stages``, those of this
    package as well. Everything else is made from what the registry finds: Dagster's assets and jobs, the
    queue page, commands, the services of a deployment, histories, checks, metrics. ``docs/plugins.md`` has an
    example.

    At the least a stage has ``name``, ``title``, ``tab``, ``asset``, ``asset_description``, ``words`` and
    ``duty``, and the methods :meth:`work` and :meth:`commit`. A stage behind ingest names it in ``after``;
    :meth:`work_for` then queues each new version.
    """

    #: Name of the stage and of its queue.
    name: str
    #: Label of its tab on the queue page, and the two letters by which the page's addresses name it.
    title: str
    tab: str
    #: Whether the queue page of every site has the tab, as clients of the page expect.
    always_has_tab = False
    #: Whether the tab lists waiting files by name, the largest first, and not by the time they were added.
    lists_by_name = False
    #: Name of the asset that it makes of a night, and what that is.
    asset: str
    asset_description: str
    #: Stages behind which a file comes here.
    after: Sequence[str] = ()
    #: Of stages that a file reaches at the same time, those that people wait for come first: less is sooner.
    rank = 0
    #: Stage of another site that sends what comes here.
    sent_by: str | None = None
    #: Name of the sensor that asks for runs when files come here from outside, and what it looks for.
    sensor: str = ""
    sensor_description: str = ""
    #: How a file's history says that the file is here: "waits for …".
    words: str
    #: Whether its success means that the file has arrived somewhere.
    is_arrival = False
    #: What its worker does, and the names of its services; without any there is ``service_<name>_queue``.
    duty: str
    services: Sequence[str] = ()
    #: ``queue add`` queues files for it by hand and, where this is given, ``add-to-<command>-queue``.
    command: str = ""
    #: What is queued when it is asked to make something again; None where everything comes from outside.
    subject: Subject | None = Subject.VERSION
    #: Whether a file without a header record has nothing for it; see also :attr:`Subject.HEADER`.
    needs_header = False
    #: Whether engineering files and unfit metadata are left out by hand unless they are asked for.
    leaves_out_unfit = False
    #: Condition on ``diskfile``: the version has what this stage makes. Lets only the missing be queued.
    is_made: ColumnElement[bool] | None = None
    #: Figures of a demonstration, ``{site}`` being the site, each with the outcomes that count; none: all.
    figures: Mapping[str, Sequence[str]] = {}
    #: Switches of a run that makes nights again, with their descriptions.
    switches: Mapping[str, str] = {}
    #: Whether a load without a running system works here too: it needs no other server.
    is_local = True
    #: Whether files come in by it, from outside the site, and need room on its disk.
    takes_in = False
    #: Its own tables, in a database schema of their own, which no migration of this package looks at.
    tables: MetaData | None = None
    #: Whether transient errors never become failures: the partner will come back some day.
    retries_for_ever = False
    #: Whether :meth:`work` may run in several threads at once.
    parallel = True
    #: Results that share a transaction, at most.
    group_size = 32
    #: Seconds between looks (:meth:`watch`) while a run is at this stage; None where all work is announced.
    look_every_s: float | None = None

    def is_part_of(self, site: SiteSettings) -> bool:
        """Tell whether a site has this stage."""
        return True

    def is_on_the_way(self, site: Site) -> bool:
        """Tell whether every file that comes to a site meets this stage there."""
        return True

    def destinations(self, site: SiteSettings) -> Sequence[str]:
        """Return where each file goes, one item each; by default nowhere but here."""
        return ("",)

    def prepare_database(self, connection: Connection) -> None:
        """Make the tables that are missing, in the transaction of the migrations; called by each of them."""
        if self.tables is not None:
            ensure_tables(connection, self.tables)

    def begin(self) -> None:
        """Get ready for files that may come; a process that works at a stage calls this first."""

    def end(self) -> None:
        """Let go of what is kept from file to file; work may begin again after it."""

    def watch(self, site: Site) -> Callable[[], object]:
        """Return what queues what has come from outside the database, each time that it is called.

        It tells whether something has: then its run is asked for at once, not within a second. See
        :attr:`look_every_s`. Who watches for a while asks for it once: it may remember what it has seen.
        """
        return lambda: None

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
        """Write several results in one savepoint; when this fails, they are committed one by one.

        A stage that can write many in fewer statements than one by one does it here.
        """
        return [self.commit(site, connection, item, result) for item, result in group]

    def work_for(self, site: Site, connection: Connection, version: NewVersion) -> Sequence[NewWork]:
        """Return the work here that follows from a new version, where this stage comes behind ingest."""
        item = version.item
        if version.header_id is None and (self.needs_header or self.subject is Subject.HEADER):
            return []
        subjects = {Subject.VERSION: version.diskfile_id, Subject.HEADER: version.header_id}
        return [
            NewWork(
                stage=self.name,
                path=item.path,
                filename=item.filename,
                destination=destination,
                subject_id=subjects.get(self.subject) if self.subject is not None else None,
                priority=item.priority,
            )
            for destination in self.destinations(site.settings)
        ]

    def work_for_all(
        self, site: Site, connection: Connection, versions: Sequence[NewVersion]
    ) -> Sequence[NewWork]:
        """Return what :meth:`work_for` does for each of some versions that came in one transaction."""
        return [work for version in versions for work in self.work_for(site, connection, version)]

    def after_commit(self, site: Site, item: WorkItem, result: Result) -> None:
        """Clean up once the transaction is durable (a staged file, for instance)."""

    def summary(self, site: Site, connection: Connection, nights: Sequence[str]) -> NightSummary | None:
        """Tell of the state of nights that this stage has just worked on; None if there is nothing to say."""
        return None

    def after_failure(self, site: Site, connection: Connection, item: WorkItem, error: BaseException) -> None:
        """Note consequences of a failure beyond this item (a destination that is down)."""


def pause_after(took: float, every: float) -> float:
    """Return the pause until the next look for what has come; a large directory is looked at less often.

    Parameters
    ----------
    took
        Seconds of the last look.
    every
        Seconds between looks that take no time.
    """
    return max(every, _PAUSES * took)
