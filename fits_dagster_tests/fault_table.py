"""Write the results of ``make faults`` into a document: what was done, and how soon all was well again."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

#: Between these lines of the document stands what this module writes.
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_BAD = ("failure", "error", "skipped")


def table_of(results: Path) -> str:
    """Make the table from a report in JUnit's form; times are told where the tests have measured them."""
    rows = [_row(case) for case in ElementTree.parse(results).iter("testcase")]
    heads = ["what was done, in a stream of files", "outcome", "last file in, after"]
    if not any(row[2] for row in rows):
        heads, rows = heads[:2], [row[:2] for row in rows]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(case: ElementTree.Element) -> list[str]:
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    outcome = next((word for word in _BAD if case.find(word) is not None), "passed")
    recovered = properties.get("recovered_s")
    words = str(case.get("name")).removeprefix("test_").replace("_", " ")
    return [words, outcome, f"{recovered} s" if recovered else ""]


def write(results: Path, document: Path) -> None:
    """Put the table in its place."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n\n{table_of(results)}\n\n{END}{after}")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
