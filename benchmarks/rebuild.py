"""A rebuild of the archive's database from its store, against reading the store on all cores."""

from __future__ import annotations

import bz2
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from sqlalchemy import text

from benchmarks.buckets import served_bucket
from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site
from benchmarks.rounds import taken
from benchmarks.samples import Sample, gmos_sample
from fits_dagster.database.administration import administrator
from fits_dagster.database.server import database_url
from fits_dagster.settings import S3Settings, Settings
from fits_dagster.storage import S3Store, open_store
from fits_dagster.system.database import prepare_databases

__all__ = ["measure_rebuild"]

_AIM: Final = 0.6
#: Seconds since 1970.
_LONG_AGO: Final = 1_700_000_000.0
_PLACES: Final = {"memory": "in the page cache", "disk": "on the disk", "s3": "in a bucket"}
_UPLOADS: Final = 4


@dataclass(frozen=True)
class _Round:
    """Seconds of a rebuild, and of the readings of the store around it."""

    rebuild: float
    floor: float


def measure_rebuild(
    home: Path | None,
    *,
    files: int = 120,
    megabytes: float = 27.7,
    place: Literal["memory", "disk", "s3"] = "memory",
    compressed: bool = False,
    rounds: int = 3,
) -> list[Figures]:
    """Measure ``fits-dagster rebuild`` of raw frames, each time begun with an empty database.

    The start is told apart, as the time of a rebuild of one file for each core: the command, its processes
    and their readers begin once, and what follows in the store of an archive takes a thousand times as long.

    Parameters
    ----------
    megabytes
        Size of one file, uncompressed.
    place
        Where the frames are: files in the page cache, files of which the kernel has nothing in memory, as of
        a store larger than that, or objects of a server.
    compressed
        Whether they are there as ``.bz2``; to read one is to decompress it.
    rounds
        How many rebuilds, each between two readings of the store; the medians count.
    """
    cores = len(os.sched_getaffinity(0))
    sample = gmos_sample(megabytes)
    with bench_home(home) as settings, ExitStack() as stack:
        if place == "s3":
            settings = stack.enter_context(_of_a_bucket(settings))
        pool = stack.enter_context(ProcessPoolExecutor(cores))
        # the bare reading from the disk finds memory for the next file as easily as the rebuild does
        bare = partial(_digests, let_go=place == "disk")
        read = partial(_fetched_digests, settings.archive.s3) if place == "s3" else bare

        def rebuilt() -> float:
            _empty(settings)
            seconds = timed(lambda: _rebuild(settings, cores))
            _see_complete(settings, len(paths))
            return seconds

        def timed(action: Callable[[], object]) -> float:
            if place == "disk":
                _forget(paths)
            elif place == "memory":
                # a rebuild does not leave there what it has read
                read_all()
            return taken(action)

        def read_all() -> None:
            for _ in pool.map(read, paths):
                pass

        paths = _stored(settings, sample, range(cores), compressed=compressed)
        start = statistics.median(rebuilt() for _ in range(rounds))
        paths += _stored(settings, sample, range(cores, files), compressed=compressed)
        # what the first reading meets no later one does: the processes of the pool are to be started
        read_all()
        done = []
        before = timed(read_all)
        for _ in range(rounds):
            seconds = rebuilt()
            after = timed(read_all)
            done.append(_Round(seconds, (before + after) / 2))
            before = after
    shares = [each.floor / files * (files - cores) / (each.rebuild - start) for each in done]
    share = statistics.median(shares)
    return [
        Figures(
            name=f"rebuild from {'compressed files' if compressed else 'the store'}, {_PLACES[place]}",
            floor=f"the files {'fetched' if place == 's3' else 'read'}"
            f"{', decompressed' if compressed else ''} and their MD5 summed up, on all cores",
            aim=f">= {_AIM:.0%} of the floor's rate",
            files=files,
            bytes=files * len(sample.content),
            seconds=statistics.median(each.rebuild for each in done),
            floor_seconds=statistics.median(each.floor for each in done),
            workers=cores,
            reached=share >= _AIM,
            details={
                "seconds_of_its_start": round(start, 2),
                "share_without_it": round(share, 3),
                "rounds": rounds,
                "shares": ", ".join(f"{each:.3f}" for each in shares),
            },
        )
    ]


def _empty(settings: Settings) -> None:
    """Make the database of the archive anew."""
    url = database_url(settings, "archive")
    with administrator(url) as admin:
        admin.drop(str(url.database))
    prepare_databases(settings)


def _stored(settings: Settings, sample: Sample, numbers: range, *, compressed: bool = False) -> list[Path]:
    """Write frames into the store of the archive; returns where they are, or were before they went there."""
    store = settings.archive.store_directory
    assert store is not None
    paths = sample.write(store, range(numbers.start + 1, numbers.stop + 1))
    if compressed:
        with ProcessPoolExecutor() as pool:
            paths = list(pool.map(_compressed, paths))
    for path in paths:
        # a store that is rebuilt has not been written a moment ago
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    if settings.archive.store == "s3":
        bucket = open_store(settings.archive)
        with ThreadPoolExecutor(_UPLOADS) as pool:
            for _ in pool.map(lambda path: bucket.put(path, path.name, move=True), paths):
                pass
    # and is on the disk
    os.sync()
    return paths


@contextmanager
def _of_a_bucket(settings: Settings) -> Iterator[Settings]:
    """Serve a bucket; yields the settings of an archive that has its store there."""
    with served_bucket("rclone", settings.home / "objects") as s3:
        archive = settings.archive.model_copy(update={"store": "s3", "s3": s3})
        yield settings.with_sites(summit=settings.summit, archive=archive)


def _forget(paths: Sequence[Path]) -> None:
    """Let the kernel forget what it has of the files in memory."""
    for path in paths:
        with path.open("rb") as file:
            # what is not on the disk yet stays
            os.fsync(file.fileno())
            _let_go(file)


def _let_go(file: BinaryIO) -> None:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _rebuild(settings: Settings, processes: int) -> None:
    archive = settings.archive
    command = [sys.executable, "-m", "fits_dagster", "rebuild", "--site", "archive", "--here", str(processes)]
    done = subprocess.run(
        [*command, "--home", str(settings.home)],
        env={
            **os.environ,
            "FITS_DAGSTER_ARCHIVE__STORE": archive.store,
            "FITS_DAGSTER_ARCHIVE__S3__BUCKET": archive.s3.bucket,
            "FITS_DAGSTER_ARCHIVE__S3__ENDPOINT_URL": archive.s3.endpoint_url,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the rebuild failed: {done.stdout[-500:]} {done.stderr[-1500:]}")


def _see_complete(settings: Settings, files: int) -> None:
    """Refuse figures of a rebuild that has not made everything again."""
    with bench_site(settings, "archive") as site, site.engine.connect() as connection:
        for table in ("header", "preview"):
            made = connection.scalar(text(f"select count(distinct diskfile_id) from {table}"))
            if made != files:
                raise RuntimeError(f"{made} of {files} files have their {table}")


def _compressed(path: Path) -> Path:
    """Put a compressed file in the place of one; returns where it is."""
    target = path.with_name(f"{path.name}.bz2")
    target.write_bytes(bz2.compress(path.read_bytes()))
    path.unlink()
    return target


def _digests(path: Path, *, let_go: bool = False) -> list[str]:
    """Read a file; returns the MD5 of its bytes and, of a compressed one, of what they decompress to."""
    with path.open("rb") as file:
        found = [_md5(file)]
        if path.suffix == ".bz2":
            file.seek(0)
            with bz2.open(file) as expanded:
                found.append(_md5(expanded))
        if let_go:
            _let_go(file)
    return found


def _md5(file: Any) -> str:
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fetched_digests(s3: S3Settings, path: Path) -> list[str]:
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        fetched = Path(directory, path.name)
        _client(s3).download_file(s3.bucket, path.name, str(fetched))
        return _digests(fetched)


@cache
def _client(s3: S3Settings) -> Any:
    return S3Store(s3, Path()).client
