"""Nothing but a regular file is read, and nobody is waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fits_dagster.errors import describe_error
from fits_dagster.fits.bzip2 import plain_pieces
from fits_dagster.fits.edit import Edit, edit_headers
from fits_dagster.fits.reading import inspect_file, read_headers
from fits_dagster.fits.verify import completeness
from fits_dagster.previews import PreviewRequest, rendered
from fits_dagster.storage.landing import md5_of

READERS: list[Callable[[Path], object]] = [
    inspect_file,
    read_headers,
    completeness,
    md5_of,
    lambda path: list(plain_pieces(path)),
    lambda path: rendered(path, PreviewRequest(None)),
    lambda path: edit_headers(path, [Edit(set={"A": 1})]),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", ["", ".bz2"])
@pytest.mark.parametrize("reader", READERS)
def test_a_fifo_or_a_directory_keeps_no_reader_waiting(
    tmp_path: Path, reader: Callable[[Path], object], suffix: str
) -> None:
    fifo, directory = tmp_path / f"fifo.fits{suffix}", tmp_path / f"directory.fits{suffix}"
    os.mkfifo(fifo)
    directory.mkdir()
    for path, reason in ((fifo, "not_a_file"), (directory, "is_a_directory")):
        with pytest.raises(OSError) as caught:
            reader(path)
        assert describe_error(caught.value)[0] == reason


def test_what_is_said_of_a_name_that_is_not_utf8_can_be_kept(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        inspect_file(tmp_path / os.fsdecode(b"caf\xe9.fits"))
    _, _, line, trace = describe_error(caught.value)
    (line + trace).encode()
    (describe_error(ValueError("caf\udce9"))[2]).encode()
