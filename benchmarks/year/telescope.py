"""The telescope of the year: it gives files, plays the people, and watches what comes of them."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sqlalchemy import text

from benchmarks.relay import Relay
from benchmarks.year.expected import Book, Expected, body_md5, verify
from benchmarks.year.given import Given, left_of
from benchmarks.year.meters import Meters
from benchmarks.year.options import Year
from benchmarks.year.parts import Part
from benchmarks.year.plan import NightPlan, YearPlan, broken, content, rewritten
from benchmarks.year.upkeep import Morning, opened_instance
from fits_dagster.fits.names import trimmed
from fits_dagster.headers.request import RefusedItemError, read_item
from fits_dagster.headers.updates import queue_edit
from fits_dagster.ledger.queries import QUERIES as LEDGER
from fits_dagster.nights import Night
from fits_dagster.simulator import PlannedFrame
from fits_dagster.sites import Site, opened_site
from fits_dagster.system.up import System

__all__ = ["Telescope"]

#: Nights after which the telescope's directory is cleared, and nobody changes a file any more; and so many
#: more than those that may be on their way.
_SETTLED_NIGHTS: Final = 5
_SETTLING_NIGHTS: Final = 3
#: A year in which nothing moves for this long has failed, seconds.
_PATIENCE_S: Final = 240.0
_LOOK_EVERY_S: Final = 0.5
#: A look at what has arrived may take so much of the time, as it is at the system's cost.
_LOOKING_SHARE: Final = 0.04
_SUPERVISE_EVERY_S: Final = 1.0
_WHO: Final = "simulate-year"
#: States that no file has when it comes, with their cards.
_QA: Final = {"pass": ("USABLE", "YES"), "usable": ("USABLE", "NO"), "fail": ("BAD", "NO")}
_UNFINISHED = text(
    "select stage, filename, state, reason from work_item where state in ('waiting', 'running')"
)


class _TimedOutError(Exception):
    """Nothing has moved for too long."""


class Telescope:
    """Gives files to a system, plays the people, and watches."""

    def __init__(self, system: System, network: Relay, year: Year, part: Part, console: Console) -> None:
        self.system, self.network, self.year, self.console = system, network, year, console
        self.part = part
        options = year.options
        self.plan = YearPlan(
            options.first_night, options.nights, options.files_per_night, options.seed, options.chances
        )
        directory = system.settings.summit.dhs_directory
        assert directory is not None
        self.dhs = directory
        self.book = Book(system.settings.home / "expected.jsonl", goes_on=part.night > 0)
        #: Nights of which something may still change, the oldest first.
        self.given: deque[Given] = deque()
        #: What comes later, by the number of the night in which it does.
        self.later: dict[int, list[PlannedFrame]] = {}
        self._supervised = 0.0
        self._next_look = 0.0
        self._timer: threading.Timer | None = None

    def run(self) -> Part:
        """Give the nights that are left, wait until all have settled, and compare; tell how far it came."""
        options = self.year.options
        with ExitStack() as held:
            self.sites: Mapping[str, Site] = {
                name: held.enter_context(opened_site(self.system.settings, name))
                for name in self.system.settings.sites
            }
            instance = held.enter_context(opened_instance(self.system))
            self.meters = Meters(self.system, self.sites, self.year.stretches)
            held.callback(self.meters.close)
            held.callback(self.book.close)
            held.callback(self._mend)
            self.morning = Morning(
                self.system.settings,
                self.sites,
                instance,
                self.meters,
                options.keep_nights,
                began=dict(self.part.began),
                runs_pruned=self.part.runs_pruned,
                removed=self.part.removed,
                findings=list(self.part.findings),
            )
            self.year.findings = self.morning.findings
            progress = held.enter_context(_progress(self.console))
            number = self.part.night - 1
            task = progress.add_task("nights", total=options.nights, completed=self.part.night, what="")
            try:
                began = time.monotonic()
                for number in range(self.part.night, options.nights):
                    progress.update(task, what=str(Night(options.first_night + timedelta(days=number))))
                    is_late = options.minutes is not None and time.monotonic() - began > options.minutes * 60
                    is_last = is_late or self.year.is_to_end or number == options.nights - 1
                    self._night(number, is_last=is_last)
                    progress.advance(task)
                    if is_last:
                        break
                self._finish(progress)
            except _TimedOutError:
                self.year.timed_out = True
                self.meters.end()
                self._compare(progress)
            except KeyboardInterrupt:
                self.meters.end()
                raise
            for given in self.given:
                self._remove(given)
            morning = self.morning
            return Part(
                number + 1, morning.began, morning.runs_pruned, morning.removed, tuple(morning.findings)
            )

    def _night(self, number: int, *, is_last: bool) -> None:
        plan, options = self.plan.night(number), self.year.options
        if number % self.year.options.row_nights == 0 or number == self.part.night:
            if number != self.part.night:
                self.meters.end()
            self.meters.begin(str(plan.night))
        self._wait(lambda: len(found := self._on_their_way()) >= options.ahead and found, "earlier nights")
        self.morning.began[plan.night] = datetime.now(UTC)
        given = Given(plan.night)
        self.given.append(given)
        began = time.monotonic()
        dawn = datetime.combine(plan.night.day, datetime.min.time(), UTC) + timedelta(hours=18)
        if plan.outage_s:
            self._cut(plan.outage_s)
        for frame in plan.frames:
            self._until(began, frame.ut, dawn)
            if frame.filename in plan.late:
                self.later.setdefault(number + plan.late[frame.filename], []).append(frame)
                self.year.deeds["calibrations that came late"] += 1
            else:
                self._give(given, frame, plan)
            self._look()
        for frame in self.later.pop(number, ()):
            self._give(given, frame, None)
        if is_last:
            for frames in self.later.values():
                for frame in frames:
                    self._give(given, frame, None)
            self.later.clear()
        given.is_whole = True
        self._until(began, dawn, dawn)
        self._by_hand(number, plan, given)
        self.morning.do(number, plan.night)
        while len(self.given) > max(_SETTLED_NIGHTS, options.ahead + _SETTLING_NIGHTS):
            oldest = [self.given[0]]
            self._wait(partial(self._on_their_way, oldest), "the oldest night", oldest)
            self._clear(self.given.popleft())
        stretch = self.meters.stretches[-1]
        stretch.last = str(plan.night)
        stretch.nights += 1
        stretch.files += len(given.files)

    def _until(self, began: float, moment: datetime, dawn: datetime) -> None:
        """Wait until the clock of the nights has come to a moment of this one."""
        if self.year.options.speed <= 0:
            return
        due = began + (1.0 - (dawn - moment) / timedelta(days=1)) * 86400.0 / self.year.options.speed
        while (left := due - time.monotonic()) > 0:
            self._look()
            time.sleep(min(left, 0.2))

    def _give(self, given: Given, frame: PlannedFrame, plan: NightPlan | None) -> None:
        """Write a file into the telescope's directory."""
        whole = content(frame)
        fault = plan.faults.get(frame.filename) if plan is not None else None
        written = whole if fault is None else broken(whole, fault)
        (self.dhs / frame.filename).write_bytes(written)
        if fault == "late_end":
            number = (frame_night(frame) - self.plan.first).days + 1
            self.later.setdefault(number, []).append(frame)
            self.year.deeds["files whose end came a night later"] += 1
            return
        if fault is not None:
            self.year.deeds["broken files"] += 1
        given.files[frame.filename] = Expected(frame.filename, _md5(written), fault)

    def _by_hand(self, number: int, plan: NightPlan, given: Given) -> None:
        """Edit headers, write files anew and touch some, among those that have arrived in the last nights."""
        choice = self.plan.choice(number, "by hand")
        settled = [each for each in self.given if each.settled and each is not given]
        untouched = [
            (each, name)
            for each in settled
            for name, file in sorted(each.files.items())
            if file.fault is None and not file.edits and name not in each.changed
        ]
        wanted = plan.edits + plan.rewrites + plan.touches
        chosen = choice.sample(untouched, min(wanted, len(untouched)))
        for index, (each, name) in enumerate(chosen):
            if index < plan.edits:
                self._edit(each, name, choice.choice(sorted(_QA)))
            elif index < plan.edits + plan.rewrites:
                self._rewrite(each, name)
            else:
                os.utime(self._stored(name))
                self.year.deeds["files touched by hand"] += 1

    def _edit(self, given: Given, name: str, state: str) -> None:
        whole = self._stored(name).read_bytes()
        try:
            request = read_item({"filename": name, "values": {"qa_state": state}})
            queue_edit(self.sites["summit"], request, asked_by=_WHO)
        except RefusedItemError as error:
            self.year.findings.append(f"{name} cannot be edited: {error}")
            return
        file = given.files[name]
        file.edits = dict(zip(("RAWGEMQA", "RAWPIREQ"), _QA[state], strict=True))
        file.body_md5 = body_md5(whole, list(file.edits))
        given.changed.add(name)
        given.settled = False
        self.year.deeds["headers edited"] += 1

    def _rewrite(self, given: Given, name: str) -> None:
        path = self._stored(name)
        changed = rewritten(path.read_bytes(), "night staff")
        beside = path.with_name(f"tmp-{name}")
        beside.write_bytes(changed)
        beside.replace(path)
        given.files[name].md5 = _md5(changed)
        given.changed.add(name)
        given.settled = False
        self.year.deeds["files written anew by hand"] += 1

    def _stored(self, name: str) -> Path:
        directory = self.system.settings.summit.store_directory
        assert directory is not None
        return directory / name

    def _clear(self, given: Given) -> None:
        """Clear the telescope's directory of a night that has arrived."""
        self._remove(given)
        self.book.write(list(given.files.values()))

    def _remove(self, given: Given) -> None:
        for name in given.files:
            (self.dhs / name).unlink(missing_ok=True)

    def _cut(self, seconds: float) -> None:
        self.network.cut()
        self.year.deeds["outages of the archive"] += 1
        self._timer = threading.Timer(seconds, self.network.mend)
        self._timer.daemon = True
        self._timer.start()

    def _mend(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.network.mend()

    def _look(self, nights: Iterable[Given] | None = None) -> None:
        """Keep the system running, measure, and see which nights have settled; by default of all."""
        now = time.monotonic()
        if now - self._supervised >= _SUPERVISE_EVERY_S:
            self._supervised = now
            self.system.look()
            self.meters.sample()
        if now >= self._next_look:
            for given in self.given if nights is None else nights:
                if given.is_whole and not given.settled:
                    given.left = left_of(given, self.sites)
                    given.settled = not given.left
            took = time.monotonic() - now
            self._next_look = time.monotonic() + max(_LOOK_EVERY_S, took / _LOOKING_SHARE)

    def _wait(self, left: Callable[[], object], what: str, nights: Iterable[Given] | None = None) -> None:
        """Wait until nothing is left of some nights; what is left must change now and then."""
        began = moved = time.monotonic()
        if nights is not None:
            # the pause after the last look was for all nights
            self._next_look = began + _LOOK_EVERY_S
        seen: object = None
        while remaining := left():
            self._look(nights)
            if remaining != seen:
                seen, moved = remaining, time.monotonic()
            if time.monotonic() - moved > _PATIENCE_S:
                self.year.findings.append(f"nothing has moved for {_PATIENCE_S:.0f} s: {what}: {seen!s:.500}")
                raise _TimedOutError
            time.sleep(0.1)
        self.year.waited_s += time.monotonic() - began

    def _on_their_way(self, nights: Iterable[Given] | None = None) -> dict[str, set[str]]:
        """Return those of some nights that have not settled, with those of their files that have not."""
        among = self.given if nights is None else nights
        return {str(each.night): each.left for each in among if not each.settled}

    def _unfinished(self) -> list[str]:
        """Return all that waits or is worked on at any site."""
        found = []
        for name, site in self.sites.items():
            with site.engine.connect() as connection:
                for row in connection.execute(_UNFINISHED):
                    found.append(f"{name} {row.stage}: {row.filename}: {row.reason or row.state}")
        return found

    def _finish(self, progress: Progress) -> None:
        self._wait(self._on_their_way, "the last nights")
        self._wait(self._unfinished, "the last previews and associations")
        self.meters.end()
        self._compare(progress)

    def _compare(self, progress: Progress) -> None:
        self.book.write([file for each in self.given for file in each.files.values()])
        task = progress.add_task("bytes compared", total=self.book.count, what="")
        failures: dict[str, str] = {}
        for name, site in self.sites.items():
            with site.engine.connect() as connection:
                for row in connection.execute(LEDGER["failed_items"]):
                    failures[trimmed(row.filename)] = f"{name} {row.stage}: {row.reason}"
        self.year.verdict = verify(
            self.book, self.sites["archive"], failures, self._unfinished(), lambda: progress.advance(task)
        )
        self.year.deeds["files removed from the summit"] = self.morning.removed
        self.year.deeds["Dagster runs pruned"] = self.morning.runs_pruned


def frame_night(frame: PlannedFrame) -> date:
    """Return the date of a frame's night."""
    return Night.parse(frame.night).day


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description} {task.fields[what]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
