"""Checks the SAM template on the CloudFormation template that it is translated to.

    python infra/check infra/template.yaml                    # everything
    python infra/check infra/template.yaml --tool cfn-guard   # one tool
    python infra/check infra/template.yaml --faults           # which tool finds which seeded fault

One line for each finding; the exit code is 1 if there is one that `suppressions.yaml` does not cover, or if a suppression
there is of nothing.
"""

import argparse
import importlib
import sys
from pathlib import Path

from deployment import Project
from finding import Finding, divided, merged, suppressions
from translate import Untranslatable

HERE = Path(__file__).parent
MODULES = {
    "cfn-lint": "tools.cfn_lint",
    "cdk-nag": "tools.cdk_nag",
    "cfn-guard": "tools.guard",
    "checkov": "tools.checkov",
    "parliament": "tools.parliament",
    "own": "own",
}


def found(tool, variants):
    """What a tool finds in any of the variants."""
    module = importlib.import_module(MODULES[tool])
    return merged(finding for variant in variants for finding in module.findings(variant))


def check(project, tools):
    """Prints what is wrong with the template; whether nothing is."""
    try:
        variants = project.variants()
    except Untranslatable as error:
        return report(project, [Finding("translator", "invalid", *reason) for reason in error.reasons], [], "nothing")
    kept = [entry for entry in suppressions(HERE / "suppressions.yaml") if entry.tool in tools]
    left, unused = divided([finding for tool in tools for finding in found(tool, variants)], kept)
    counts = " and ".join(f"{len(variant.resources)} resources ({variant.name})" for variant in variants)
    return report(project, left, unused, f"{counts}, {len(kept) - len(unused)} suppressions")


def report(project, left, unused, checked):
    """Prints findings and a summary; whether there was nothing to print but the latter."""
    for finding in left:
        print(finding.text(f"{project.path}:{project.source.line(finding.path)}"))
    for entry in unused:
        print(f"suppressions.yaml: {entry.tool} {entry.rule} {entry.resource} is suppressed, but not found")
    print(f"{project.path}: {checked}, {len(left)} findings, {len(unused)} suppressions of nothing")
    return not left and not unused


def main(arguments):
    """Reads the command line; the exit code."""
    parser = argparse.ArgumentParser(description="Checks the SAM template as CloudFormation.")
    parser.add_argument("template")
    parser.add_argument("--tool", action="append", choices=MODULES, help="only this tool")
    parser.add_argument("--faults", action="store_true", help="seed faults and tell which tool finds which")
    parser.add_argument("--fault", action="append", help="with --faults: only this one, named as its function")
    parser.add_argument("--docs", help="with --faults: the page that holds the table; it must be as printed")
    parser.add_argument("--write", action="store_true", help="with --docs: bring the page up to date")
    options = parser.parse_args(arguments)
    project = Project(options.template)
    tools = options.tool or list(MODULES)
    if options.docs and (options.tool or options.fault):
        parser.error("the page has a table of all tools and faults")
    if options.faults:
        import faults

        modules = {tool: MODULES[tool] for tool in tools}
        return 0 if faults.table(project, modules, options.fault, options.docs, options.write) else 1
    return 0 if check(project, tools) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
