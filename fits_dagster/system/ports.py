"""Ports and sockets: choosing them, and waiting until something listens."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

from fasteners import InterProcessLock

__all__ = ["free_port", "is_listening", "reserve_port", "wait_until_listening"]


def free_port(preferred: int = 0, host: str = "127.0.0.1") -> int:
    """Return the preferred port if it is free, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {host}")


def reserve_port(preferred: int, host: str) -> socket.socket:
    """Reserve the preferred port if it is free, else any free one, until the socket is closed.

    Two systems that start at the same moment find each other's ports taken, though nobody listens yet. A
    server of this user can listen there all the same (``SO_REUSEPORT``).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # without the lock both could have looked before either holds
    with InterProcessLock(Path(tempfile.gettempdir()) / f"fits_dagster-{os.getuid()}.ports"):
        for port in (preferred, 0):
            holder = socket.socket(family)
            try:
                with socket.socket(family) as probe:
                    # connections that have just ended (TIME_WAIT) do not matter; the holders have no
                    # SO_REUSEADDR, so that this fails where one of them is
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, port))
                    port = int(probe.getsockname()[1])
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                holder.bind((host, port))
                return holder
            except OSError:
                holder.close()
    raise OSError(f"no free port on {host}")


def is_listening(place: int | Path, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts connections on a port, or on a Unix socket."""
    try:
        if isinstance(place, int):
            with socket.create_connection((host, place), timeout=1):
                return True
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(str(place))
            return True
    except OSError:
        return False


def wait_until_listening(place: int | Path, *, seconds: float, host: str = "127.0.0.1") -> bool:
    """Wait for a server on a port or a Unix socket; returns whether it came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_listening(place, host):
            return True
        time.sleep(0.1)
    return False
