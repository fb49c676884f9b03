"""The stage that applies header edits: in order, all or nothing, once, and on to ingest and export."""

from __future__ import annotations

import bz2
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from sqlalchemy import text

from fits_dagster.fits.header_update import HINT, HeaderUpdate
from fits_dagster.headers import apply
from fits_dagster.headers.updates import update_headers
from fits_dagster.ledger.batches import drain_once
from fits_dagster.ledger.items import NewWork, add_work, claim, new_lease
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.management import retry_failed
from fits_dagster.ledger.report import DrainReport, Finished
from fits_dagster.ledger.settlement import settle
from fits_dagster.sites import Site
from fits_dagster.stages import copy, edit, export, ingest


def have(site: Site, source: Path, *, compress: bool = False) -> Path:
    """Put a file into the dataflow directory and ingest it."""
    assert site.settings.store_directory is not None
    target = site.settings.store_directory / f"{source.name}{'.bz2' if compress else ''}"
    content = source.read_bytes()
    target.write_bytes(bz2.compress(content) if compress else content)
    with site.engine.begin() as connection:
        add_work(connection, [NewWork(stage="ingest", filename=target.name)])
    assert drain(site, ingest.STAGE).done == 1
    return target


def ask(site: Site, path: Path, values: Mapping[str, Any], **options: object) -> None:
    [answer] = update_headers(
        site, [{"filename": path.name, "values": dict(values), **options}], asked_by="test"
    )
    assert answer == {"result": True, "id": path.name}


def rows(site: Site, statement: str, **values: object) -> list[Any]:
    with site.engine.connect() as connection:
        return list(connection.execute(text(statement), values))


def items(site: Site, stage: str) -> list[Any]:
    return rows(
        site,
        "select filename, state, reason, error, payload, no_defer, priority from work_item "
        "where stage = :stage order by id",
        stage=stage,
    )


def data_md5(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.md5(bz2.decompress(content) if path.suffix == ".bz2" else content).hexdigest()


@pytest.mark.parametrize("compress", [False, True])
def test_edits_are_applied_in_order_and_the_file_goes_on(
    summit: Site, night: list[Path], compress: bool
) -> None:
    path = have(summit, night[0], compress=compress)
    before = data_md5(path)
    ask(summit, path, {"qa_state": "pass", "generic": {"OBSERVER": "first", "NOTE": "first"}})
    ask(summit, path, {"generic": {"NOTE": "second", "NUMBER": 3}})
    ask(summit, path, {"qa_state": "usable"})
    path.chmod(0o640)
    assert drain(summit, edit.STAGE).outcomes == {"edited": 1}
    header = fits.getheader(path, 0)
    assert [header[k] for k in ("RAWGEMQA", "RAWPIREQ", "OBSERVER", "NOTE", "NUMBER")] == [
        *("USABLE", "NO", "first", "second", 3)
    ]
    assert path.stat().st_mode & 0o777 == 0o640
    assert all(row.applied_at and row.error is None for row in rows(summit, "select * from header_edit"))
    [item] = items(summit, "ingest")
    assert item.no_defer
    hint = HeaderUpdate.of_payload(item.payload)
    assert hint is not None
    assert (hint.data_md5_before, hint.data_md5_after) == (before, data_md5(path))
    assert dict(hint.cards)["RAWPIREQ"] == "NO"
    assert drain(summit, ingest.STAGE).outcomes == {"ingested": 1}
    [record] = rows(
        summit,
        "select h.qa_state, d.data_md5 from header h join diskfile d on d.id = h.diskfile_id where d.present",
    )
    assert tuple(record) == ("Usable", data_md5(path))
    [exported] = items(summit, "export")
    assert HeaderUpdate.of_payload(exported.payload) == hint


def test_only_the_header_changes(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    original = path.read_bytes()
    ask(summit, path, {"qa_state": "fail"})
    drain(summit, edit.STAGE)
    assert fits.getheader(path, 0)["RAWGEMQA"] == "BAD"
    with fits.open(path) as hdus:
        start = hdus[1].fileinfo()["hdrLoc"]
    assert path.read_bytes()[start:] == original[start:]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_value_that_is_there_already_is_no_change(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    before = path.stat()
    ask(summit, path, {"qa_state": "undefined"})
    assert drain(summit, edit.STAGE).outcomes == {"unchanged": 1}
    assert path.stat().st_ino == before.st_ino
    [item] = items(summit, "ingest")
    assert item.payload == {}
    assert drain(summit, ingest.STAGE).outcomes == {"unchanged": 1}


def test_a_refused_edit_changes_nothing_stops_no_other_and_is_told(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    ask(summit, path, {"generic": {"FIRST": 1}})
    ask(summit, path, {"generic": {"OBJECT": "no", "MISSING": 1}}, reject_new=True)
    ask(summit, path, {"generic": {"FIRST": 2}}, reject_new=True)  # the first edit made it
    report = drain(summit, edit.STAGE)
    assert report.outcomes == {"edited": 1}
    assert [(f.filename, f.reason) for f in report.failures] == [(path.name, "edit_refused")]
    assert "MISSING" in report.failures[0].error
    header = fits.getheader(path, 0)
    assert (header["FIRST"], header["OBJECT"] == "no", "MISSING" in header) == (2, False, False)
    errors = [row.error for row in rows(summit, "select error from header_edit order by id")]
    assert errors[0] is None and "MISSING" in errors[1] and errors[2] is None
    [failed] = items(summit, "edit")
    assert (failed.state, failed.reason) == ("failed", "edit_refused")
    assert drain(summit, ingest.STAGE).outcomes == {"ingested": 1}
    assert len(items(summit, "export")) == 1


def test_a_refused_edit_is_applied_when_it_is_tried_again_and_can_be(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    ask(summit, path, {"generic": {"LATER": 1}}, reject_new=True)
    assert [f.reason for f in drain(summit, edit.STAGE).failures] == ["edit_refused"]
    assert items(summit, "ingest") == []
    with summit.engine.begin() as connection:
        assert retry_failed(connection, stage="edit") == 1
    assert [f.reason for f in drain(summit, edit.STAGE).failures] == ["edit_refused"]
    fits.setval(path, "LATER", value=0)
    with summit.engine.begin() as connection:
        assert retry_failed(connection, stage="edit") == 1
    assert drain(summit, edit.STAGE).outcomes == {"edited": 1}
    assert items(summit, "edit") == []
    assert fits.getheader(path, 0)["LATER"] == 1
    assert [row.error for row in rows(summit, "select error from header_edit")] == [None]


def test_edits_of_a_file_that_is_damaged_wait_for_it(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    content = path.read_bytes()
    ask(summit, path, {"qa_state": "pass"})
    path.write_bytes(content[:-5000])
    assert [f.reason for f in drain(summit, edit.STAGE).failures] == ["truncated"]
    assert rows(summit, "select applied_at from header_edit") == [(None,)]
    path.unlink()
    with summit.engine.begin() as connection:
        retry_failed(connection, stage="edit")
    assert [f.reason for f in drain(summit, edit.STAGE).failures] == ["file_missing"]
    path.write_bytes(content)
    with summit.engine.begin() as connection:
        retry_failed(connection, stage="edit")
    assert drain(summit, edit.STAGE).outcomes == {"edited": 1}


def test_a_change_by_somebody_else_meanwhile_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, summit: Site, night: list[Path]
) -> None:
    from fits_dagster.fits.edit import EditError

    path = have(summit, night[0])
    ask(summit, path, {"qa_state": "pass"})

    def raced(*_: object) -> None:
        raise EditError("changed", "changed")

    with monkeypatch.context() as patched:
        patched.setattr(apply, "edit_headers", raced)
        report = DrainReport("edit")
        drain_once(summit, edit.STAGE, report)
    assert [f.reason for f in report.retrying] == ["changed"]
    with summit.engine.begin() as connection:
        connection.execute(text("update work_item set not_before = now()"))
    assert drain(summit, edit.STAGE).outcomes == {"edited": 1}


def run_until_the_commit(site: Site) -> None:
    """Claim and work on an edit as a worker does that is killed before it can note what it has done."""
    lease = new_lease("killed", 5.0)
    with site.engine.begin() as connection:
        [item] = claim(connection, "edit", lease, limit=1)
        known = edit.STAGE.prepare(site, connection, [item])
    result = edit.STAGE.work(site, item, known[item.id])
    with site.engine.begin() as connection:
        connection.execute(text("update work_item set lease_expires = now() - interval '1 minute'"))
        from fits_dagster.ledger.items import reap

        assert reap(connection) == 1
    # it comes back to life: its lease is lost, and nothing of what it says counts
    settle(site, edit.STAGE, lease, [Finished(item, result, None, 0.1)], DrainReport("edit"))


def test_a_worker_killed_before_its_commit_does_no_harm(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    ask(summit, path, {"qa_state": "pass"})
    run_until_the_commit(summit)
    assert fits.getheader(path, 0)["RAWGEMQA"] == "USABLE"
    assert rows(summit, "select applied_at from header_edit") == [(None,)]
    assert items(summit, "ingest") == []
    after = path.read_bytes()
    assert drain(summit, edit.STAGE).outcomes == {"unchanged": 1}
    assert path.read_bytes() == after
    [item] = items(summit, "ingest")
    assert item.payload == {}
    assert drain(summit, ingest.STAGE).outcomes == {"ingested": 1}
    [exported] = items(summit, "export")
    assert exported.payload == {}


def test_the_dhs_original_stays_and_is_not_copied_over_an_edited_file(
    summit: Site, night: list[Path]
) -> None:
    assert summit.settings.dhs_directory is not None and summit.settings.store_directory is not None
    source = summit.settings.dhs_directory / night[0].name
    shutil.copy(night[0], source)
    path = summit.settings.store_directory / night[0].name

    def run_copies() -> list[str]:
        queued = copy.scan_dhs(summit)
        for _ in range(3):
            with summit.engine.begin() as connection:
                connection.execute(text("update work_item set not_before = now() where stage = 'copy'"))
            drain(summit, copy.STAGE)
        return queued

    assert run_copies() == [source.name]
    assert drain(summit, ingest.STAGE).done == 1
    ask(summit, path, {"qa_state": "pass"})
    drain(summit, edit.STAGE)
    drain(summit, ingest.STAGE)
    edited = path.read_bytes()
    assert source.read_bytes() == night[0].read_bytes() != edited
    assert run_copies() == []
    assert path.read_bytes() == edited
    # a DHS file that has changed is copied, before an edit that came meanwhile is applied to it
    fits.setval(source, "OBJECT", value="again")
    copy.scan_dhs(summit)
    ask(summit, path, {"qa_state": "fail"})
    report = drain(summit, edit.STAGE)
    assert (report.done, report.deferred > 0) == (0, True)
    assert [item.reason for item in items(summit, "edit")] == ["copy_pending"]
    run_copies()
    with summit.engine.begin() as connection:
        connection.execute(text("update work_item set not_before = now() where stage = 'edit'"))
    assert drain(summit, edit.STAGE).outcomes == {"edited": 1}
    header = fits.getheader(path, 0)
    assert (header["OBJECT"], header["RAWGEMQA"]) == ("again", "BAD")


def test_hints_of_edits_in_a_row_are_joined(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    first = data_md5(path)
    for number in range(3):
        ask(summit, path, {"generic": {"COUNT": number, f"N{number}": 1e22}})
        drain(summit, edit.STAGE)
    [item] = items(summit, "ingest")
    hint = HeaderUpdate.of_payload(item.payload)
    assert hint is not None
    assert (hint.data_md5_before, hint.data_md5_after) == (first, data_md5(path))
    # a keyword that was set three times is set three times again
    assert hint.cards == tuple(card for n in range(3) for card in (("COUNT", n), (f"N{n}", 1e22)))
    assert isinstance(dict(hint.cards)["N0"], float), "a large float is one after the database too"
    drain(summit, ingest.STAGE)
    middle = data_md5(path)
    ask(summit, path, {"generic": {"COUNT": 4}})
    drain(summit, edit.STAGE)
    drain(summit, ingest.STAGE)
    # the export that waited, from the first to the middle, now leads to the last
    [exported] = items(summit, "export")
    joined = HeaderUpdate.of_payload(exported.payload)
    assert joined is not None and middle != data_md5(path)
    assert (joined.data_md5_before, joined.data_md5_after) == (first, data_md5(path))
    assert dict(joined.cards)["COUNT"] == 4


def test_a_hint_that_tells_of_other_contents_is_not_passed_on(summit: Site, night: list[Path]) -> None:
    path = have(summit, night[0])
    ask(summit, path, {"qa_state": "pass"})
    drain(summit, edit.STAGE)
    fits.setval(path, "OBJECT", value="by hand")
    assert drain(summit, ingest.STAGE).outcomes == {"ingested": 1}
    [exported] = items(summit, "export")
    assert HINT not in exported.payload


def test_the_summit_edits_between_copy_and_ingest(summit: Site, archive: Site) -> None:
    from fits_dagster.stages.registry import stages_of

    stages = [stage.name for stage in stages_of(summit.settings)]
    assert stages == [copy.STAGE.name, edit.STAGE.name, ingest.STAGE.name, export.STAGE.name]
    assert "edit" not in [stage.name for stage in stages_of(archive.settings)]
