"""The document on plug-ins shows the very packages that these tests install."""

from __future__ import annotations

from pathlib import Path

import pytest

from fits_dagster.ledger.stage import Stage
from fits_dagster.stages.registry import all_stages

HERE = Path(__file__).parent
DOCUMENT = (HERE.parents[1] / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize("module", ["fingerprint/fits_fingerprint.py", "kestrel/fits_kestrel.py"])
def test_the_examples_are_those_that_are_tested(module: str) -> None:
    assert f"```python\n{(HERE / module).read_text()}```" in DOCUMENT


@pytest.mark.parametrize("name", ["fingerprint", "kestrel"])
def test_the_entry_points_are_those_that_are_tested(name: str) -> None:
    [points] = (HERE / name).glob("*.dist-info/entry_points.txt")
    group, line, *_ = points.read_text().split("\n")
    key, _, value = line.partition(" = ")
    shown = f'[project.entry-points."{group.strip("[]")}"]\n{key} = "{value}"\n'
    assert shown in DOCUMENT


def test_every_declaration_of_a_stage_is_in_the_table() -> None:
    declared = set(Stage.__annotations__) | {
        name for name, value in vars(Stage).items() if not name.startswith("_") and not callable(value)
    }
    # how a stage is driven is told where it is declared
    inner = {"parallel", "group_size", "look_every_s"}
    assert {name for name in declared - inner if f"`{name}`" not in DOCUMENT} == set()


def test_what_stages_declare_is_unique() -> None:
    for what in ("name", "tab", "asset"):
        values = [getattr(stage, what) for stage in all_stages().values()]
        assert len(set(values)) == len(values)
