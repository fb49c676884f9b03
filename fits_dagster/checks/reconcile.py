"""Expected against arrived: where each file of a night is, from the DHS directory to the destinations.

At the summit a file is expected when the DHS directory has it, or had it when it was copied, or when the
database knows it. At the archive it is expected when it was uploaded. This is about raw files, at the top of
the store; what lies in directories has a life of its own. Nothing is opened; it takes a listing,
a few queries, and a few requests to each destination.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from fits_dagster.destinations.base import DestinationDownError, Holding, open_destination
from fits_dagster.fits.names import trimmed
from fits_dagster.intake.dhs import dhs_entries
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import night_label
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.sites import Site
from fits_dagster.stages.registry import arrivals, stages_of, way_to

__all__ = ["COMPLETE", "ExpectedFile", "NightReport", "night_reports"]

#: State of a file that is where it should be, with the right content.
COMPLETE: Final = "complete"
#: A DHS file younger than this, seconds, is not expected yet.
_YOUNG_S: Final = 60.0
#: A file that a stage has let go within this time, seconds, may still be on its way at the other site.
_RECENT_S: Final = 300.0
#: Letters of an MD5 that are shown.
_SHOWN: Final = 8


@dataclass(frozen=True)
class ExpectedFile:
    """One file of a night."""

    name: str
    night: str
    #: ``complete``, or what is missing: ``not_copied``, ``not_stored``, ``not_ingested``,
    #: ``not_at_destination``, ``altered`` (content differs from what came), ``different_there``,
    #: ``not_in_store``, ``different_in_store`` (size).
    state: str
    #: In words: where, and which contents.
    detail: str = ""
    #: The stage on whose queue it is, and the state there; empty when it is on none.
    queue: str = ""
    #: Whether a stage had it in hand a moment ago.
    recent: bool = False
    #: What each place has of it: ``dhs`` or ``upload``, ``database``, ``store`` where it was looked at, and
    #: the destinations by their address. The first letters of an MD5, ``yes``, or empty.
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_on_its_way(self) -> bool:
        """Whether it will come further by itself, as far as can be known here."""
        return "failed" not in self.queue and (bool(self.queue) or self.recent)


@dataclass(frozen=True)
class NightReport:
    """The files of a night."""

    night: str
    files: Sequence[ExpectedFile]
    #: Destinations that did not answer, with the reason; nothing is said about them.
    unanswered: Mapping[str, str]
    #: Names that hold the same data, where several do; all are kept.
    same_content: Sequence[Sequence[str]] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of files by state."""
        return Counter(file.state for file in self.files)

    @property
    def incomplete(self) -> Sequence[ExpectedFile]:
        """Files that are not where they should be."""
        return [file for file in self.files if file.state != COMPLETE]

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {
            "night": self.night,
            "expected": len(self.files),
            "counts": dict(self.counts),
            "incomplete": [vars(file) for file in self.incomplete],
            "unanswered": dict(self.unanswered),
            "same_content": [list(names) for names in self.same_content],
        }


@dataclass
class _Known:
    """What a site knows of one name."""

    at_source: bool = False
    #: MD5 of what came, as bytes: of the copied DHS file, or of the upload.
    came_md5: str | None = None
    #: Whether the bytes that came are those of some version.
    came_is_a_version: bool = False
    present_md5: str | None = None
    #: Key and size of what should be in the store.
    stored_as: tuple[str, int] | None = None
    #: Size of what is there; None where it is not.
    size_in_store: int | None = None
    #: It was removed on purpose: there is a current version that is not present.
    removed: bool = False
    queue: str = ""
    recent: bool = False


def night_reports(site: Site, nights: Collection[str], *, with_store: bool = False) -> list[NightReport]:
    """Tell for nights which files are expected and which have arrived.

    Parameters
    ----------
    nights
        Night labels.
    with_store
        Look at each file in the store as well.

    Returns
    -------
    list of NightReport
        By night, in order.

    Raises
    ------
    OSError
        The DHS directory cannot be read.
    """
    wanted = sorted(set(nights))
    known = _known(site, wanted)
    there, unanswered = _ask_destinations(site, known)
    if with_store:
        for each in known.values():
            if each.stored_as is not None:
                info = site.store.stat(each.stored_as[0])
                each.size_in_store = None if info is None else info.size
    files: dict[str, list[ExpectedFile]] = {night: [] for night in wanted}
    for name in sorted(known):
        night = night_label(name)
        if night not in files:
            continue
        entry, held = known[name], {url: each.get(name, ()) for url, each in there.items()}
        state, detail = _judge(site, entry, held)
        if state == COMPLETE and with_store:
            state, detail = _judge_store(entry, detail)
        places = _places(site, entry, held, with_store=with_store)
        files[night].append(ExpectedFile(name, night, state, detail, entry.queue, entry.recent, places))
    return [NightReport(night, each, unanswered, _same_content(known, each)) for night, each in files.items()]


def _same_content(known: Mapping[str, _Known], files: Sequence[ExpectedFile]) -> Sequence[Sequence[str]]:
    names: dict[str, list[str]] = {}
    for each in files:
        if (md5 := known[each.name].present_md5) is not None:
            names.setdefault(md5, []).append(each.name)
    return [alike for alike in names.values() if len(alike) > 1]


def _known(site: Site, nights: Sequence[str]) -> Mapping[str, _Known]:
    known: dict[str, _Known] = {}

    def about(filename: str) -> _Known:
        return known.setdefault(trimmed(filename), _Known())

    summit = site.settings.dhs_directory is not None
    for name in _dhs_names(site, nights):
        about(name).at_source = True
    pattern, labels = {"nights": "|".join(nights) or "^$"}, {"labels": list(nights)}
    stages = stages_of(site.settings)
    way = [stage.name for stage in way_to(stages, arrivals(site.settings)[-1])]
    with site.engine.connect() as connection:
        for name, md5 in connection.execute(
            LEDGER["landed_files"] if summit else LEDGER["uploaded_files"], labels
        ):
            about(name).came_md5 = md5
        _add_versions(connection, nights, about)
        for name, stage, state, reason in connection.execute(
            LEDGER["items_of_nights"], {**pattern, "stages": way}
        ):
            about(name).queue = f"{stage} {state}" + (f" ({reason})" if reason else "")
        for name in connection.scalars(LEDGER["recent_files"], {**pattern, "recent": _RECENT_S}):
            about(name).recent = True
    return known


def _add_versions(connection: Connection, nights: Sequence[str], about: Any) -> None:
    for row in connection.execute(RECORDS["versions_of_nights"], {"labels": list(nights)}):
        entry = about(row.filename)
        if entry.came_md5 == row.file_md5:
            entry.came_is_a_version = True
        if row.present:
            entry.present_md5 = row.data_md5
            entry.stored_as = row.filename, row.file_size
            entry.removed = False
        elif row.canonical:
            entry.removed = True


def _dhs_names(site: Site, nights: Collection[str]) -> list[str]:
    """List the DHS files of nights, without those that were written a moment ago."""
    now = time.time()
    return [
        entry.name
        for entry in dhs_entries(site)
        if (entry.fault is None or entry.fault.reason == "unsafe_name")
        and night_label(entry.name) in nights
        and not 0 <= now - entry.mtime_ns / 1e9 < _YOUNG_S
    ]


def _ask_destinations(
    site: Site, known: Mapping[str, _Known]
) -> tuple[Mapping[str, Mapping[str, Sequence[Holding]]], Mapping[str, str]]:
    names = [name for name, entry in known.items() if entry.present_md5 is not None]
    there: dict[str, Mapping[str, Sequence[Holding]]] = {}
    unanswered: dict[str, str] = {}
    for url in site.settings.export_destinations:
        try:
            there[url] = open_destination(url, site.settings).holdings(names)
        except DestinationDownError as error:
            unanswered[url] = str(error)
    return there, unanswered


def _judge(site: Site, entry: _Known, there: Mapping[str, Sequence[Holding]]) -> tuple[str, str]:
    if entry.came_md5 is None and entry.at_source:
        return "not_copied", "it is in the DHS directory only"
    if entry.present_md5 is None:
        if entry.removed:
            return COMPLETE, "removed here"
        return "not_ingested" if site.settings.dhs_directory is not None else "not_stored", "no version"
    if entry.came_md5 is not None and not entry.came_is_a_version:
        if entry.queue:
            return "not_ingested", "a newer version has come"
        return "altered", f"no version has the MD5 {entry.came_md5} that came"
    for url, held in there.items():
        if not held:
            return "not_at_destination", url
        if entry.present_md5 not in {each.data_md5 for each in held}:
            return "different_there", f"{url} has MD5 {held[0].data_md5}, here it is {entry.present_md5}"
    return COMPLETE, ""


def _judge_store(entry: _Known, detail: str) -> tuple[str, str]:
    if entry.stored_as is None or entry.size_in_store == entry.stored_as[1]:
        return COMPLETE, detail
    if entry.size_in_store is None:
        return "not_in_store", f"{entry.stored_as[0]} is not in the store"
    return "different_in_store", f"{entry.size_in_store} bytes in the store instead of {entry.stored_as[1]}"


def _places(
    site: Site, entry: _Known, there: Mapping[str, Sequence[Holding]], *, with_store: bool
) -> Mapping[str, str]:
    """Tell what each place has of a file, in the order of its way."""
    came = entry.came_md5[:_SHOWN] if entry.came_md5 else ""
    if site.settings.dhs_directory is not None:
        places = {"dhs": "yes" if entry.at_source else "", "copied": came}
    else:
        places = {"upload": came}
    if with_store:
        places["store"] = "" if entry.size_in_store is None else f"{entry.size_in_store} bytes"
    places["database"] = "removed" if entry.removed else (entry.present_md5 or "")[:_SHOWN]
    return places | {url: ", ".join(each.data_md5[:_SHOWN] for each in held) for url, held in there.items()}
