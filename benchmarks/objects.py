"""Storing to S3 and fetching from it, against bare boto3 with the same parts."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.buckets import served_bucket
from benchmarks.figures import Figures
from benchmarks.home import bench_home
from benchmarks.rounds import take_turns, taken
from benchmarks.samples import gmos_sample
from fits_dagster.storage.etag import PART_BYTES
from fits_dagster.storage.landing import md5_of
from fits_dagster.storage.s3 import S3Store

__all__ = ["measure_objects"]

_AIM: Final = 0.9
_ROUNDS: Final = 7


def measure_objects(home: Path | None, *, files: int = 4, megabytes: float = 28.0) -> list[Figures]:
    """Measure put and fetch, verified, with a server in another process."""
    from boto3.s3.transfer import TransferConfig

    parts = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    with bench_home(home) as settings, served_bucket("moto", settings.home / "objects") as s3:
        paths = gmos_sample(megabytes).write(settings.home / "sources", range(1, files + 1))
        sums = {path: md5_of(path) for path in paths}
        store = S3Store(s3, staging=settings.home / "staging")
        client: Any = store.client
        fetched = settings.home / "fetched.fits"

        def put() -> None:
            for path in paths:
                store.put(path, path.name, md5=sums[path])

        def bare_put() -> None:
            for path in paths:
                client.upload_file(str(path), s3.bucket, f"bare-{path.name}", Config=parts)

        def fetch() -> None:
            for path in paths:
                with store.local(path.name):
                    pass

        def bare_fetch() -> None:
            for path in paths:
                client.download_file(s3.bucket, f"bare-{path.name}", str(fetched))
                with fetched.open("rb") as stream:
                    hashlib.file_digest(stream, "md5").hexdigest()
                fetched.unlink()

        put()
        bare_put()
        runs = []
        for name, ours, bare, floor in (
            ("store to S3", put, bare_put, "upload_file with the same parts"),
            ("fetch from S3", fetch, bare_fetch, "download_file, and the MD5 of what came"),
        ):
            rounds = take_turns(_ROUNDS, partial(taken, ours), partial(taken, bare))
            share = rounds.floor / rounds.seconds
            runs.append(
                Figures(
                    name=name,
                    floor=f"bare boto3: {floor}",
                    aim=f">= {_AIM} of the floor's speed",
                    files=files,
                    bytes=sum(path.stat().st_size for path in paths),
                    seconds=rounds.seconds,
                    floor_seconds=rounds.floor,
                    reached=share >= _AIM,
                    details={"share_of_floor_speed": round(share, 3), **rounds.details},
                )
            )
    return runs
