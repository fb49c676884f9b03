"""Choosing network ports."""

from __future__ import annotations

import socket
import time

__all__ = ["free_port", "is_listening", "wait_until_listening"]


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


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts connections on a port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until_listening(port: int, *, seconds: float, host: str = "127.0.0.1") -> bool:
    """Wait for a server on a port; returns whether it came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_listening(port, host):
            return True
        time.sleep(0.1)
    return False
