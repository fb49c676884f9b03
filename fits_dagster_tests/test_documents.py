"""The documents speak of places that exist."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

import fits_dagster

PACKAGE = Path(fits_dagster.__path__[0])
ROOT = PACKAGE.parent
TESTS = Path(__file__).parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def places(text: str) -> set[str]:
    """Return what is quoted and looks like a module, a package, or a function in one."""
    return set(re.findall(r"`((?:[a-z_]+/)+[\w.]*(?:#\w+)?|[a-z_]+\.py(?:#\w+)?)`", text))


def exists(place: str) -> bool:
    path, _, name = place.partition("#")
    here = next((base / path for base in (PACKAGE, ROOT) if (base / path).exists()), None)
    if here is None:
        return False
    return not name or re.search(rf"^(def|class) {name}\b", here.read_text(), re.MULTILINE) is not None


def leads_somewhere(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_place_of_the_architecture_exists() -> None:
    found = places(ARCHITECTURE.read_text())
    assert len(found) > 40
    assert sorted(place for place in found if not exists(place)) == []


def test_every_package_has_its_line_in_the_picture_of_the_house() -> None:
    picture = ARCHITECTURE.read_text().split("## The house")[1].split("```")[1]
    named = set(re.findall(r"[a-z]+", "\n".join(line[:55] for line in picture.splitlines())))
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - named == set()


def test_the_tests_mirror_the_house() -> None:
    tests = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    # the benchmarks are beside the package, and what is tried from outside is a package of its own
    assert tests ^ packages == {"benchmarks", "plugins"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_test_that_documents_name_exists() -> None:
    tests = {
        name
        for path in (ROOT / "fits_dagster_tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = {name for path in DOCUMENTS for name in re.findall(r"`(test_\w+)`", path.read_text())}
    modules = {path.stem for path in (ROOT / "fits_dagster_tests").rglob("test_*.py")}
    assert len(named) > 40
    assert sorted(named - tests - modules) == []


def test_every_dotted_name_of_documents_and_docstrings_leads_somewhere() -> None:
    texts = [*DOCUMENTS, *PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sql")]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in texts
        for name in re.findall(r"[`~](fits_dagster(?:\.\w+)+)`", path.read_text())
    }
    sources = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    groups = set(re.findall(r'GROUP: Final = "(fits_dagster\.\w+)"', sources))
    assert len(named) > 20
    assert sorted(each for each in named if each[1] not in groups and not leads_somewhere(each[1])) == []


@pytest.mark.parametrize("document", ["guarantees.md", "security.md"])
def test_what_is_promised_has_its_test(document: str) -> None:
    text = (ROOT / "docs" / document).read_text()
    tables = [table for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE) if "shown by" in table]
    assert tables
    rows = [row for table in tables for row in table.splitlines()[2:]]
    assert [row for row in rows if "`test_" not in row] == []
