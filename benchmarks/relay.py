"""A network that can be cut: connections pass through it on the loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["Relay", "relay_to"]

_BLOCK = 1 << 16


@dataclass
class Relay:
    """Passes what comes to its port on to another one, while the line is whole."""

    target: int
    listener: socket.socket
    is_cut: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Port at which it listens."""
        return int(self.listener.getsockname()[1])

    def cut(self) -> None:
        """Break all connections; new ones are closed at once."""
        self.is_cut.set()
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections pass again."""
        self.is_cut.clear()

    def run(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near:
            if self.is_cut.is_set():
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                return
            with far:
                far.settimeout(None)
                self._open += [near, far]
                back = threading.Thread(target=_copy, args=(far, near), daemon=True)
                back.start()
                _copy(near, far)
                back.join()
        with suppress(ValueError):
            self._open.remove(near)
            self._open.remove(far)


@contextmanager
def relay_to(target: int) -> Iterator[Relay]:
    """Listen at a free port for connections to another one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(target, listener)
        threading.Thread(target=relay.run, daemon=True).start()
        yield relay
        relay.cut()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
