"""``fits-dagster worker``: what it refuses to begin with, and what it says then."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import URL, text

from fits_dagster.broker import BrokerError, broker_url, embedded_broker, wait_for_broker, without_password
from fits_dagster.settings import Settings, write_effective
from fits_dagster.sites import Site
from fits_dagster.system.ports import free_port, wait_until_listening

COMMAND = [sys.executable, "-m", "fits_dagster", "worker", "--wait", "1"]
#: The same where everything has been left alone for long enough: nobody can make a file look so.
AN_HOUR_LATER = [
    sys.executable,
    "-c",
    "from fits_dagster.upkeep import leftovers; leftovers._ABANDONED_S = 0.0; "
    "from fits_dagster.cli import main; main()",
    *COMMAND[3:],
]


@pytest.fixture
def brokered(settings: Settings, summit: Site, postgres_server: URL) -> Iterator[Settings]:
    """Settings of a system with a database and an embedded broker that runs."""
    server = postgres_server.render_as_string(hide_password=False)
    port = free_port()
    command = embedded_broker(settings, port)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as broker:
        try:
            assert wait_until_listening(port, seconds=10)
            yield settings.model_copy(update={"database_url": server})
        finally:
            broker.kill()


def work(
    settings: Settings, *arguments: str, command: Sequence[str] = COMMAND
) -> subprocess.CompletedProcess[str]:
    """Run the command with some settings; it must end by itself."""
    path = settings.home / "effective.json"
    write_effective(settings, path)
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, "FITS_DAGSTER_EFFECTIVE_SETTINGS": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def with_broker(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"broker_url": SecretStr(url)})


def test_the_embedded_broker_is_for_its_owner_on_this_machine(brokered: Settings) -> None:
    url = broker_url(brokered)
    assert url.startswith("redis://:") and "@127.0.0.1:" in url
    for name in ("url", "valkey.conf"):
        assert (brokered.home / "broker" / name).stat().st_mode & 0o777 == 0o600
    wait_for_broker(brokered, seconds=1)
    password = url.split("@")[0].rpartition(":")[2]
    assert password not in without_password(url)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--site", "sumit"], ["'sumit' is no site of this machine", "did you mean 'summit'?"]),
        (["--site", "summit", "--stages", "copy,prevew"], ["no stage prevew", "copy"]),
        (["--site", "summit", "--stages", "preview"], ["no stage preview"]),
        ([], ["--site"]),
    ],
)
def test_an_unknown_site_or_stage_is_named(
    brokered: Settings, arguments: list[str], words: list[str]
) -> None:
    done = work(brokered, *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr


def test_a_broker_that_does_not_answer_is_waited_for_and_told(brokered: Settings) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = work(with_broker(brokered, f"redis://:secret@{place}/0"), "--site", "summit")
    assert done.returncode == 2
    assert f"broker at redis://{place}/0 does not answer yet" in done.stderr
    assert f"broker at redis://{place}/0 does not answer:" in done.stderr
    assert "secret" not in done.stderr


def test_a_wrong_password_is_refused_at_once(brokered: Settings) -> None:
    place = broker_url(brokered).rpartition("@")[2]
    wrong = with_broker(brokered, f"redis://:wrong@{place}")
    with pytest.raises(BrokerError, match="refuses our name or password"):
        wait_for_broker(wrong, seconds=60)
    done = work(wrong, "--site", "summit")
    assert done.returncode == 2
    assert "refuses our name or password" in done.stderr
    assert "wrong@" not in done.stderr


@pytest.mark.parametrize(
    ("found", "advice"), [("0005", "fits-dagster migrate"), ("9999", "upgrade fits_dagster on this machine")]
)
def test_a_worker_of_another_version_than_the_schema_says_which_to_upgrade(
    brokered: Settings, summit: Site, found: str, advice: str
) -> None:
    def change(version: str, programs_from: str) -> None:
        with summit.engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = :v"), {"v": version})
            connection.execute(
                text(
                    "insert into schema_compatibility (programs_from) values (:v) "
                    "on conflict (id) do update set programs_from = excluded.programs_from"
                ),
                {"v": programs_from},
            )

    with summit.engine.connect() as connection:
        version = connection.scalar(text("select version_num from alembic_version"))
        oldest = connection.scalar(text("select programs_from from schema_compatibility"))
    known = (str(version), str(oldest or version))
    # no program of before works with either
    change(found, found)
    try:
        done = work(brokered, "--site", "summit")
    finally:
        change(*known)
    assert done.returncode == 2
    assert f"schema {found}" in done.stderr and advice in done.stderr, done.stderr


def test_settings_of_standing_runs_are_refused_with_what_replaced_them(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[work]\nstanding_runs = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "fits_dagster", "status", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "work.standing_runs is no longer a setting" in done.stderr
    assert "work.linger_seconds" in done.stderr


def test_a_worker_removes_what_a_dead_one_left_before_it_begins(brokered: Settings, summit: Site) -> None:
    assert summit.settings.store_directory is not None
    left = summit.settings.store_directory / "N20251123S0001.fits.tmp-0123"
    left.write_bytes(b"half")
    place = broker_url(brokered).rpartition("@")[2]
    settings = with_broker(brokered, f"redis://:wrong@{place}")
    assert work(settings, "--site", "summit").returncode == 2
    assert left.exists(), "it may still be written"
    done = work(settings, "--site", "summit", command=AN_HOUR_LATER)
    assert done.returncode == 2
    assert "removed 1 leftovers" in done.stderr
    assert not left.exists()
