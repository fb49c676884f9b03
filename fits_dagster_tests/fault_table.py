"""Write the results of ``make faults`` into a document: what was done, and how soon all was well again."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

#: Between these lines of the document stands what this module writes.
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_BAD = ("failure", "error", "skipped")


def table_of(results: Path) -> str:
    """Make the table from a report in JUnit's form."""
    lines = ["| what was done, in a stream of files | outcome | last file in, after |", "|---|---|---|"]
    for case in ElementTree.parse(results).iter("testcase"):
        properties = {each.get("name"): each.get("value") for each in case.iter("property")}
        outcome = next(
            (word for word in ("failure", "error", "skipped") if case.find(word) is not None), "passed"
        )
        name = str(case.get("name"))
        words = name.removeprefix("test_").replace("_", " ")
        recovered = properties.get("recovered_s")
        lines.append(f"| {words} | {outcome} | {f'{recovered} s' if recovered else ''} |")
    return "\n".join(lines)


def write(results: Path, document: Path) -> None:
    """Put the table in its place."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n\n{table_of(results)}\n\n{END}{after}")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
