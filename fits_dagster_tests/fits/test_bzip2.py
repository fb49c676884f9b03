"""One answer to every form of bzip2 file: streams, tails, cuts, damage, wherever the pieces are cut."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fits_dagster.fits.bzip2 import CompressionError, expanded, plain_pieces
from fits_dagster.fits.problems import Problem
from fits_dagster.fits.reading import inspect_file, read_headers
from fits_dagster.fits.verify import completeness

CONTENT = b"SIMPLE  = " + bytes(range(256)) * 30
STREAM = bz2.compress(CONTENT)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def expand(data: bytes, size: int = 1 << 20) -> tuple[bytes, list[tuple[str, str]]]:
    problems: list[Problem] = []
    out = b"".join(expanded(pieces(data, size), problems))
    return out, [(problem.code, problem.severity) for problem in problems]


BROKEN = [("bad_compression", "refuse")]
TAIL = [("trailing_bytes", "warn")]


@pytest.mark.parametrize("size", [1, 3, 10, 1 << 20])
@pytest.mark.parametrize(
    ("data", "out", "found"),
    [
        (STREAM, CONTENT, []),
        (STREAM + STREAM, CONTENT * 2, []),
        (STREAM + bz2.compress(b""), CONTENT, []),  # an empty stream is one too
        (bz2.compress(b""), b"", []),
        (STREAM + b"\0" * 512, CONTENT, TAIL),
        (STREAM + b"trailing words\n", CONTENT, TAIL),
        (STREAM + b"BZ", CONTENT, TAIL),
        (STREAM + b"BZhello", CONTENT, TAIL),
        (STREAM + b"BZh9 and more", CONTENT, TAIL),
        (STREAM[:-1], None, BROKEN),
        (STREAM[:2], b"", BROKEN),
        (STREAM + STREAM[:-20], None, BROKEN),
        (STREAM + STREAM[:8], CONTENT, BROKEN),
        (CONTENT, b"", BROKEN),
        (b"", b"", []),
    ],
)
def test_streams_tails_and_cuts(data: bytes, out: bytes | None, found: object, size: int) -> None:
    given_out, problems = expand(data, size)
    assert out is None or given_out == out
    assert problems == found


@settings(max_examples=200, deadline=None)
@given(tail=st.binary(max_size=60), size=st.integers(1, 40))
def test_a_tail_never_costs_what_comes_before_it(tail: bytes, size: int) -> None:
    out, problems = expand(STREAM + tail, size)
    assert out[: len(CONTENT)] == CONTENT
    assert len(problems) == bool(tail)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(STREAM) - 1), byte=st.integers(1, 255))
def test_damage_is_a_finding_and_nothing_raises(at: int, byte: int) -> None:
    damaged = bytearray(STREAM)
    damaged[at] ^= byte
    out, problems = expand(bytes(damaged))
    assert problems == BROKEN or out == CONTENT


def test_every_reader_gives_the_same_answer(tmp_path: Path) -> None:
    header = b"".join(
        card.ljust(80) for card in (b"SIMPLE  =                    T", b"BITPIX  = 8", b"NAXIS   = 0", b"END")
    ).ljust(2880)
    path = tmp_path / "x.fits.bz2"
    path.write_bytes(bz2.compress(header[:100]) + bz2.compress(header[100:]) + b"\0" * 100)
    assert b"".join(plain_pieces(path)) == header
    assert len(read_headers(path)) == 1
    assert [problem.code for problem in inspect_file(path).problems] == ["trailing_bytes"]
    assert completeness(path).code == ""
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CompressionError, match="too early"):
        b"".join(plain_pieces(path))
    assert inspect_file(path).problems[0].code == "bad_compression"
    assert completeness(path).code == "bad_compression"
