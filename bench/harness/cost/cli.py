"""The command."""

import argparse
from pathlib import Path

from harness import environment
from harness.report import replaced

PAGE = environment.DOCS / "cost.md"


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    arguments = argparse.ArgumentParser(
        prog="bench/cost",
        description="Writes the tables of docs/cost.md from pipeline/src/price/list.json (prices), docs/cost.json "
        "(measured usage), docs/performance.json (the peers' CPU time) and the assumptions that the page states.",
    )
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page says otherwise")
    what.add_argument("--measure", action="store_true", help="measure usage anew first, into docs/cost.json")
    arguments.add_argument("--binary", type=Path, metavar="PATH", help="a stepwell that is built already")
    return arguments


def main() -> int:
    """Does what the command line asks for."""
    asked = parser().parse_args()
    if asked.measure:
        from harness.cost import measured

        measured.measure_runs(asked.binary)
    from harness.cost import tables

    before = PAGE.read_text()
    page = before
    for section, content in tables.sections().items():
        page = replaced(page, section, content)
    if asked.check:
        if page != before:
            print("docs/cost.md is not what bench/cost writes; run bench/cost")
            return 1
        return 0
    PAGE.write_text(page)
    return 0
