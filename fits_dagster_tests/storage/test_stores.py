"""Both stores keep the same promises: whole objects, verified, with their MD5."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fits_dagster.errors import FileError, TransientError
from fits_dagster.settings import S3Settings
from fits_dagster.storage import DirectoryStore, ObjectStore, S3Store, UnsafeNameError
from fits_dagster.storage.etag import PART_BYTES
from fits_dagster_tests.builders.page_cache import is_in_memory
from fits_dagster_tests.builders.s3 import SERVERS, s3_server_of


@pytest.fixture(scope="module")
def s3_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Give the address of an S3 server of a make."""
    with ExitStack() as running:

        @cache
        def give(make: str) -> str:
            directory = tmp_path_factory.mktemp(make) / "objects"
            directory.mkdir()
            return running.enter_context(s3_server_of(make, directory))

        yield give


@pytest.fixture(params=SERVERS)
def s3_server(request: pytest.FixtureRequest, s3_servers: Callable[[str], str]) -> str:
    """An S3 server over HTTP, of each make."""
    return s3_servers(request.param)


def make_s3_store(url: str, directory: Path, bucket: str, underlay: str = "") -> S3Store:
    settings = S3Settings(bucket=bucket, endpoint_url=url, underlay_bucket=underlay, max_attempts=1)
    made = S3Store(settings, directory)
    for name in (bucket, underlay):
        if name:
            made.client.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": settings.region}
            )
    return made


@pytest.fixture(params=["directory", *SERVERS])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3_servers: Callable[[str], str]) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "store")
    url = s3_servers(request.param)
    return make_s3_store(url, tmp_path / "staging", f"bucket-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.fits"
    path.write_bytes(os.urandom(300_000))
    return path


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("key", ["N20251123S0001.fits.bz2", "products/a/N20251123S0001.fits"])
def test_what_is_put_comes_back_unaltered(store: ObjectStore, source: Path, key: str) -> None:
    info = store.put(source, key, md5=md5(source))
    assert (info.size, info.md5) == (300_000, md5(source))
    found = store.stat(key)
    assert found is not None
    assert found.size == 300_000
    with store.local(key) as path:
        assert path.read_bytes() == source.read_bytes()
        assert path.name == key.rpartition("/")[2]


def test_putting_again_replaces(store: ObjectStore, source: Path) -> None:
    store.put(source, "x.fits", md5=md5(source))
    source.write_bytes(b"another")
    store.put(source, "x.fits", md5=md5(source))
    with store.local("x.fits") as path:
        assert path.read_bytes() == b"another"


def test_moving_takes_the_source_away(store: ObjectStore, source: Path) -> None:
    store.put(source, "x.fits", md5=md5(source), move=True)
    assert not source.exists()
    assert store.stat("x.fits") is not None


def test_what_is_not_there_is_none_or_a_clear_error(store: ObjectStore) -> None:
    if isinstance(store, DirectoryStore):
        store.root.mkdir()
    assert store.stat("no.fits") is None
    with pytest.raises(FileNotFoundError, match=r"no\.fits"), store.local("no.fits"):
        pass
    store.delete("no.fits")


def test_a_path_is_listed_alone(store: ObjectStore, source: Path) -> None:
    for key in ("a.fits", "b.fits", "sub/c.fits"):
        store.put(source, key, md5=md5(source))
    assert sorted(o.key for o in store.objects()) == ["a.fits", "b.fits"]
    assert [o.key for o in store.objects("sub")] == ["sub/c.fits"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../x.fits",
        "a/../../x.fits",
        "a//x.fits",
        "x\x00.fits",
        "x\n.fits",
        "a/./b",
        "x" * 300,
    ],
)
def test_names_cannot_leave_the_store(store: ObjectStore, source: Path, key: str) -> None:
    with pytest.raises(UnsafeNameError):
        store.put(source, key, md5=md5(source))
    with pytest.raises(UnsafeNameError):
        store.stat(key)


def test_a_directory_copy_with_wrong_bytes_is_refused_and_leaves_nothing(
    tmp_path: Path, source: Path
) -> None:
    store = DirectoryStore(tmp_path / "store")
    with pytest.raises(TransientError) as caught:
        store.put(source, "x.fits", md5="0" * 32)
    assert caught.value.reason == "checksum_mismatch"
    assert list(store.root.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the page cache is asked for as Linux has it")
def test_a_rebuild_leaves_of_a_file_nothing_in_memory_when_its_last_stage_has_seen_it(
    tmp_path: Path, source: Path
) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put(source, "x.fits")
    path = store.path_of("x.fits")
    one_pass = store.for_one_pass()
    for given in (store.handed_on("x.fits"), one_pass.handed_on("x.fits", keep=True)):
        with given as local:
            local.read_bytes()
        assert is_in_memory(path)
    with pytest.raises(RuntimeError), one_pass.handed_on("x.fits") as local:
        raise RuntimeError("there is nothing to be seen in it")
    assert not is_in_memory(path)
    assert path.read_bytes() == source.read_bytes()


class Saboteur:
    """A client that fails in a chosen way."""

    def __init__(self, client: Any, **failures: Any) -> None:
        self._client = client
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        return self._failures.get(name) or getattr(self._client, name)


def s3_error(status: int, code: str) -> Exception:
    from botocore.exceptions import ClientError

    return ClientError(
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "PutObject",
    )


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (503, "SlowDown", "s3_unavailable"),
        (500, "InternalError", "s3_unavailable"),
        (403, "AccessDenied", "s3_refused"),
    ],
)
def test_s3_errors_say_whether_trying_again_can_help(
    s3_server: str, tmp_path: Path, source: Path, status: int, code: str, reason: str
) -> None:
    store = make_s3_store(s3_server, tmp_path, f"errors-{status}")

    def fail(*_: object, **__: object) -> None:
        raise s3_error(status, code)

    store._client = Saboteur(store.client, upload_file=fail)
    with pytest.raises(Exception, match=code) as caught:
        store.put(source, "x.fits", md5=md5(source))
    assert caught.value.reason == reason  # type: ignore[attr-defined]


def test_an_answer_that_was_lost_after_the_object_was_stored_is_success(
    s3_server: str, tmp_path: Path, source: Path
) -> None:
    store = make_s3_store(s3_server, tmp_path, "lost-answer")
    client = store.client

    def store_then_fail(*args: Any, **kwargs: Any) -> None:
        client.upload_file(*args, **kwargs)
        raise s3_error(500, "RequestTimeout")

    store._client = Saboteur(client, upload_file=store_then_fail)
    assert store.put(source, "x.fits", md5=md5(source)).size == 300_000


@pytest.mark.parametrize("size", [300_000, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 1])
def test_bytes_that_changed_on_their_way_into_the_bucket_are_found(
    s3_server: str, s3_servers: Callable[[str], str], tmp_path: Path, source: Path, size: int
) -> None:
    store = make_s3_store(s3_server, tmp_path, f"way-in-{size}")
    client = store.client
    source.write_bytes(os.urandom(size))
    fetched: list[str] = []

    def fetch(*args: Any, **kwargs: Any) -> None:
        fetched.append(args[1])
        client.download_file(*args, **kwargs)

    # what arrives well is known by its tag alone, where the service makes tags as others do
    store._client = Saboteur(client, download_file=fetch)
    store.put(source, "x.fits", md5=md5(source))
    assert fetched == [] or (s3_server == s3_servers("rclone") and size >= PART_BYTES)

    def flip(path: str, *args: Any, **kwargs: Any) -> None:
        content = bytearray(Path(path).read_bytes())
        content[-1] ^= 1
        other = tmp_path / "flipped"
        other.write_bytes(content)
        client.upload_file(str(other), *args, **kwargs)

    store._client = Saboteur(client, upload_file=flip, download_file=fetch)
    with pytest.raises(TransientError, match="not those of its MD5") as caught:
        store.put(source, "x.fits", md5=md5(source))
    assert caught.value.reason == "checksum_mismatch"
    assert source.exists()


def test_fetched_bytes_that_are_not_those_of_the_metadata_are_refused(
    s3_server: str, tmp_path: Path, source: Path
) -> None:
    store = make_s3_store(s3_server, tmp_path, "bit-flip")
    store.client.put_object(Bucket="bit-flip", Key="x.fits", Body=b"damaged", Metadata={"md5": md5(source)})
    with pytest.raises(TransientError, match="not those of its MD5"), store.local("x.fits"):
        pass
    assert list((tmp_path / "fetched").iterdir()) == []


@pytest.mark.parametrize("action", ["put", "stat", "local", "objects", "delete"])
def test_a_bucket_that_does_not_exist_is_told_from_an_object_that_does_not(
    s3_server: str, tmp_path: Path, source: Path, action: str
) -> None:
    settings = S3Settings(bucket="never-made", endpoint_url=s3_server, max_attempts=1)
    store = S3Store(settings, tmp_path)
    with pytest.raises(FileError, match=r"does not exist: set s3\.bucket") as caught:
        if action == "put":
            store.put(source, "x.fits", md5=md5(source))
        elif action == "local":
            with store.local("x.fits"):
                pass
        elif action == "objects":
            list(store.objects())
        else:
            getattr(store, action)("x.fits")
    assert caught.value.reason == "s3_refused"


def test_the_underlay_is_read_and_never_written(s3_server: str, tmp_path: Path, source: Path) -> None:
    store = make_s3_store(s3_server, tmp_path, "main", "under")
    store.client.put_object(Bucket="under", Key="old.fits", Body=b"old", Metadata={})
    with store.local("old.fits") as path:
        assert path.read_bytes() == b"old"
    store.delete("old.fits")
    assert store.stat("old.fits") is not None


@pytest.mark.parametrize("size", [0, 300_000, 2 * PART_BYTES + 1])
def test_every_put_carries_the_md5_of_its_bytes(
    s3_server: str, tmp_path: Path, source: Path, size: int
) -> None:
    store = make_s3_store(s3_server, tmp_path, f"content-md5-{size}")
    source.write_bytes(os.urandom(size))
    sent: dict[str, str] = {}

    def note(request: Any, **_: Any) -> None:
        if request.method == "PUT":
            sent[request.url.rpartition("partNumber=")[2]] = _text(request.headers["Content-MD5"])
            assert "aws-chunked" not in _text(request.headers.get("Content-Encoding", ""))

    store.client.meta.events.register("before-send.s3", note)
    store.put(source, "x.fits", md5=md5(source))
    content = source.read_bytes()
    parts = [content[i : i + PART_BYTES] for i in range(0, max(size, 1), PART_BYTES)]
    assert sorted(sent.values()) == sorted(
        base64.b64encode(hashlib.md5(part).digest()).decode() for part in parts
    )


def test_uploads_in_parts_that_never_ended_are_aborted_when_they_are_old(
    s3_server: str, tmp_path: Path
) -> None:
    store = make_s3_store(s3_server, tmp_path, "unfinished")
    for name in ("one.fits", "two.fits"):
        store.client.create_multipart_upload(Bucket="unfinished", Key=name)
    now = datetime.now(UTC)
    assert store.end_unfinished(now - timedelta(days=20 * 365)) == []
    later = now + timedelta(hours=1)
    assert sorted(store.end_unfinished(later, dry_run=True)) == ["one.fits", "two.fits"]
    assert sorted(store.end_unfinished(later)) == ["one.fits", "two.fits"]
    assert store.end_unfinished(later) == []


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
