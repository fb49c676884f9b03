"""What a FITS server holds: its present files, asked for by the first letters of their names."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import requests

from fits_dagster import __version__
from fits_dagster.destinations.base import DestinationDownError, Holding, name_prefix

__all__ = ["holdings"]

#: Answers of this length may have been cut by the server; then longer prefixes are asked for.
_LIMITS: Final = (500, 2000)
_LONGEST_PREFIX: Final = 40
_NAME_CHARACTERS: Final = string.digits + string.ascii_letters + "_-.+"


def holdings(url: str, names: Iterable[str], timeout: float) -> Mapping[str, Sequence[Holding]]:
    """Ask a server which of some files it has.

    Parameters
    ----------
    url
        Base address of the server.
    names
        File names without ``.bz2``. Those of a night are asked for together.
    timeout
        Seconds of silence after which a request has failed.

    Returns
    -------
    mapping
        Name -> its present versions there, one for each path. What was not asked for may be among them.

    Raises
    ------
    DestinationDownError
        It did not answer, or not with a list of files.
    """
    found: dict[str, list[Holding]] = {}
    with requests.Session() as session:
        session.headers["User-Agent"] = f"fits_dagster/{__version__}"
        for prefix in sorted({name_prefix(name) for name in names}):
            for entry in _ask(session, url.rstrip("/"), prefix, timeout):
                holding = Holding(entry["name"], str(entry.get("path", "")), entry["data_md5"])
                found.setdefault(holding.name, []).append(holding)
    return found


def _ask(session: requests.Session, url: str, prefix: str, timeout: float) -> list[Mapping[str, Any]]:
    query = f"{url}/jsonfilelist/present/filepre={quote(prefix)}"
    try:
        response = session.get(query, timeout=timeout, allow_redirects=False)
        if response.status_code != 200:
            raise DestinationDownError(f"{query}: status {response.status_code}")
        answer = response.json()
        entries = [entry for entry in answer if isinstance(entry["name"], str)]
        complete = all(isinstance(entry["data_md5"], str) for entry in entries)
    except requests.RequestException as error:
        raise DestinationDownError(f"{query}: {error}") from error
    except (ValueError, TypeError, LookupError) as error:
        raise DestinationDownError(f"{query}: the answer is no list of files") from error
    if not complete:
        raise DestinationDownError(f"{query}: the answer lacks data_md5")
    if len(entries) not in _LIMITS or len(prefix) >= _LONGEST_PREFIX:
        return entries
    # the answer may have been cut: ask for each continuation of the prefix
    return [
        entry for character in _NAME_CHARACTERS for entry in _ask(session, url, prefix + character, timeout)
    ] + [entry for entry in entries if entry["name"] == prefix]
