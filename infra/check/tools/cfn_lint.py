"""cfn-lint: properties, types, values and references against CloudFormation's own schemas."""

import json
import tempfile
from pathlib import Path

from cfnlint.api import lint_file
from cfnlint.config import ManualArgs

from finding import Finding

REGIONS = ["us-east-1", "eu-central-1"]


def findings(variant):
    """What cfn-lint says of the translated template, conditions and all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "template.json")
        path.write_text(json.dumps(variant.translated, indent=1), encoding="utf-8")
        matches = lint_file(path, ManualArgs(regions=REGIONS))
    return [
        Finding("cfn-lint", match.rule.id, _resource(match.path), match.message, tuple(match.path or ()), (variant.name,))
        for match in matches
    ]


def _resource(path):
    steps = list(path or [])
    return str(steps[1] if len(steps) > 1 else (steps or ["template"])[0])
