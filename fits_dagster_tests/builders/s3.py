"""S3 servers of two makes on the loopback, and a proxy before them that does harm."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import boto3
import pytest

from fits_dagster.settings import S3Settings
from fits_dagster.storage import S3Store
from fits_dagster.system.ports import free_port, wait_until_listening

__all__ = ["SERVERS", "Harm", "bucket_at", "harmful_proxy", "s3_server_of", "store_at"]

SERVERS = ("moto", "rclone")
#: What the proxy does to a request, or to its answer.
Deed = Literal["refuse", "drop", "silence", "lose_answer", "cut_answer", "flip_answer", "flip_request"]
_KEY = "testing"
_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "expect"}


@contextmanager
def s3_server_of(make: str, directory: Path) -> Iterator[str]:
    """Run an S3 server; yields its address.

    ``moto`` keeps objects in memory and signs nothing; ``rclone`` keeps files, verifies signatures and sums,
    makes tags of its own for what came in parts, and writes the names of metadata in its own way.
    """
    os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = _KEY
    # the common session remembers the credentials that it found first
    boto3.DEFAULT_SESSION = None
    if make == "moto":
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()
        return
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no rclone here")
    port = free_port()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{_KEY},{_KEY}"]
    command.append(str(directory))
    with (directory.parent / "rclone.log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            assert wait_until_listening(port, seconds=20)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def bucket_at(url: str, name: str) -> None:
    """Make a bucket that lasts as long as its server."""
    client = boto3.client("s3", region_name="us-west-2", endpoint_url=url)
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})


def store_at(url: str, staging: Path, bucket: str, *, attempts: int = 1) -> S3Store:
    """Open a store in a bucket, which need not be there."""
    settings = S3Settings(bucket=bucket, endpoint_url=url, max_attempts=attempts, silence_seconds=1)
    return S3Store(settings, staging)


@dataclass
class Harm:
    """A proxy before an S3 server, and what it does to requests."""

    url: str
    deed: Deed | None = None
    #: Which requests suffer.
    wanted: Callable[[str, str], bool] = lambda method, path: True
    #: How many of them; the others pass.
    times: int = 1_000
    suffered: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def of(self, method: str, path: str) -> Deed | None:
        """Decide about a request."""
        if self.deed is None or not self.wanted(method, path) or len(self.suffered) >= self.times:
            return None
        self.suffered.append(f"{method} {path}")
        return self.deed


@contextmanager
def harmful_proxy(server: str) -> Iterator[Harm]:
    """Stand between a client and an S3 server; what it does is set on what is yielded."""
    harm = Harm(url="")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(harm, server.removeprefix("http://")))
    harm.url = f"http://127.0.0.1:{proxy.server_port}"
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield harm
    finally:
        harm.over.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join(5)


def _handler(harm: Harm, server: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            deed = harm.of(self.command, self.path)
            if deed == "refuse":
                self.answer(
                    503, {}, b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
                )
                return
            if deed in ("drop", "silence"):
                if deed == "silence":
                    harm.over.wait(20)
                self.close_connection = True
                return
            if deed == "flip_request" and body:
                body = _flipped(body)
            upstream = http.client.HTTPConnection(server, timeout=20)
            passed = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PASSED_ON}
            upstream.request(self.command, self.path, body, passed)
            response = upstream.getresponse()
            content = response.read()
            upstream.close()
            if deed == "lose_answer":
                self.close_connection = True
                return
            headers = {k: v for k, v in response.getheaders() if k.lower() not in _NOT_PASSED_ON}
            if deed == "flip_answer" and content:
                content = _flipped(content)
            self.answer(
                response.status, headers, content, sent=len(content) // 2 if deed == "cut_answer" else None
            )

        def answer(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "content-length" not in {name.lower() for name in headers}:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if sent is None else body[:sent])
            if sent is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = relay

        def log_message(self, *_: object) -> None:
            return

    return Handler


def _flipped(content: bytes) -> bytes:
    """Change one bit in the middle."""
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)
