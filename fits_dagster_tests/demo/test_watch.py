"""Following files: when a night has come to rest."""

from __future__ import annotations

import bz2
from pathlib import Path

from fits_dagster.demo.watch import Watcher
from fits_dagster.intake.uploads import Reception
from fits_dagster.ledger.items import NewWork, add_work
from fits_dagster.ledger.loop import drain
from fits_dagster.sites import Site
from fits_dagster.stages import associate, ingest, preview, store


def test_a_night_is_at_rest_when_nothing_is_to_be_associated_again(archive: Site, night: list[Path]) -> None:
    name = night[0].name
    reception = Reception(archive, "", f"{name}.bz2")
    reception.write(bz2.compress(night[0].read_bytes()))
    reception.finish()
    watcher = Watcher({"archive": archive})
    for stage in (store.STAGE, ingest.STAGE, preview.STAGE, associate.STAGE):
        watcher.look()
        assert not watcher.is_settled([name])
        assert drain(archive, stage).done == 1
    watcher.look()
    assert watcher.is_settled([name])
    with archive.engine.begin() as connection:
        add_work(connection, [NewWork(stage="associate", filename=name)])
    watcher.look()
    assert watcher.has_arrived(name)
    assert not watcher.is_settled([name])
