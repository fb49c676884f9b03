"""Files rebuilt from header dumps keep every card as it was and have the structure that the cards declare."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from astropy.io import fits

from fits_dagster.simulator import rebuild_from_headers
from fits_dagster.simulator.rebuild import split_dump

DUMP = """Filename: X.fits

AstroData Tags: {'RAW'}

--- PHU ---
SIMPLE  =                    T / conforms
BITPIX  =                   16
NAXIS   =                    0
EXTEND  =                    T
COMMENT  free text = with a sign
TELPA   =  / a card without value
Object  = 'mixed case'         / as Alopeke writes it


--- HDU 0 ---
XTENSION= 'IMAGE   '
BITPIX  =                   32
NAXIS   =                    2
NAXIS1  =                  300 / length of data axis 1
NAXIS2  =                   10
PCOUNT  =                    0
GCOUNT  =                    1
DETSEC  = '[1:300,1:10]'
END
# HDU 2 in X.fits:
XTENSION= 'BINTABLE'
BITPIX  =                    8
NAXIS   =                    2
NAXIS1  =                    4
NAXIS2  =                    7
PCOUNT  =                   12
GCOUNT  =                    1
TFIELDS =                    1
TFORM1  = 'J       '
TTYPE1  = 'NUMBER  '
column  unit
------  ----
"""


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    directory = tmp_path / "dumps" / "INSTRUMENT"
    directory.mkdir(parents=True)
    (directory / "X.txt").write_text(DUMP)
    return tmp_path / "dumps"


def test_a_dump_is_split_at_its_first_cards_and_other_lines_are_left_out() -> None:
    hdus = split_dump(DUMP)
    assert [len(hdu.cards) for hdu in hdus] == [7, 8, 10]
    assert "TELPA   =  / a card without value" in hdus[0].cards


def test_zeros_give_a_sparse_file_of_the_declared_length(dumps: Path, tmp_path: Path) -> None:
    (path,) = rebuild_from_headers(dumps, tmp_path / "out", data="zeros")
    assert path.name == "X.fits"
    assert path.stat().st_size == 2880 + (2880 + 5 * 2880) + (2880 + 2880)
    with fits.open(path) as file:
        assert file[1].data.shape == (10, 300) and not file[1].data.any()
        assert len(file[2].data) == 7


def test_noise_fills_the_images(dumps: Path, tmp_path: Path) -> None:
    (path,) = rebuild_from_headers(dumps, tmp_path / "out", data="noise")
    with fits.open(path) as file:
        assert file[1].data.shape == (10, 300)
        assert 900 < file[1].data.mean() < 1100 and file[1].data.std() > 10


def test_shrunk_cuts_the_axes_and_leaves_section_keywords_alone(dumps: Path, tmp_path: Path) -> None:
    (path,) = rebuild_from_headers(dumps, tmp_path / "out", data="shrunk")
    with fits.open(path) as file:
        assert file[1].data.shape == (10, 64)
        assert file[1].header["DETSEC"] == "[1:300,1:10]"
        assert file[1].header.comments["NAXIS1"] == "length of data axis 1"
        assert file[2].header["NAXIS2"] == file[2].header["PCOUNT"] == 0


def test_a_broken_size_is_kept_and_told(dumps: Path, tmp_path: Path) -> None:
    broken = DUMP.replace("NAXIS1  =                  300", "NAXIS1  = 'three'")
    (dumps / "INSTRUMENT" / "X.txt").write_text(broken)
    (dumps / "empty.txt").write_text("nothing of a header")
    told: list[tuple[str, str]] = []
    paths = rebuild_from_headers(
        dumps, tmp_path / "out", problem=lambda path, text: told.append((path.name, text))
    )
    assert [path.name for path in paths] == ["X.fits"]
    assert b"NAXIS1  = 'three'" in paths[0].read_bytes()
    assert told[0][0] == "X.fits" and "HDU 1" in told[0][1] and "NAXIS1  = 'three'" in told[0][1]
    assert told[1][0] == "empty.fits"


def test_every_real_header_becomes_a_readable_file(reference_data: Path, tmp_path: Path) -> None:
    headers = reference_data / "gemini-headers" / "headers"
    told: list[str] = []
    paths = rebuild_from_headers(
        headers, tmp_path, data="shrunk", problem=lambda path, text: told.append(text)
    )
    assert len(paths) == len(list(headers.rglob("*.txt"))) and not told
    dumps = {dump.stem: dump for dump in headers.rglob("*.txt")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            hdus = split_dump(dumps[path.name.removesuffix(".fits")].read_text(errors="replace"))
            with fits.open(path) as file:
                assert len(file) == len(hdus), path.name


def test_cards_of_real_headers_are_kept_to_the_byte(reference_data: Path, tmp_path: Path) -> None:
    headers = reference_data / "gemini-headers" / "headers" / "GHOST"
    for path in rebuild_from_headers(headers, tmp_path, data="zeros"):
        dump = (headers / f"{path.stem}.txt").read_text(errors="replace")
        cards = split_dump(dump)[0].cards
        with path.open("rb") as file:
            written = file.read(80 * len(cards))
        assert [written[i : i + 80].decode().rstrip() for i in range(0, len(written), 80)] == [
            card.rstrip() for card in cards
        ]
