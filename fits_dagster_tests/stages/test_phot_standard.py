"""Ingest notes whether an image shows a photometric standard star, where a catalogue says which there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.settings import load_settings
from fits_dagster.sites import Site
from fits_dagster.stages import ingest


def ingested(site: Site, night: list[Path]) -> list[bool | None]:
    """Ingest images of the night and return what is noted of them."""
    assert site.settings.store_directory is not None
    with site.engine.begin() as connection:
        for source in night:
            link = site.settings.store_directory / source.name
            if not link.exists():
                link.hardlink_to(source)
            add_work(connection, [NewWork(stage="ingest", filename=source.name, no_defer=True, force=True)])
    assert drain(site, ingest.STAGE).done == len(night)
    with site.engine.connect() as connection:
        return list(
            connection.scalars(
                text("""select h.phot_standard from header h join diskfile d on d.id = h.diskfile_id
                        where d.canonical and not h.spectroscopy
                          and exists (select from footprint f where f.header_id = h.id) order by h.id""")
            )
        )


def test_an_image_that_covers_a_star_of_the_catalogue_is_marked(
    archive: Site, night: list[Path], tmp_path: Path
) -> None:
    assert set(ingested(archive, night[:12])) == {None}
    with archive.engine.connect() as connection:
        corners = connection.scalar(
            text("""select corners from footprint f join header h on h.id = f.header_id
                    where not h.spectroscopy order by f.id limit 1""")
        )
    ra, dec = (sum(corner[axis] for corner in corners) / 4 for axis in (0, 1))
    catalogue = tmp_path / "standards.csv"
    catalogue.write_text(f"#Name,Field,RA,DEC,j_mag\nstar,1,{ra / 15},{dec},12.0\n")
    settings = archive.settings.model_copy(update={"photometric_standards": catalogue})
    assert True in set(ingested(replace(archive, settings=settings), night[:12]))


def test_a_catalogue_that_is_not_there_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="photometric_standards"):
        load_settings(tmp_path, archive={"photometric_standards": tmp_path / "nothing.csv"})
