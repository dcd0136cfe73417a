"""cfn-guard with rules of our own (`rules/*.guard`): what each resource must say."""

import json
import platform
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from finding import Finding

RULES = Path(__file__).parent.parent / "rules"


def findings(variant):
    """What the rules say of the resources and outputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "template.json")
        path.write_text(variant.json(), encoding="utf-8")
        command = [_program(), "validate", "--rules", RULES, "--data", path]
        options = ["--structured", "--output-format", "json", "--show-summary", "none"]
        ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    # 19 is "some rule failed".
    if ended.returncode not in (0, 19):
        raise RuntimeError(f"cfn-guard ended with {ended.returncode}: {ended.stderr or ended.stdout}")
    return [
        finding
        for report in json.loads(ended.stdout)
        for failed in report["not_compliant"]
        for finding in _failures(failed["Rule"], failed["Rule"]["name"], variant)
    ]


def _failures(node, rule, variant):
    """The clauses that failed below a node of the report, each with the path that it looked at."""
    if isinstance(node, list):
        for item in node:
            yield from _failures(item, rule, variant)
    elif isinstance(node, dict) and "check" in node and "messages" in node:
        path = _path(node["check"])
        message = node["messages"].get("custom_message") or node.get("context", "").strip()
        name = path[1] if len(path) > 1 else "template"
        yield Finding("cfn-guard", rule, name, message, path, (variant.name,))
    elif isinstance(node, dict):
        for value in node.values():
            yield from _failures(value, rule, variant)


def _path(node):
    """The first path in a check: where the clause looked, or as far as it came."""
    if isinstance(node, dict):
        if isinstance(node.get("path"), str):
            steps = [step for step in node["path"].split("/") if step]
            return tuple(int(step) if step.isdigit() else step for step in steps)
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            found = _path(item)
            if found:
                return found
    return ()


def _program():
    """AWS's binary, out of the package that brings it."""
    target = Path(sys.prefix, "bin", "cfn-guard")
    if not target.exists():
        machine = "aarch64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        system = "macos" if sys.platform == "darwin" else "ubuntu"
        member = f"package/bin/{system}/{machine}/cfn-guard"
        # Not imported, which would start node.
        package = distribution("cdklabs.cdk-validator-cfnguard").locate_file("cdklabs/cdk_validator_cfnguard/_jsii")
        archive = next(Path(package).glob("*.tgz"))
        partial = target.with_suffix(f".{id(target)}")
        with tarfile.open(archive) as content:
            partial.write_bytes(content.extractfile(member).read())
        partial.chmod(0o755)
        # Whole or not at all, since others may look for it now.
        partial.replace(target)
    return target
