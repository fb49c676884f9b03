"""What the doctor looks at beside the sites themselves."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fits_dagster import __version__
from fits_dagster.broker import embedded_broker
from fits_dagster.settings import Settings
from fits_dagster.system.ports import free_port, wait_until_listening


@pytest.fixture
def brokered(settings: Settings) -> Iterator[tuple[Settings, Callable[[], None]]]:
    """Settings with a broker that runs, and how to kill it."""
    port = free_port()
    with subprocess.Popen(embedded_broker(settings, port), stdout=subprocess.DEVNULL) as broker:

        def kill() -> None:
            broker.kill()
            broker.wait()

        assert wait_until_listening(port, seconds=10)
        yield settings, kill
        kill()


@pytest.fixture
def other_server() -> Iterator[Callable[..., str]]:
    """Serve ``/health`` of another server, as it should not be."""
    servers = []

    def start(
        *,
        version: str = __version__,
        late: float = 0,
        status: int = 200,
        context: ssl.SSLContext | None = None,
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"version": version}).encode()
                self.send_response_only(status)
                there = datetime.now(UTC) - timedelta(seconds=late)
                self.send_header("Date", format_datetime(there, usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
