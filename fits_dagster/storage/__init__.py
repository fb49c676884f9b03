"""Object stores: a directory or an S3 bucket, behind one small interface."""

from __future__ import annotations

from typing import Any

from fits_dagster.settings import SiteSettings
from fits_dagster.storage.base import (
    QUARANTINE_PATH,
    ObjectInfo,
    ObjectStore,
    UnsafeNameError,
    check_key,
    require_md5,
)
from fits_dagster.storage.directory import DirectoryStore
from fits_dagster.storage.s3 import S3Store

__all__ = [
    "QUARANTINE_PATH",
    "DirectoryStore",
    "ObjectInfo",
    "ObjectStore",
    "S3Store",
    "UnsafeNameError",
    "check_key",
    "open_store",
    "require_md5",
]


def open_store(settings: SiteSettings, s3_client: Any = None) -> ObjectStore:
    """Open the store that a site's settings name.

    Parameters
    ----------
    s3_client
        A boto3 S3 client to use; by default one is made from the settings.

    Raises
    ------
    ValueError
        The settings name no place for it.
    """
    if settings.store == "s3":
        if not settings.s3.bucket or settings.staging_directory is None:
            raise ValueError(f"{settings.title}: an S3 store needs s3.bucket and staging_directory")
        return S3Store(settings.s3, settings.staging_directory, s3_client)
    if settings.store_directory is None:
        raise ValueError(f"{settings.title}: a directory store needs store_directory")
    settings.store_directory.mkdir(parents=True, exist_ok=True)
    return DirectoryStore(settings.store_directory, links=settings.store_links)
