"""Storing to S3 and fetching from it, against bare boto3 with the same parts."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures
from benchmarks.home import bench_home
from benchmarks.rounds import take_turns, taken
from benchmarks.samples import gmos_sample
from fits_dagster.settings import S3Settings
from fits_dagster.storage.etag import PART_BYTES
from fits_dagster.storage.landing import md5_of
from fits_dagster.storage.s3 import S3Store
from fits_dagster.system.ports import free_port, wait_until_listening

__all__ = ["measure_objects"]

_BUCKET: Final = "bench"
_REGION: Final = "us-west-2"
_AIM: Final = 0.9
_ROUNDS: Final = 7


def measure_objects(home: Path | None, *, files: int = 4, megabytes: float = 28.0) -> list[Figures]:
    """Measure put and fetch, verified, with a server in another process."""
    from boto3.s3.transfer import TransferConfig

    parts = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    with bench_home(home) as settings, _server() as url:
        paths = gmos_sample(megabytes).write(settings.home / "sources", range(1, files + 1))
        sums = {path: md5_of(path) for path in paths}
        store = S3Store(
            S3Settings(bucket=_BUCKET, endpoint_url=url, region=_REGION), staging=settings.home / "staging"
        )
        client: Any = store.client
        client.create_bucket(Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": _REGION})
        fetched = settings.home / "fetched.fits"

        def put() -> None:
            for path in paths:
                store.put(path, path.name, md5=sums[path])

        def bare_put() -> None:
            for path in paths:
                client.upload_file(str(path), _BUCKET, f"bare-{path.name}", Config=parts)

        def fetch() -> None:
            for path in paths:
                with store.local(path.name):
                    pass

        def bare_fetch() -> None:
            for path in paths:
                client.download_file(_BUCKET, f"bare-{path.name}", str(fetched))
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


@contextmanager
def _server() -> Iterator[str]:
    """Serve S3 from memory, in a process of its own."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "bench")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "bench")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if not wait_until_listening(port, seconds=60.0):
            raise RuntimeError("the S3 server did not start (package moto)")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
