"""The states of work items: code, database and documents agree."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import CheckConstraint

from fits_dagster import ledger
from fits_dagster.ledger import items, leases, management
from fits_dagster.ledger.states import TRANSITIONS, State, diagram
from fits_dagster.ledger.tables import work_item

DOCUMENT = Path(ledger.__path__[0]).parents[1] / "docs" / "architecture.md"


def test_the_database_allows_these_states_and_no_other() -> None:
    checks = [each for each in work_item.constraints if isinstance(each, CheckConstraint)]
    [check] = [str(each.sqltext) for each in checks if each.name == "work_item_state"]
    assert {word for word in check.split("'")[1::2]} == {state.value for state in State}


def test_every_transition_names_functions_of_the_ledger() -> None:
    named = {name for functions in TRANSITIONS.values() for name in functions}
    assert all(any(hasattr(module, name) for module in (items, leases, management)) for name in named)


def test_the_architecture_draws_the_same_diagram() -> None:
    assert diagram() in DOCUMENT.read_text()
