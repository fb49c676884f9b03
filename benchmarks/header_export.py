"""The export of files of which only header cards were edited, against the transfer of the same files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from benchmarks.figures import Figures
from benchmarks.home import bench_home, bench_site, served_archive, with_workers
from benchmarks.ingest import ingest_all
from benchmarks.samples import gmos_sample
from fits_dagster.headers.updates import update_headers
from fits_dagster.ledger.loop import drain
from fits_dagster.ledger.report import DrainReport
from fits_dagster.ledger.stage import Stage
from fits_dagster.records import files as versions
from fits_dagster.sites import Site
from fits_dagster.stages import edit, export, ingest, store

__all__ = ["measure_header_export"]

#: Bytes on the wire for a file, at most.
_AIM: Final = 20_000


def measure_header_export(
    home: Path | None, *, files: int = 4, megabytes: float = 30.0, workers: Sequence[int] = (1, 2)
) -> list[Figures]:
    """Measure the export after a change of the QA state, to an archive that answers in another process."""
    sample = gmos_sample(megabytes)
    runs: list[Figures] = []
    with (
        bench_home(home) as settings,
        bench_site(settings, "summit") as summit,
        bench_site(settings, "archive") as archive,
        served_archive(settings),
    ):
        assert summit.settings.store_directory is not None
        for run, count in enumerate(workers):
            numbers = range(1 + run * files, 1 + (run + 1) * files)
            paths = sample.write(summit.settings.store_directory, numbers)
            ingest_all(summit, paths)
            site = with_workers(summit, count)
            _exported(_without_header_edits(site), archive, paths, "exported")
            _edit(site, paths, "pass")
            full, full_bytes = _exported(_without_header_edits(site), archive, paths, "exported")
            _edit(site, paths, "usable")
            seconds, sent_bytes = _exported(site, archive, paths, "header_exported")
            _edit(site, paths, "fail")
            # the machine may be busier after the run than before it
            again, _ = _exported(_without_header_edits(site), archive, paths, "exported")
            runs.append(
                Figures(
                    name="header-only export over HTTP",
                    floor="transfer of the same files after an edit of the same size",
                    aim=f"<= {_AIM // 1000} kB on the wire a file",
                    files=files,
                    bytes=sum(path.stat().st_size for path in paths),
                    seconds=seconds,
                    floor_seconds=(full + again) / 2,
                    workers=count,
                    reached=sent_bytes <= _AIM * files,
                    details={
                        "sent_bytes": sent_bytes,
                        "sent_bytes_of_the_transfer": full_bytes,
                        "times_fewer_bytes": round(full_bytes / sent_bytes),
                        "seconds_of_the_transfer": round((full + again) / 2, 3),
                    },
                )
            )
    return runs


def _without_header_edits(site: Site) -> Site:
    return replace(site, settings=site.settings.model_copy(update={"export_api_cookie": SecretStr("")}))


def _edit(site: Site, paths: Sequence[Path], qa_state: str) -> None:
    """Change the QA state of files, up to the moment at which their export is due."""
    items = [{"filename": path.name, "values": {"qa_state": qa_state}} for path in paths]
    answers = update_headers(site, items, asked_by="bench")
    if not all(answer["result"] for answer in answers):
        raise RuntimeError(f"header edits were refused: {answers}")
    _drained(site, edit.STAGE, len(paths))
    _drained(site, ingest.STAGE, len(paths))


def _exported(site: Site, archive: Site, paths: Sequence[Path], outcome: str) -> tuple[float, int]:
    """Export files and let the archive take them in; returns the seconds of the export and bytes sent.

    Raises
    ------
    RuntimeError
        They were not exported in the way that is measured, or the archive has another content.
    """
    began = time.perf_counter()
    report = _drained(site, export.ExportStage(), len(paths))
    seconds = time.perf_counter() - began
    if report.outcomes != {outcome: len(paths)}:
        raise RuntimeError(f"export: {report.outcomes} instead of {outcome}")
    _drained(archive, store.STAGE, len(paths))
    _drained(archive, ingest.STAGE, len(paths))
    keys = [(path.name, "") for path in paths]
    here, there = (
        {version.name: version.data_md5 for version in _present(each, keys)} for each in (site, archive)
    )
    if here != there:
        raise RuntimeError("the archive has other contents than the summit")
    return seconds, report.bytes


def _present(site: Site, keys: Sequence[tuple[str, str]]) -> Sequence[versions.StoredVersion]:
    with site.engine.connect() as connection:
        return list(versions.present_versions(connection, keys).values())


def _drained(site: Site, stage: Stage[Any], files: int) -> DrainReport:
    report = drain(site, stage)
    if report.done != files:
        raise RuntimeError(f"{stage.name}: only {report.done} of {files} files: {report.failures[:1]}")
    return report
