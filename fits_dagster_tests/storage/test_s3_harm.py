"""What goes wrong between us and an S3 service: nothing is stored wrongly, and the next attempt succeeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from fits_dagster.errors import Retry, describe_error
from fits_dagster.storage import S3Store
from fits_dagster.storage.etag import PART_BYTES
from fits_dagster_tests.builders.s3 import (
    SERVERS,
    Deed,
    Harm,
    bucket_at,
    harmful_proxy,
    s3_server_of,
    store_at,
)

KEY = "2025/N20251123S0001.fits"
SMALL, IN_PARTS = 300_000, 2 * PART_BYTES + 1


@pytest.fixture(scope="module", params=SERVERS)
def harm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harm]:
    """A proxy before a server of each make."""
    directory = tmp_path_factory.mktemp("s3") / "objects"
    directory.mkdir()
    with s3_server_of(request.param, directory) as server, harmful_proxy(server) as proxy:
        yield proxy


@pytest.fixture
def store(harm: Harm, tmp_path: Path) -> Iterator[S3Store]:
    harm.deed, harm.times, harm.suffered = None, 1_000, []
    harm.wanted = lambda method, path: True
    bucket = f"frames-{uuid4().hex[:12]}"
    bucket_at(harm.url, bucket)
    yield store_at(harm.url, tmp_path / "staging", bucket)
    harm.deed = None


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.fits"
    path.write_bytes(os.urandom(SMALL))
    return path


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def holds(store: S3Store, source: Path) -> bool:
    with store.local(KEY) as path:
        return path.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("deed", "size"),
    [*((deed, SMALL) for deed in ("refuse", "drop", "silence", "flip_request")), ("flip_request", IN_PARTS)],
)
def test_a_put_that_goes_wrong_is_worth_another_attempt_which_succeeds(
    harm: Harm, store: S3Store, source: Path, deed: Deed, size: int
) -> None:
    source.write_bytes(os.urandom(size))
    harm.deed, harm.wanted = deed, lambda method, path: method == "PUT"
    with pytest.raises(Exception) as caught:
        store.put(source, KEY, md5=md5(source), move=True)
    reason, retry, _, _ = describe_error(caught.value)
    assert retry is Retry.BACKOFF
    assert reason in ("s3_unavailable", "checksum_mismatch")
    assert harm.suffered
    assert source.exists(), "what was to be moved stays until it has arrived"
    harm.deed = None
    assert store.stat(KEY) is None, "no part of it is visible"
    content = source.read_bytes()
    store.put(source, KEY, md5=md5(source), move=True)
    source.write_bytes(content)
    assert holds(store, source)


@pytest.mark.parametrize("deed", ["refuse", "drop", "flip_request"])
def test_a_put_that_goes_wrong_once_succeeds_by_the_librarys_own_attempts(
    harm: Harm, store: S3Store, source: Path, tmp_path: Path, deed: Deed
) -> None:
    patient = store_at(harm.url, tmp_path / "staging", store.settings.bucket, attempts=3)
    harm.deed, harm.wanted, harm.times = deed, lambda method, path: method == "PUT", 1
    if deed == "flip_request":  # the service says so, and the library does not repeat what is wrong
        with pytest.raises(Exception) as caught:
            patient.put(source, KEY, md5=md5(source))
        assert describe_error(caught.value)[0] == "checksum_mismatch"
        return
    patient.put(source, KEY, md5=md5(source))
    assert len(harm.suffered) == 1
    assert holds(patient, source)


def test_an_answer_that_is_lost_after_the_object_was_stored_is_success(
    harm: Harm, store: S3Store, source: Path
) -> None:
    harm.deed, harm.wanted = "lose_answer", lambda method, path: method == "PUT"
    assert store.put(source, KEY, md5=md5(source)).size == SMALL
    assert holds(store, source)


@pytest.mark.parametrize(
    ("deed", "size"),
    [
        *(
            (deed, SMALL)
            for deed in ("refuse", "drop", "silence", "lose_answer", "cut_answer", "flip_answer")
        ),
        ("flip_answer", IN_PARTS),
    ],
)
def test_a_fetch_that_goes_wrong_gives_no_bytes_and_leaves_none(
    harm: Harm, store: S3Store, source: Path, deed: Deed, size: int
) -> None:
    source.write_bytes(os.urandom(size))
    store.put(source, KEY, md5=md5(source))
    harm.deed, harm.wanted = deed, lambda method, path: method == "GET"
    with pytest.raises(Exception) as caught, store.local(KEY):
        pytest.fail("bytes were given")
    reason, retry, _, _ = describe_error(caught.value)
    assert retry is Retry.BACKOFF
    assert reason in ("s3_unavailable", "checksum_mismatch")
    assert list((store.staging / "fetched").iterdir()) == []
    harm.deed = None
    assert holds(store, source)


@pytest.mark.parametrize("deed", ["refuse", "drop", "silence", "lose_answer", "cut_answer"])
def test_a_listing_that_goes_wrong_is_no_empty_store(
    harm: Harm, store: S3Store, source: Path, deed: Deed
) -> None:
    store.put(source, KEY, md5=md5(source))
    harm.deed = deed
    with pytest.raises(Exception) as caught:
        list(store.objects("2025"))
    assert describe_error(caught.value)[1] is Retry.BACKOFF
    harm.deed = None
    assert [entry.key for entry in store.objects("2025")] == [KEY]
