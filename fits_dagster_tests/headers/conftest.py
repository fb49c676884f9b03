"""A frame, a summit that exports it, and an archive that takes header edits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from astropy.io import fits
from pydantic import SecretStr

from fits_dagster.sites import Site
from fits_dagster.web.app import create_app
from fits_dagster_tests.builders.sites import serve
from fits_dagster_tests.headers.two_sites import (
    API,
    connected,
    with_settings,
)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory, night: list[Path]) -> Path:
    """A GMOS file of several extensions, with CHECKSUM and DATASUM in each."""
    path = tmp_path_factory.mktemp("frames") / night[0].name
    with fits.open(night[0]) as hdus:
        assert len(hdus) > 3
        hdus.writeto(path, checksum=True)
    return path


@pytest.fixture
def receiving(archive: Site) -> Site:
    """An archive that takes header edits."""
    return with_settings(archive, api_cookies=(SecretStr(API),))


@pytest.fixture
def sending(summit: Site, receiving: Site) -> Iterator[Site]:
    """A summit that exports to it over HTTP."""
    server, stop = serve(create_app(receiving, session_hours=1))
    yield connected(summit, server.url)
    stop()
