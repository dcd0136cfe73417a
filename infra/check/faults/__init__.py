"""Faults that are put into the real template, one at a time, to see which tool finds which.

A fault is a function that edits the SAM template as a tree; it names a finding that must come of it. What tools say of the
template as it is does not count, nor does what is suppressed. The template is taken with everything by choice switched on,
so that there is all that can be at fault.
"""

import importlib
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from faults import access, hops, resources, template  # noqa: F401  (they register their faults)
from faults.seed import FAULTS
from finding import divided, suppressions
from translate import Untranslatable

VARIANT = "everything"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
TRANSLATOR = "translator"


def table(project, modules, chosen, docs, write):
    """Prints which tool finds which fault; whether each fault is found by what must, and the page says the same."""
    names = chosen or list(FAULTS)
    with ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=_start, initargs=(project.path, modules)) as pool:
        results = dict(zip(names, pool.map(_seeded, names), strict=True))
    lines = _lines(results, [TRANSLATOR, *modules])
    print("\n".join(lines))
    wrong = [f"{name}: {_missed(FAULTS[name], found)}" for name, found in results.items() if _missed(FAULTS[name], found)]
    if docs:
        wrong += _page(Path(docs), lines, write)
    print("\n".join(wrong) if wrong else f"{len(names)} faults, each found")
    return not wrong


def _start(path, modules):
    """In each process: the template's own findings, which no fault made."""
    from deployment import Project

    global _project, _modules, _kept, _before
    _project, _modules = Project(path), modules
    _kept = suppressions(Path(__file__).parent.parent / "suppressions.yaml")
    _before = _findings(_project.template())


def _seeded(name):
    """The findings that a fault makes; a text where it cannot be put into the template."""
    edited = _project.template()
    try:
        FAULTS[name].edit(edited)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        return f"cannot be put into this template: {error!r}"
    return _findings(edited) - _before


def _findings(tree):
    try:
        variant = _project.variant(VARIANT, tree)
    except Untranslatable as error:
        return {(TRANSLATOR, "invalid", resource, message) for resource, message in error.reasons}
    found = [finding for module in _modules.values() for finding in importlib.import_module(module).findings(variant)]
    left, _ = divided(found, _kept)
    return {(finding.tool, finding.rule, finding.resource, finding.message) for finding in left}


def _missed(fault, found):
    """What is to be said of a fault that was not found by what must find it."""
    if isinstance(found, str):
        return found
    if any((tool, rule) == fault.finding for tool, rule, _, _ in found):
        return ""
    others = ", ".join(sorted({f"{tool} {rule}" for tool, rule, _, _ in found})) or "nothing"
    return f"must be found by {' '.join(fault.finding)}; it was by {others}"


def _lines(results, tools):
    """The table, in Markdown."""
    lines = [f"| fault | {' | '.join(tools)} |", f"| --- |{' :-: |' * len(tools)}"]
    totals = dict.fromkeys(tools, 0)
    for name, found in results.items():
        finders = {tool for tool, _, _, _ in found} if not isinstance(found, str) else set()
        for tool in finders:
            totals[tool] += 1
        cells = " | ".join("●" if tool in finders else "" for tool in tools)
        lines.append(f"| {FAULTS[name].text} | {cells} |")
    lines.append(f"| **of {len(results)}** | {' | '.join(f'**{totals[tool]}**' for tool in tools)} |")
    return lines


def _page(page, lines, write):
    """Puts the table into the page, or says that the page has another."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"
    if write:
        page.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        return [f"{page} has another table; bring it up to date with --faults --docs {page} --write"]
    return []
