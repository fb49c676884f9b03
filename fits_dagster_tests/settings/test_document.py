"""Every setting has a meaning, and the page of all settings is the one that is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from fits_dagster.settings import (
    AlertSettings,
    RescanSettings,
    S3Settings,
    Settings,
    SiteSettings,
    WorkSettings,
)
from fits_dagster.settings.document import meanings, settings_document

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
MODELS = (Settings, WorkSettings, AlertSettings, SiteSettings, S3Settings, RescanSettings)


def test_the_page_is_made_from_the_declarations() -> None:
    assert PAGE.read_text() == settings_document(), "make docs"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_has_a_meaning(model: type[BaseModel]) -> None:
    said = meanings(model)
    assert set(said) == set(model.model_fields)
    assert next(iter(said.values())) != "as above"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_setting_has_its_row(model: type[BaseModel]) -> None:
    page = settings_document()
    tables = {"tables", "work", "alerts"}
    assert [name for name in model.model_fields if name not in tables and f"| `{name}` |" not in page] == []
