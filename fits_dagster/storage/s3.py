"""A store in an S3 bucket. Every object carries the MD5 of its bytes as metadata ``md5``."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from fits_dagster.errors import DataflowError, FileError, TransientError
from fits_dagster.settings import S3Settings
from fits_dagster.storage.base import ObjectInfo, Wanted, all_names, check_key, require_md5
from fits_dagster.storage.etag import PART_BYTES, expected_tag
from fits_dagster.storage.kept import KeptCopies, version_of
from fits_dagster.storage.landing import TEMPORARY_MARK, md5_of

__all__ = ["S3Store"]

_CONNECT_TIMEOUT_S = 10
_CHUNK = 1 << 20


class S3Store:
    """Objects in a bucket, with an optional read-only underlay bucket asked for what the first lacks."""

    has_reliable_times = False

    def __init__(self, settings: S3Settings, staging: Path, client: Any = None) -> None:
        self.settings = settings
        self.staging = staging
        self.kept = KeptCopies(staging / "fetched" / "kept", settings.keep_mb * 1_000_000)
        self._client = client
        self._makes_clients = client is None
        self._needs_credentials = False
        self._seen_buckets: set[str] = set()

    @property
    def client(self) -> Any:
        """The boto3 client: the one given, else one made when it is first needed."""
        client = self._client
        if client is None:
            import boto3
            from botocore.config import Config

            # the common session remembers credentials for as long as the process lives
            session = boto3.session.Session() if self._needs_credentials else boto3
            client = self._client = session.client(
                "s3",
                region_name=self.settings.region,
                endpoint_url=self.settings.endpoint_url or None,
                config=Config(
                    retries={"max_attempts": self.settings.max_attempts, "mode": "standard"},
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    read_timeout=self.settings.silence_seconds,
                    # every service knows Content-MD5; newer sums come in a form that older ones refuse
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
            for operation in ("PutObject", "UploadPart"):
                client.meta.events.register(f"before-call.s3.{operation}", _add_content_md5)
        return client

    def put(
        self, source: Path, key: str, *, md5: str | None = None, move: bool = False, keep: bool = False
    ) -> ObjectInfo:
        """Upload a file with its MD5 as metadata, and make sure that the bytes arrived.

        By the tag that the service has made of them, or else by reading them back.

        Raises
        ------
        TransientError
            The bucket did not take it now, or does not hold what was sent.
        FileError
            It does not take it as things are set up (``s3_refused``).
        """
        from boto3.s3.transfer import TransferConfig

        check_key(key)
        md5 = md5 or md5_of(source)
        size = source.stat().st_size
        # summed up while it is sent
        beside = ThreadPoolExecutor(1, thread_name_prefix="etag")
        tag = beside.submit(expected_tag, source, size, md5)
        beside.shutdown(wait=False)
        try:
            with self._errors(key, "put"):
                self.client.upload_file(
                    str(source),
                    self.settings.bucket,
                    key,
                    ExtraArgs={"Metadata": {"md5": md5}},
                    Config=TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES),
                )
        except DataflowError:
            # the object may have been stored although the answer was lost
            if not self._holds(key, size, md5):
                raise
        stored = self.stat(key)
        if stored is None or stored.size != size or stored.md5 != md5:
            raise TransientError(
                f"{key}: bucket {self.settings.bucket} holds {stored} instead of {size} bytes with MD5 {md5}",
                reason="checksum_mismatch",
            )
        if stored.tag != tag.result():
            # the service makes its tags in another way, or holds other bytes: only these can tell
            self._read_back(key)
        if move and keep:
            self.kept.give(stored, source)
        elif move:
            source.unlink(missing_ok=True)
        return stored

    def _read_back(self, key: str) -> None:
        """Verify the bytes of an object that was just put; wrong ones do not stay under its name.

        Raises
        ------
        TransientError
            They are not those of its MD5, or cannot be read now.
        """
        try:
            with self.local(key):
                pass
        except TransientError as error:
            if error.reason == "checksum_mismatch":
                with suppress(DataflowError):  # what cannot be removed is replaced by the next attempt
                    self.delete(key)
            raise

    def stat(self, key: str) -> ObjectInfo | None:
        """Look at an object in the bucket, then in the underlay."""
        check_key(key)
        for bucket in self._buckets():
            found = self._head(bucket, key)
            if found is not None:
                return found
        return None

    @contextmanager
    def local(self, key: str, *, verify: bool = True) -> Iterator[Path]:
        """Fetch an object, verify its MD5 unless that is not wanted, and give it as a temporary file.

        Raises
        ------
        FileNotFoundError
            Neither bucket has it.
        TransientError
            The bytes are not those that the metadata promise (reason ``checksum_mismatch``).
        """
        info = self._found(key)
        with self._temporary(key) as path:
            self._fetch(info, path, verify=verify)
            yield path

    @contextmanager
    def handed_on(
        self,
        key: str,
        info: ObjectInfo | None = None,
        *,
        md5: str | None = None,
        verify: bool = True,
        keep: bool = False,
    ) -> Iterator[Path]:
        """Fetch an object as `local` does, or take the copy that the stage before has kept."""
        with self._temporary(key) as path:
            # the bucket need not be asked for what is known and at hand
            if md5 is None or keep or not self.kept.take(key, md5, path):
                info = info or self._found(key)
                if not self.kept.take(key, version_of(info), path):
                    self._fetch(info, path, verify=verify)
            yield path
            if keep and info is not None:
                self.kept.give(info, path)

    def for_one_pass(self) -> S3Store:
        """Return this store: copies go away with the last who asks for them."""
        return self

    def _found(self, key: str) -> ObjectInfo:
        info = self.stat(key)
        if info is None:
            raise FileNotFoundError(f"{key} is not in bucket {self.settings.bucket}")
        return info

    @contextmanager
    def _temporary(self, key: str) -> Iterator[Path]:
        """Give a place for a file of an object's name."""
        directory = self.staging / "fetched"
        directory.mkdir(parents=True, exist_ok=True)
        holder = directory / f"{TEMPORARY_MARK}{secrets.token_hex(8)}"
        holder.mkdir()
        path = holder / key.rpartition("/")[2]
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            holder.rmdir()

    def _fetch(self, info: ObjectInfo, path: Path, *, verify: bool) -> None:
        with self._errors(info.key, "get"):
            self.client.download_file(info.bucket, info.key, str(path))
        if verify and info.md5 is not None:
            require_md5(info, md5_of(path))

    def objects(self, path: str = "", *, wanted: Wanted = all_names) -> Iterator[ObjectInfo]:
        """List the objects directly under a path. The MD5 is not part of a listing."""
        prefix = f"{check_key(path)}/" if path else ""
        with self._errors(prefix, "list"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.settings.bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    if wanted(entry["Key"].rpartition("/")[2]):
                        yield ObjectInfo(entry["Key"], entry["Size"], entry["LastModified"], None)

    def paths(self) -> Iterator[str]:
        """List the common prefixes, level by level."""
        waiting = [""]
        while waiting:
            path = waiting.pop(0)
            yield path
            prefix = f"{path}/" if path else ""
            with self._errors(prefix, "list"):
                pages = self.client.get_paginator("list_objects_v2").paginate(
                    Bucket=self.settings.bucket, Prefix=prefix, Delimiter="/"
                )
                for page in pages:
                    found = (entry["Prefix"].rstrip("/") for entry in page.get("CommonPrefixes", ()))
                    waiting += [each for each in found if each]

    def end_unfinished(self, before: datetime, *, dry_run: bool = False) -> list[str]:
        """Abort uploads in parts that began before a time and never ended: their parts cost room unseen.

        Returns
        -------
        list of str
            Keys.
        """
        ended = []
        with self._errors("", "list of unfinished uploads"):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.settings.bucket)
            for page in pages:
                for entry in page.get("Uploads", ()):
                    if entry["Initiated"] >= before:
                        continue
                    ended.append(entry["Key"])
                    if not dry_run:
                        self.client.abort_multipart_upload(
                            Bucket=self.settings.bucket, Key=entry["Key"], UploadId=entry["UploadId"]
                        )
        return ended

    def delete(self, key: str) -> None:
        """Remove an object from the bucket; never from the underlay."""
        check_key(key)
        with self._errors(key, "delete"):
            self.client.delete_object(Bucket=self.settings.bucket, Key=key)

    def _buckets(self) -> list[str]:
        return [b for b in (self.settings.bucket, self.settings.underlay_bucket) if b]

    def _holds(self, key: str, size: int, md5: str) -> bool:
        """Tell whether an object is certainly there with this content."""
        try:
            there = self.stat(key)
        except DataflowError:
            return False
        return there is not None and (there.size, there.md5) == (size, md5)

    def _head(self, bucket: str, key: str) -> ObjectInfo | None:
        from fits_dagster.storage.s3_errors import is_bare_refusal

        try:
            with self._errors(key, "head"):
                answer = self.client.head_object(Bucket=bucket, Key=key)
                # services write the names of metadata in their own upper and lower case
                metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
                md5 = metadata.get("md5")
                tag = str(answer.get("ETag", "")).strip('"') or None
                return ObjectInfo(key, answer["ContentLength"], answer["LastModified"], md5, tag, bucket)
        except FileNotFoundError:
            self._check_bucket(bucket)
            return None
        except DataflowError as error:
            if not (isinstance(error.__cause__, Exception) and is_bare_refusal(error.__cause__)):
                raise
            refused = error
        # the answer to HEAD has no body; that to GET says why
        try:
            with self._errors(key, "get"):
                self.client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except FileNotFoundError:
            return None
        except DataflowError as said:
            raise said from refused
        raise TransientError(f"{refused}, but it may be read", reason="s3_unknown") from refused

    def _check_bucket(self, bucket: str) -> None:
        """Make sure that an object is missing because it is, and not because its bucket is.

        Raises
        ------
        FileError
            There is no such bucket.
        """
        if bucket in self._seen_buckets:
            return
        try:
            with self._errors("", "head of the bucket"):
                self.client.head_bucket(Bucket=bucket)
        except FileNotFoundError as error:
            raise FileError(
                f"bucket {bucket} does not exist: set s3.bucket, or make it", reason="s3_refused"
            ) from error
        except DataflowError:
            return  # it answers for objects; whether it may be looked at itself is another matter
        self._seen_buckets.add(bucket)

    @contextmanager
    def _errors(self, key: str, action: str) -> Iterator[None]:
        """Turn errors of the service, and of the library that talks to it, into ours.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        """
        from fits_dagster.storage.s3_errors import (
            classify_error,
            is_about_credentials,
            is_not_found,
            is_of_library,
        )

        try:
            yield
        except DataflowError:
            raise
        except Exception as error:  # the library wraps and raises several families of errors
            if isinstance(error, OSError) and not is_of_library(error):
                raise  # a file of ours
            doing = f"S3 {action} of {key!r} in {self.settings.bucket}"
            if is_not_found(error):
                raise FileNotFoundError(f"{doing}: there is no such object") from error
            classified = classify_error(error, doing)
            if self._makes_clients and is_about_credentials(classified, error):
                self._client, self._needs_credentials = None, True  # the next one looks for them anew
            raise classified from error


def _add_content_md5(params: dict[str, Any], **_: Any) -> None:
    """Send the MD5 of the bytes along, so that the service refuses what has changed on its way."""
    body = params["body"]
    digest = hashlib.md5(usedforsecurity=False)
    if isinstance(body, bytes | bytearray):
        digest.update(body)
    else:
        begin = body.tell()
        while chunk := body.read(_CHUNK):
            digest.update(chunk)
        body.seek(begin)
    params["headers"]["Content-MD5"] = base64.b64encode(digest.digest()).decode()
