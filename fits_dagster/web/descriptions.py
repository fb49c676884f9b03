"""Descriptions of a file that clients post to the calibration manager, in two forms.

The body is a JSON object with ``tags`` and ``descriptors``, or the older ``descriptors=…&types=…`` with
literals of Python. The content type says nothing: the JSON comes as a form, too. Nothing is ever evaluated as
code; of calls in a literal only those are understood that write a time or a section.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final
from urllib.parse import parse_qs

__all__ = ["MAX_DESCRIPTION_BYTES", "Description", "DescriptionError", "read_description"]

#: A description of a large file has some ten thousand bytes.
MAX_DESCRIPTION_BYTES: Final = 1_000_000
#: Coefficients of the detector, which no rule looks at.
_DROPPED_CALLS: Final = frozenset({"NonlinCoeffs", "nonlin_coeffs"})


class DescriptionError(ValueError):
    """The body is no description of a file."""


@dataclass(frozen=True)
class Description:
    """What a client says about a file."""

    descriptors: Mapping[str, Any]
    tags: frozenset[str]


def read_description(body: bytes) -> Description:
    """Read a form description.

    Raises
    ------
    DescriptionError
        It is malformed; the message says how.
    """
    try:
        text = body.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DescriptionError("the body is not UTF-8") from error
    descriptors, tags = _read_json(text) if text.startswith("{") else _read_form(text)
    if not isinstance(descriptors, dict) or not all(isinstance(name, str) for name in descriptors):
        raise DescriptionError("the descriptors are no object")
    if not isinstance(tags, list | tuple | set) or not all(isinstance(tag, str) for tag in tags):
        raise DescriptionError("the tags are no list of texts")
    return Description(descriptors, frozenset(tags))


def _read_json(text: str) -> tuple[Any, Any]:
    try:
        # a descriptor that is no number is not known
        form = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise DescriptionError(f"the body is no JSON: {error}") from error
    for name in ("tags", "descriptors"):
        if name not in form:
            raise DescriptionError(f"the body has no {name}")
    return form["descriptors"], form["tags"]


def _read_form(text: str) -> tuple[Any, Any]:
    form = parse_qs(text, keep_blank_values=True)
    for name in ("descriptors", "types"):
        if name not in form:
            raise DescriptionError(f"the body has no {name}")
    return _literal(form["descriptors"][0]), _literal(form["types"][0])


def _literal(text: str) -> Any:
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise DescriptionError(f"this is no literal: {error}") from error


def _value(node: ast.expr) -> Any:
    """Return the value of a literal's part.

    Raises
    ------
    ValueError
        It is none.
    """
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [_value(part) for part in parts]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return {_value(key): _value(value) for key, value in pairs if key and not _is_dropped(value)}
        case ast.UnaryOp(
            op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as n)
        ):
            return operator.neg(n) if isinstance(sign, ast.USub) else n
        case ast.Call(func=function, args=args, keywords=keywords):
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            named = {each.arg: _value(each.value) for each in keywords if each.arg is not None}
            if name in _CALLS:
                return _CALLS[name](*map(_value, args), **named)
    raise ValueError(f"{ast.unparse(node)[:80]} is not understood")


def _is_dropped(node: ast.expr) -> bool:
    """Tell whether a value is a call, or a list of calls, that nobody needs."""
    if isinstance(node, ast.List | ast.Tuple):
        return bool(node.elts) and all(map(_is_dropped, node.elts))
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in _DROPPED_CALLS


def _section(x1: int, x2: int, y1: int, y2: int) -> str:
    return str([x1, x2, y1, y2])


_CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    "datetime": datetime,
    "date": date,
    "time": time,
    "Section": _section,
}
