"""Cards are formatted by the standard; slow writing shows a growing file under its final name."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.io import fits
from hypothesis import assume, given
from hypothesis import strategies as st

from fits_dagster.simulator import frame_bytes, plan_night, write_slowly
from fits_dagster.simulator.cards import fill, format_card, header_block

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(st.one_of(PRINTABLE, st.booleans(), st.integers(-(10**15), 10**15), st.floats(-1e30, 1e30)))
def test_astropy_reads_back_what_a_card_was_given(value: str | int | float | bool) -> None:
    # astropy takes a quote and a slash for the end of a text, in cards that it wrote itself as well
    assume(not isinstance(value, str) or "'/" not in value)
    card = format_card("KEY", value, "what it is")
    read = fits.Card.fromstring(card)
    read.verify("exception")
    assert len(card) == 80
    assert read.value == (value.rstrip() if isinstance(value, str) else value)


def test_a_text_beyond_one_card_is_refused() -> None:
    with pytest.raises(ValueError, match="OBJECT"):
        format_card("OBJECT", "x" * 80)


def test_a_header_fills_whole_blocks() -> None:
    assert len(header_block([format_card("SIMPLE", True)] * 36)) == 2 * 2880


def test_a_template_takes_values_and_appends_what_it_lacks() -> None:
    cards = fill([("A", 1, "first"), ("B", 2, "second")], {"B": 5, "C": 7})
    assert cards == [("A", 1, "first"), ("B", 5, "second"), ("C", 7, "")]


def test_slow_writing_grows_in_place_and_ends_complete(tmp_path: Path) -> None:
    data = frame_bytes(plan_night("20251123", files=1)[0])
    target = tmp_path / "N20251123S0001.fits"
    pauses: list[tuple[float, int]] = []

    def wait(seconds: float) -> None:
        assert [path.name for path in tmp_path.iterdir()] == [target.name]
        pauses.append((seconds, target.stat().st_size))

    write_slowly(data, target, seconds=6.0, chunks=4, wait=wait)
    assert [pause for pause, _ in pauses] == [2.0, 2.0, 2.0]
    sizes = [size for _, size in pauses]
    assert sizes == sorted(set(sizes)) and sizes[-1] < len(data)
    assert target.read_bytes() == data


@pytest.mark.parametrize("chunks", [1, 3, 100])
def test_a_short_source_file_arrives_whole(tmp_path: Path, chunks: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"twelve bytes")
    write_slowly(source, tmp_path / "copy", seconds=0.0, chunks=chunks, wait=lambda _: None)
    assert (tmp_path / "copy").read_bytes() == b"twelve bytes"
