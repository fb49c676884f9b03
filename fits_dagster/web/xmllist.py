"""``/xmlfilelist``: a list of files as XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from xml.etree import ElementTree

from fits_dagster.records.selection import Selection

__all__ = ["add_texts", "file_list_xml", "sitemap_xml"]

_KEYS: Final = (
    *("name", "filename", "path", "compressed", "size", "file_size", "data_size", "md5", "file_md5"),
    *("data_md5", "lastmod", "mdready"),
)
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def file_list_xml(selection: Selection, entries: Iterable[Mapping[str, Any]], *, is_cut: bool) -> bytes:
    """Write entries of files as XML, with the selection before them."""
    root = ElementTree.Element("file_list")
    add_texts(root, {"selection": "/".join(selection.elements)})
    for each in selection.not_recognised:
        add_texts(root, {"not_understood": each})
    if is_cut:
        add_texts(root, {"results_truncated": "True"})
    for entry in entries:
        add_texts(ElementTree.SubElement(root, "file"), {key: str(entry[key]) for key in _KEYS})
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def sitemap_xml(addresses: Iterable[str]) -> bytes:
    """Write the addresses of pages as crawlers read them."""
    root = ElementTree.Element("urlset", {"xmlns": "http://www.sitemaps.org/schemas/sitemap/0.9"})
    for each in addresses:
        add_texts(ElementTree.SubElement(root, "url"), {"loc": each})
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def add_texts(parent: ElementTree.Element, texts: Mapping[str, str]) -> None:
    """Add elements that hold text; what XML cannot hold is replaced."""
    for name, value in texts.items():
        ElementTree.SubElement(parent, name).text = _NOT_IN_XML.sub("\ufffd", value)
