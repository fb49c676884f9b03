"""Copies of objects that one stage leaves to the next."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fits_dagster.settings import S3Settings
from fits_dagster.storage import S3Store
from fits_dagster.storage.kept import KeptCopies
from fits_dagster_tests.builders.s3 import bucket_at, s3_server_of

KEY = "2025/N20251123S0001.fits"


class Counted:
    """A client that counts what is fetched."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.fetched = 0
        self.looked_at = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def head_object(self, *args: Any, **kwargs: Any) -> Any:
        """Look, and count it."""
        self.looked_at += 1
        return self._client.head_object(*args, **kwargs)

    def download_file(self, *args: Any, **kwargs: Any) -> None:
        """Fetch, and count it."""
        self.fetched += 1
        self._client.download_file(*args, **kwargs)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server_of("moto", tmp_path_factory.mktemp("objects")) as url:
        yield url


@pytest.fixture
def store(server: str, tmp_path: Path) -> S3Store:
    bucket = f"kept-{os.getpid()}-{time.monotonic_ns()}"
    bucket_at(server, bucket)
    store = S3Store(S3Settings(bucket=bucket, endpoint_url=server), tmp_path / "staging")
    store._client = Counted(store.client)
    return store


@pytest.fixture
def source(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / "source.fits"
        path.write_bytes(content)
        return path

    return make


def kept(store: S3Store) -> list[Path]:
    return sorted((store.staging / "fetched" / "kept").glob("*"))


def read(store: S3Store, *, keep: bool) -> bytes:
    with store.handed_on(KEY, keep=keep) as path:
        assert path.name == "N20251123S0001.fits"
        return path.read_bytes()


def test_one_stage_after_the_other_fetches_an_object_once(
    store: S3Store, source: Callable[[bytes], Path]
) -> None:
    store.put(source(b"pixels"), KEY)
    assert read(store, keep=True) == read(store, keep=True) == read(store, keep=False) == b"pixels"
    assert store.client.fetched == 1
    assert kept(store) == [], "the last one takes it away"
    assert read(store, keep=False) == b"pixels"
    assert store.client.fetched == 2


def test_what_was_moved_into_the_bucket_need_not_come_back(
    store: S3Store, source: Callable[[bytes], Path]
) -> None:
    path = source(b"pixels")
    store.put(path, KEY, move=True, keep=True)
    assert not path.exists()
    assert read(store, keep=False) == b"pixels"
    assert store.client.fetched == 0


def test_a_copy_of_another_version_is_not_taken(store: S3Store, source: Callable[[bytes], Path]) -> None:
    store.put(source(b"first"), KEY)
    read(store, keep=True)
    store.put(source(b"other"), KEY)
    assert read(store, keep=True) == b"other"


def test_who_wants_to_see_the_bucket_sees_the_bucket(store: S3Store, source: Callable[[bytes], Path]) -> None:
    store.put(source(b"pixels"), KEY)
    read(store, keep=True)
    with store.local(KEY, verify=False) as path:
        assert path.read_bytes() == b"pixels"
    assert store.client.fetched == 2
    assert len(kept(store)) == 1


def test_who_knows_the_content_need_not_ask_the_bucket(
    store: S3Store, source: Callable[[bytes], Path]
) -> None:
    md5 = hashlib.md5(b"pixels", usedforsecurity=False).hexdigest()
    store.put(source(b"pixels"), KEY)
    read(store, keep=True)
    looks = store.client.looked_at
    with store.handed_on(KEY, md5=md5) as path:
        assert path.read_bytes() == b"pixels"
    assert (store.client.looked_at, store.client.fetched) == (looks, 1)
    with store.handed_on(KEY, md5=md5) as path:
        assert path.read_bytes() == b"pixels", "there is no copy any more"
    assert (store.client.looked_at, store.client.fetched) == (looks + 1, 2)
    store.put(source(b"other"), KEY)
    with store.handed_on(KEY, md5=md5) as path:
        assert path.read_bytes() == b"other", "nobody has the former bytes"


def test_an_error_keeps_nothing(store: S3Store, source: Callable[[bytes], Path]) -> None:
    store.put(source(b"pixels"), KEY)
    with suppress(RuntimeError), store.handed_on(KEY, keep=True):
        raise RuntimeError
    assert kept(store) == []
    assert [entry.name for entry in (store.staging / "fetched").iterdir()] == []


def test_the_oldest_copies_give_way_and_those_that_nobody_wants_go(
    store: S3Store, source: Callable[[bytes], Path]
) -> None:
    store.kept = KeptCopies(store.staging / "fetched" / "kept", 250)
    for number in range(4):
        store.put(source(bytes([number]) * 100), f"{number}.fits")
        with store.handed_on(f"{number}.fits", keep=True):
            pass
    assert len(kept(store)) == 2
    with store.handed_on("3.fits", keep=True):
        assert store.client.fetched == 4
    store.kept.sweep(time.time() + 1800)
    assert len(kept(store)) == 2
    store.kept.sweep(time.time() + 3700)
    assert kept(store) == []


def test_without_room_everything_is_fetched(store: S3Store, source: Callable[[bytes], Path]) -> None:
    store.kept = KeptCopies(store.staging / "fetched" / "kept", 0)
    store.put(source(b"pixels"), KEY)
    assert read(store, keep=True) == read(store, keep=True) == b"pixels"
    assert store.client.fetched == 2
