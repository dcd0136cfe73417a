"""SAM to CloudFormation, as the service does it when it deploys."""

import copy
import logging
import os

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# The translator wants S3 locations, as `sam package` writes them.
PACKAGED = {"CodeUri": "s3://artifacts/code.zip", "DefinitionUri": {"Bucket": "artifacts", "Key": "definition.json"}}

# It tells of metrics and features that nobody asked for.
logging.getLogger("samtranslator").setLevel(logging.ERROR)


class Untranslatable(Exception):
    """The template is no valid SAM template; the reasons are pairs of a logical id and a message."""

    def __init__(self, reasons):
        super().__init__("; ".join(f"{resource}: {message}" for resource, message in reasons))
        self.reasons = reasons


class _NoManagedPolicies:
    """Stands in for the loader of AWS's managed policies, which the template does not use."""

    def load(self):
        return {}


def read(text):
    """The template's text as a tree, with intrinsic functions in their long form."""
    return yaml_parse(text)


def translate(template, parameters):
    """The CloudFormation template that a SAM template becomes under these parameters; conditions stay in it."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        for name, location in PACKAGED.items():
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = copy.deepcopy(location)
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    try:
        return transform(template, dict(parameters), _NoManagedPolicies())
    except InvalidDocumentException as error:
        causes = list(error.causes)
        raise Untranslatable(sorted((getattr(cause, "_logical_id", "Template"), cause.message) for cause in causes)) from error
