"""What is asked of the doctor again and again."""

from __future__ import annotations

from collections.abc import Iterator

from fits_dagster.doctor.finding import Finding
from fits_dagster.settings import Settings, SiteSettings


def verdicts(findings: Iterator[Finding]) -> dict[str, str]:
    """The worst that is said of each subject."""
    order = ["ok", "warning", "wrong"]
    worst: dict[str, str] = {}
    for finding in findings:
        worst[finding.subject] = max(worst.get(finding.subject, "ok"), finding.verdict, key=order.index)
        assert finding.remedy or finding.verdict == "ok", "who says that something is wrong says what to do"
    return worst


def changed(settings: Settings, **changes: object) -> Settings:
    """Settings with the archive's changed."""
    return settings.with_sites(archive=settings.archive.model_copy(update=changes))


def destined(settings: Settings, url: str) -> Settings:
    summit: SiteSettings = settings.summit.model_copy(update={"export_destinations": (url,)})
    return settings.with_sites(summit=summit)
