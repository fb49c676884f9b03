"""No imports make a circle, those for types alone included."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp


def test_no_imports_make_a_circle() -> None:
    graph = grimp.build_graph("fits_dagster")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None
