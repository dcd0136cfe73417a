"""Translates the SAM template to CloudFormation and lints the result.

On the SAM form cfn-lint misses most of what can be wrong; on the translated form it sees every resource.

    python infra/lint.py infra/template.yaml
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from cfnlint.api import lint_file
from cfnlint.config import ManualArgs
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# The translator wants S3 locations, as `sam package` writes them.
PACKAGED = {"CodeUri": "s3://artifacts/code.zip", "DefinitionUri": {"Bucket": "artifacts", "Key": "definition.json"}}


class NoManagedPolicies:
    """Stands in for the loader of AWS's managed policies, which the template does not use."""

    def load(self):
        return {}


def main(path):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        for name, location in PACKAGED.items():
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = location
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    translated = transform(template, {}, NoManagedPolicies())
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "template.json")
        target.write_text(json.dumps(translated, indent=1), encoding="utf-8")
        matches = lint_file(target, ManualArgs(regions=["us-east-1", "eu-central-1"]))
    for match in matches:
        where = "/".join(str(step) for step in match.path or [])
        print(f"{match.rule.id} {where}: {match.message}")
    count = len(translated["Resources"])
    print(f"{path}: {count} resources, {len(matches)} findings")
    return 1 if matches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
