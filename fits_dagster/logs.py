"""Log files under the home directory: one line per state change, a file per site and stage, rotated.

Several processes may write to one file: runs of several nights work on the same stage at once.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from concurrent_log_handler import ConcurrentRotatingFileHandler

from fits_dagster.settings import Settings

__all__ = ["configure_logging", "follow", "lines_about", "log_files", "rotate_outputs", "tail"]

_FORMAT: Final = "%(asctime)s,%(msecs)03d %(process)d:%(module)s:%(lineno)d %(levelname)s: %(message)s"
_KEEP: Final = 10
#: A log file proper is never longer than its limit by more than a line.
_ROTATED_BY_ITSELF: Final = 1_000_000
_LOOK_EVERY_S: Final = 0.3
_TAIL_BYTES: Final = 1_000_000
#: What a record may carry besides its message.
_EXTRAS: Final = ("action", "frame", "file", "content", "stage", "attempt")


class _TextFormatter(logging.Formatter):
    """One line a record, whatever the texts in it hold; a traceback follows, set in by two blanks."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; not with the traceback that another handler may have written before."""
        own = copy.copy(record)
        own.exc_text = None
        return super().format(own)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Write the line."""
        return _in_one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Write the traceback."""
        return "\n".join(f"  {_in_one_line(line)}" for line in super().formatException(ei).split("\n"))


def _in_one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as an object: time, where, level, message, and what else it carries."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": record.process,
            "where": f"{record.module}:{record.lineno}",
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(settings: Settings, name: str, level: int = logging.INFO) -> None:
    """Write this process's log lines to ``<home>/logs/<name>.log``, times in UTC.

    As text, or as JSON where the settings say so. A process that does something else now has another file.
    """
    root = logging.getLogger("fits_dagster")
    directory = settings.home / "logs"
    for before in [h for h in root.handlers if isinstance(h, ConcurrentRotatingFileHandler)]:
        if Path(before.baseFilename) == (directory / f"{name}.log").absolute():
            return
        root.removeHandler(before)
        before.close()
    directory.mkdir(parents=True, exist_ok=True)
    handler = ConcurrentRotatingFileHandler(
        directory / f"{name}.log",
        maxBytes=_most_bytes(settings),
        backupCount=_KEEP,
        encoding="utf-8",
        lock_file_directory=str(directory / ".locks"),
    )
    formatter = _JsonFormatter() if settings.log_json else _TextFormatter(_FORMAT, "%Y-%m-%d %H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(level)


def _most_bytes(settings: Settings) -> int:
    return int(settings.log_file_mb * 1e6)


def rotate_outputs(settings: Settings) -> list[Path]:
    """Rotate what programs have written to their output, the web servers' above all; returns the long ones.

    The programs hold their files open, for appending: a file is copied and emptied. Log files proper rotate
    by themselves before they are so long.
    """
    rotated = []
    for path in sorted((settings.home / "logs").glob("*.log")):
        if path.stat().st_size <= _most_bytes(settings) + _ROTATED_BY_ITSELF:
            continue
        for number in range(_KEEP - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
        rotated.append(path)
    return rotated


def log_files(settings: Settings, names: Sequence[str] = ()) -> list[Path]:
    """Return the log files whose names contain one of some words, or all, by name.

    Parameters
    ----------
    names
        Words between the dashes of a name: a stage (``ingest``), a site, or both (``summit-ingest``).
    """
    found = sorted((settings.home / "logs").glob("*.log"))
    if not names:
        return found
    pattern = re.compile("|".join(rf"(?:^|-){re.escape(name)}(?:-|$)" for name in names))
    return [path for path in found if pattern.search(path.stem)]


def lines_about(paths: Sequence[Path], token: str) -> Iterator[tuple[Path, str]]:
    """Yield the lines that hold a text, of log files and of those put aside before them, oldest first."""
    for path in paths:
        older = [path.with_name(f"{path.name}.{number}") for number in range(_KEEP, 0, -1)]
        for each in [*(old for old in older if old.exists()), path]:
            with each.open(encoding="utf-8", errors="replace") as stream:
                yield from ((path, line.rstrip("\n")) for line in stream if token in line)


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL_BYTES))
        text = stream.read().decode("utf-8", "replace")
    return text.splitlines()[-lines:] if lines else []


def follow(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield lines as they are written, for ever; goes on with the new file after a rotation."""
    places = {path: (path.stat().st_ino, path.stat().st_size) for path in paths}
    rests = dict.fromkeys(paths, b"")
    while True:
        quiet = True
        for path in paths:
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            inode, position = places[path]
            if stat.st_ino != inode or stat.st_size < position:
                inode, position = stat.st_ino, 0
            if stat.st_size > position:
                quiet = False
                with path.open("rb") as stream:
                    stream.seek(position)
                    content = rests[path] + stream.read(_TAIL_BYTES)
                    position = stream.tell()
                *lines, rests[path] = content.split(b"\n")
                for line in lines:
                    yield path, line.decode("utf-8", "replace")
            places[path] = (inode, position)
        if quiet:
            time.sleep(_LOOK_EVERY_S)
