"""File systems that hang, are full, or can only be read: real ones, mounted for a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Disk", "Mount", "disk_of", "mounted"]


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
    # nothing is remembered by the kernel: every look asks the server
    command = ["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0"]
    server = subprocess.Popen([*command, str(served), str(directory)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not os.path.ismount(directory):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.skip("bindfs cannot mount here")
            time.sleep(0.05)
        yield Mount(directory, served, server)
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "-l", str(directory)], check=False, stderr=subprocess.DEVNULL)
        server.terminate()
        server.wait(10)


@dataclass
class Disk:
    """A file system of its own, small enough to be filled."""

    directory: Path

    @property
    def ballast(self) -> Path:
        """The file that fills it."""
        return self.directory / ".ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all of its room but some bytes."""
        stat = os.statvfs(self.directory)
        free = stat.f_bavail * stat.f_frsize - leave
        with self.ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), max(free, 1))

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
