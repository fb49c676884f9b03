"""File systems that hang, are full, or can only be read: real ones, mounted for a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import pytest

__all__ = ["Disk", "Mount", "disk_of", "mounted"]

#: Nothing is remembered by the kernel: every look asks the server. Older ones want to be told that the
#: directory may hold files, newer ones do not know the word.
_OPTIONS = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
_FORMS = (_OPTIONS, f"{_OPTIONS},nonempty")


@dataclass
class Mount:
    """A directory behind a file system server (FUSE)."""

    directory: Path
    #: The same files, without the server.
    served: Path
    server: subprocess.Popen[bytes]

    def hang(self) -> None:
        """Let whoever touches the directory wait."""
        self.server.send_signal(signal.SIGSTOP)

    def answer(self) -> None:
        """Let it answer again."""
        self.server.send_signal(signal.SIGCONT)


@contextmanager
def mounted(directory: Path, served: Path) -> Iterator[Mount]:
    """Mount files at a directory by a server that can be stopped; skips where that is not possible."""
    if shutil.which("bindfs") is None or os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("no bindfs, or no right to mount")
    served.mkdir(exist_ok=True)
    server = next((made for made in map(_serve, _FORMS, repeat(served), repeat(directory)) if made), None)
    if server is None:
        pytest.skip("bindfs cannot mount here")
    try:
        yield Mount(directory, served, server)
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "-l", str(directory)], check=False, stderr=subprocess.DEVNULL)
        server.terminate()
        server.wait(10)


def _serve(options: str, served: Path, directory: Path) -> subprocess.Popen[bytes] | None:
    command = ["bindfs", "-f", "-o", options, str(served), str(directory)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while not os.path.ismount(directory):
        if server.poll() is not None or time.monotonic() > deadline:
            server.kill()
            return None
        time.sleep(0.05)
    return server


@dataclass
class Disk:
    """A file system of its own, small enough to be filled."""

    directory: Path

    @property
    def ballast(self) -> Path:
        """The file that fills it."""
        return self.directory / ".ballast"

    def fill(self) -> None:
        """Take all of its room."""
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):  # no room for so much
                    while True:
                        file.write(bytes(size))

    def empty(self) -> None:
        """Give the room back."""
        self.ballast.unlink()

    def allow_writing(self, allowed: bool) -> None:
        """Mount it anew, to be read only or to be written as well."""
        how = "rw" if allowed else "ro"
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.directory)], check=True)


@contextmanager
def disk_of(directory: Path, size: int) -> Iterator[Disk]:
    """Mount a small file system at a directory; skips where that is not possible.

    Parameters
    ----------
    size
        Bytes.
    """
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)],
        check=False,
        capture_output=True,
    )
    if done.returncode != 0:
        pytest.skip(f"no right to mount: {done.stderr.decode().strip()}")
    try:
        yield Disk(directory)
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False)
