"""S3 servers in processes of their own, each with a bucket to measure with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from fits_dagster.settings import S3Settings
from fits_dagster.system.ports import free_port, wait_until_listening

__all__ = ["served_bucket"]

_KEY: Final = "bench"
_REGION: Final = "us-west-2"


@contextmanager
def served_bucket(
    make: Literal["moto", "rclone"], directory: Path, address: str = "127.0.0.1"
) -> Iterator[S3Settings]:
    """Serve an empty bucket.

    Parameters
    ----------
    make
        ``moto`` keeps objects in memory, in one Python process; ``rclone`` as files of the directory.

    Raises
    ------
    RuntimeError
        The server did not start.
    """
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(name, _KEY)
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port(host=address)
    program: dict[str, Sequence[str]] = {
        "moto": [sys.executable, "-m", "moto.server", "-H", address, "-p", str(port)],
        "rclone": [
            str(Path(sys.executable).with_name("rclone")),
            *("serve", "s3", "--addr", f"{address}:{port}", str(directory)),
            *("--auth-key", f"{os.environ['AWS_ACCESS_KEY_ID']},{os.environ['AWS_SECRET_ACCESS_KEY']}"),
        ],
    }
    server = subprocess.Popen(program[make], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not wait_until_listening(port, seconds=60.0, host=address):
            raise RuntimeError(f"the S3 server did not start ({make})")
        settings = S3Settings(bucket=_KEY, endpoint_url=f"http://{address}:{port}", region=_REGION)
        client: Any = boto3.client("s3", endpoint_url=settings.endpoint_url, region_name=_REGION)
        client.create_bucket(Bucket=_KEY, CreateBucketConfiguration={"LocationConstraint": _REGION})
        yield settings
    finally:
        server.terminate()
        server.wait()
