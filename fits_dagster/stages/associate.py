"""Associate: compute the calibration associations of headers, set by set, into the cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from fits_dagster.ledger.items import BACKGROUND, NewWork, WorkItem
from fits_dagster.ledger.stage import Committed, NewVersion, NightSummary, Stage, Subject
from fits_dagster.records.queries import QUERIES as RECORDS
from fits_dagster.settings import SiteSettings
from fits_dagster.sites import Site

__all__ = ["STAGE", "AssociateStage"]


#: So many new versions in one transaction are files that come in numbers.
_IN_NUMBERS: Final = 4
#: Key of a payload: whom the header concerns has not been looked for yet.
_OWES: Final = "owes_others"


class AssociateStage(Stage[int]):
    """Database -> calibration association cache."""

    name = "associate"
    title = "Calcache"
    tab = "cq"
    always_has_tab = True
    asset = "calibration_associations"
    asset_description = (
        "For each file of the night and each type of calibration it needs: the best, in order."
    )
    after = ("ingest",)
    rank = 1
    words = "its calibrations"
    duty = "associates calibrations"
    services = ("service_calcache_queue",)
    command = "calcache"
    subject = Subject.HEADER
    leaves_out_unfit = True
    figures: Mapping[str, Sequence[str]] = {"associated": ()}
    parallel = False
    group_size = 500

    def is_part_of(self, site: SiteSettings) -> bool:
        """Where the calibration cache is kept."""
        return site.using_calibration_cache

    def work_for_all(
        self, site: Site, connection: Connection, versions: Sequence[NewVersion]
    ) -> Sequence[NewWork]:
        """Return the association of new versions, and of those whose answer they may change."""
        from fits_dagster.calibration.concerned import follow_ups, nobody_is_associated

        headers: dict[int, list[int]] = defaultdict(list)
        for version in versions:
            if version.header_id is not None:
                headers[version.item.priority].append(version.header_id)
        delay = site.work.associate_again_seconds if len(versions) >= _IN_NUMBERS else 0.0
        others = [
            replace(work, delay=delay)
            for priority, ids in headers.items()
            for work in follow_ups(connection, ids, priority=priority, others_later=priority <= BACKGROUND)
        ]
        own = super().work_for_all(site, connection, versions)
        if any(priority <= BACKGROUND for priority in headers) and not nobody_is_associated(connection):
            own = [
                replace(work, payload={_OWES: True}) if work.priority <= BACKGROUND else work for work in own
            ]
        return [*own, *others]

    def work(self, site: Site, item: WorkItem, known: Any) -> int:
        """Return the header to associate; all the work is one set of statements at the commit."""
        assert item.subject_id is not None
        return item.subject_id

    def commit(self, site: Site, connection: Connection, item: WorkItem, result: int) -> Committed:
        """Replace the associations of one header."""
        return self.commit_group(site, connection, [(item, result)])[0]

    def commit_group(
        self, site: Site, connection: Connection, group: Sequence[tuple[WorkItem, int]]
    ) -> Sequence[Committed]:
        """Replace the associations of many headers in a few statements."""
        # who only asks which stages there are does without the rules
        from fits_dagster.calibration import associate_headers
        from fits_dagster.calibration.concerned import owed

        found: Mapping[int, int] = associate_headers(connection, [header for _, header in group])
        owing = [header for item, header in group if item.payload.get(_OWES)]
        others = owed(connection, owing) if owing else []
        asked = {"ids": [header for _, header in group]}
        contents = {row.id: row.data_md5 for row in connection.execute(RECORDS["contents_of_headers"], asked)}
        return [
            Committed(
                "associated",
                detail=f"{found.get(header, 0)} calibrations",
                content=contents.get(header, ""),
                follow_ups=others if number == 0 else (),
            )
            for number, (_, header) in enumerate(group)
        ]

    def summary(self, site: Site, connection: Connection, nights: Sequence[str]) -> NightSummary | None:
        """Tell which types were found and which are missing, and what science exposures lack."""
        from fits_dagster.calibration.coverage import calibration_coverage

        coverage = calibration_coverage(connection, nights, optional=site.settings.optional_calibrations)
        figures = {
            "files_with_needs": coverage.files,
            "science_files": coverage.science_files,
            "science_files_that_lack_a_type": len(coverage.incomplete),
            "science_files_that_lack_what_they_need": len(coverage.unusable),
            **{f"found {caltype}": count for caltype, count in coverage.found.items()},
            **{f"missing {caltype}": count for caltype, count in coverage.missing.items()},
        }
        rows = [
            {
                "file": each.name,
                "instrument": each.instrument,
                "lacks": ", ".join(each.lacking),
                "needed": ", ".join(each.demanded) or "-",
            }
            for each in coverage.incomplete
        ]
        return NightSummary(figures, "science_files_that_lack_a_type_table", rows)


STAGE = AssociateStage()
