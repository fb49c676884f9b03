"""Two hosts are worth nearly two of one, and one that is cut off does no harm; in network namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from fits_dagster.bench.hosts import why_not
from fits_dagster.bench.scale import measure_scale

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("store", ["directory", "s3"])
def test_a_second_host_shares_a_backlog_and_one_takes_over_what_the_other_held(
    tmp_path: Path, store: Literal["directory", "s3"]
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    figures = measure_scale(tmp_path, files=200, store=store)
    assert figures["ratio"] >= 1.7, figures
    cut_off = figures["cut_off"]
    assert cut_off["done"] == cut_off["files"], "nothing is lost, and late results are refused"
    assert cut_off["taken_over_after_s"] <= 40, figures
