"""Names and messages use the words of the field and of the ecosystem."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import fits_dagster

PACKAGE = Path(fits_dagster.__path__[0])
#: Words that say nothing of what a thing is; ``where`` is SQL's, and a keyword argument of libraries.
NAMES = {
    "adding",
    "choosing",
    "handicap",
    "posted",
    "settling",
    "somebody",
    "telling",
    "told",
    "where",
}
MESSAGES = re.compile(r"\b(choosing|handicap|posted|settling|[Ss]omebody|telling|[Tt]old)\b")


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        if "migrations" not in path.parts:
            yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def messages(tree: ast.Module) -> Iterator[str]:
    """Yield the strings that are no docstrings."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_nothing_has_a_name_that_says_nothing() -> None:
    found = [
        f"{path}: {name}" for path, tree in sources() for name in names(tree) if name.strip("_") in NAMES
    ]
    found += [path for path, _ in sources() if Path(path).stem in NAMES | {"memory"}]
    # conditions of selections are called so by SQL
    assert [each for each in found if not each.endswith((": where", ": _where"))] == []


def test_messages_name_people_and_events_as_the_field_does() -> None:
    found = [
        f"{path}: {text}" for path, tree in sources() for text in messages(tree) if MESSAGES.search(text)
    ]
    assert found == []
