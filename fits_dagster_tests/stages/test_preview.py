"""Previews: what crashes a decoder, claims too much or cannot be decoded fails alone, with its reason."""

from __future__ import annotations

import bz2
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.previews import NoPreview, PreviewInfo, PreviewRequest
from fits_dagster.previews import rendered as drawn_alone
from fits_dagster.settings import Settings
from fits_dagster.sites import Site
from fits_dagster.stages import ingest, preview
from fits_dagster.stages.observation import observe, observe_and_draw
from fits_dagster.stages.sketches import Sketches


def ingested(site: Site, *paths: Path) -> None:
    for path in paths:
        site.store.put(path, path.name, md5=hashlib.md5(path.read_bytes()).hexdigest())
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=path.name) for path in paths])
    assert drain(site, ingest.STAGE).done == len(paths)


def rendered(site: Site) -> DrainReport:
    return drain(site, preview.PreviewStage())


def packed(path: Path, directory: Path) -> Path:
    target = directory / f"{path.name}.bz2"
    target.write_bytes(bz2.compress(path.read_bytes()))
    return target


def compressed(path: Path, kind: str) -> Path:
    rows, columns = np.mgrid[0:100, 0:150]
    pixels = (1000 + (7 * columns + 3 * rows) % 500).astype("i2")
    image = fits.CompImageHDU(pixels, compression_type=kind, tile_shape=(20, 150))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    return path


def with_wild_tile(path: Path) -> Path:
    """A tile that says that it is 100 000 pixels wide: the decoder writes where it must not, and dies."""
    with fits.open(path, disable_image_compression=True) as file:
        table = file[1].header
        heap = file.fileinfo(1)["datLoc"] + table["NAXIS1"] * table["NAXIS2"]
    content = bytearray(path.read_bytes())
    content[heap + 2 : heap + 10] = struct.pack(">ii", 100_000, 100_000)
    path.write_bytes(content)
    return path


def with_card(path: Path, keyword: str, value: int) -> Path:
    content = path.read_bytes()
    at = content.find(keyword.ljust(8).encode() + b"= ")
    path.write_bytes(content[:at] + f"{keyword:<8}= {value:>20}".ljust(80).encode() + content[at + 80 :])
    return path


def test_a_decoder_that_crashes_takes_nobody_along(archive: Site, tmp_path: Path, night: list[Path]) -> None:
    crash = with_wild_tile(compressed(tmp_path / "N20251123S0901.fits", "HCOMPRESS_1"))
    good = compressed(tmp_path / "N20251123S0902.fits", "HCOMPRESS_1")
    ingested(archive, crash, good, night[0])
    report = rendered(archive)
    assert report.done == 2
    [failure] = report.failures
    assert (failure.filename, failure.reason) == (crash.name, "damaged_data")
    assert "HDU 1" in failure.error and "SIGSEGV" in failure.error
    with archive.engine.connect() as connection:
        assert connection.scalar(text("select count(*) from preview")) == 2


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("ZNAXIS1", 2_000_000_000, "claims an image of"),
        ("ZTILE1", 0, "ZTILE1 is 0"),
        ("ZNAXIS2", 1000, "rows for"),
        ("ZBITPIX", 17, "ZBITPIX is 17"),
    ],
)
def test_what_a_header_claims_is_looked_at_before_memory_is_asked_for(
    archive: Site, tmp_path: Path, keyword: str, value: int, told: str
) -> None:
    path = with_card(compressed(tmp_path / "N20251123S0903.fits", "RICE_1"), keyword, value)
    ingested(archive, path)
    [failure] = rendered(archive).failures
    assert failure.reason == "unreadable"
    assert told in failure.error and "HDU 1" in failure.error


def test_a_load_goes_on_after_a_decoder_has_crashed(settings: Settings, tmp_path: Path) -> None:
    from fits_dagster.system.load import initial_load

    crash = with_wild_tile(compressed(tmp_path / "N20251123S0904.fits", "HCOMPRESS_1"))
    good = compressed(tmp_path / "N20251123S0905.fits", "HCOMPRESS_1")
    report = initial_load(settings, "archive", [crash, good])
    assert [(f.filename, f.reason) for f in report.failures] == [(crash.name, "damaged_data")]
    assert report.outcomes["preview"] == {"rendered": 1}


def test_a_compressed_file_is_decompressed_once_for_its_record_and_its_preview(
    archive: Site, tmp_path: Path, night: list[Path]
) -> None:
    path = packed(night[0], tmp_path)
    ingested(archive, path)
    # a second look at it would find nothing
    archive.store.delete(path.name)
    assert rendered(archive).outcomes == {"rendered": 1}
    tags = observe(night[0], night[0].name).description
    assert tags is not None
    _, jpeg = drawn_alone(night[0], PreviewRequest("GMOS-N", tags.tags))
    with archive.store.local(preview.preview_key(archive, "", path.name)) as picture:
        assert picture.read_bytes() == jpeg


def test_a_compressed_file_without_an_image_is_looked_at_once(archive: Site, tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "N20251123S0906.fits")
    path = packed(tmp_path / "N20251123S0906.fits", tmp_path)
    ingested(archive, path)
    archive.store.delete(path.name)
    assert rendered(archive).outcomes == {"no_preview": 1}


def test_a_decoder_that_crashes_costs_the_preview_and_not_the_record(archive: Site, tmp_path: Path) -> None:
    crash = with_wild_tile(compressed(tmp_path / "N20251123S0907.fits", "HCOMPRESS_1"))
    ingested(archive, packed(crash, tmp_path))
    [failure] = rendered(archive).failures
    assert failure.reason == "damaged_data" and "SIGSEGV" in failure.error


def test_what_decompresses_to_more_than_is_kept_is_drawn_by_its_own_stage(
    archive: Site, tmp_path: Path, night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(night[0], tmp_path)
    alone = observe(path, path.name)
    assert observe_and_draw(path, path.name)[0] == alone
    monkeypatch.setattr("fits_dagster.fits.reading.MOST_KEPT", 100_000)
    assert observe_and_draw(path, path.name) == (alone, None)


def test_a_sketch_is_of_one_version_and_is_taken_once(tmp_path: Path) -> None:
    sketches, drawing = Sketches(tmp_path), (PreviewInfo(3, 2, 4, "image", 0.0, 1.5), b"\n\xff\nx")
    sketches.give("a/b.fits.bz2", "1" * 32, drawing)
    sketches.give("b.fits.bz2", "1" * 32, NoPreview("no_image", "HDU 0"))
    assert sketches.take("a/b.fits.bz2", "2" * 32) is None
    assert sketches.take("a/b.fits.bz2", "1" * 32) == drawing
    assert sketches.take("a/b.fits.bz2", "1" * 32) is None
    nothing = sketches.take("b.fits.bz2", "1" * 32)
    assert isinstance(nothing, NoPreview) and str(nothing) == str(NoPreview("no_image", "HDU 0"))
    assert list((tmp_path / "sketches").iterdir()) == []
