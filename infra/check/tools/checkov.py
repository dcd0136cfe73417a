"""checkov: general advice on resources, without its network."""

import logging
import os
import tempfile
from pathlib import Path

# Before the import, which reads them.
os.environ.update(LOG_LEVEL="ERROR", CHECKOV_RUN_SCA_PACKAGE_SCAN_V2="false")

from checkov.cloudformation.runner import Runner  # noqa: E402
from checkov.runner_filter import RunnerFilter  # noqa: E402

from finding import Finding  # noqa: E402


def findings(variant):
    """What checkov's rules for CloudFormation say."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "template.json")
        path.write_text(variant.json(), encoding="utf-8")
        report = Runner().run(
            root_folder=None, files=[str(path)], runner_filter=RunnerFilter(framework=["cloudformation"], download_external_modules=False)
        )
    if report.parsing_errors:
        return [Finding("checkov", "parse", "template", "the template cannot be read", (), (variant.name,))]
    return [_finding(record, variant) for record in report.failed_checks]


def _finding(record, variant):
    resource = record.resource.rsplit(".", 1)[-1]
    return Finding("checkov", record.check_id, resource, record.check_name, ("Resources", resource), (variant.name,))
