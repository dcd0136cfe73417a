"""Prints the roles of the SAM template as JSON: each with its trust policy and the statements of all its policies.

The template is translated to CloudFormation first, so that what the translator adds to a role is seen too; roles that it
makes itself are named as `generated`. Refs, GetAtts and Subs are resolved with the values that the second argument gives by
logical id: {"WorkBucket": {"Ref": "work", "Arn": "…"}}. Policies of their own count where it names them as `policies`; the
others are named as `by_choice`, each with the condition that it hangs on.

    python tests/python/roles.py infra/template.yaml '{"WorkBucket": …}'
"""

import json
import os
import re
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# The translator wants S3 locations, as `sam package` writes them.
PACKAGED = {"CodeUri": "s3://artifacts/code.zip", "DefinitionUri": {"Bucket": "artifacts", "Key": "definition.json"}}


class NoManagedPolicies:
    """Stands in for the loader of AWS's managed policies, which the template does not use."""

    def load(self):
        return {}


def translated(path):
    """The template as CloudFormation sees it."""
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        for name, location in PACKAGED.items():
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = location
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    return transform(template, {}, NoManagedPolicies())


def value(values, name, attribute):
    try:
        return values[name][attribute]
    except KeyError:
        sys.exit(f"no value is given for {attribute} of {name}")


def resolved(node, values):
    """The node with every intrinsic function replaced by its value."""
    if isinstance(node, list):
        return [resolved(item, values) for item in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        [(function, argument)] = node.items()
        if function == "Ref":
            return value(values, argument, "Ref")
        if function == "Fn::GetAtt":
            name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
            return value(values, name, attribute)
        if function == "Fn::Sub":

            def replacement(match):
                name, _, attribute = match.group(1).partition(".")
                return value(values, name, attribute or "Ref")

            return re.sub(r"\$\{([^}]+)\}", replacement, argument)
        if function.startswith("Fn::"):
            sys.exit(f"{function} is not understood in roles")
    return {key: resolved(item, values) for key, item in node.items()}


def main(path, values):
    with open(path, encoding="utf-8") as file:
        written = yaml_parse(file.read())["Resources"]
    resources = translated(path)["Resources"]
    roles = {}
    generated = []
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role" and name not in written:
            generated.append(name)
        elif resource["Type"] == "AWS::IAM::Role":
            properties = resource["Properties"]
            if properties.get("ManagedPolicyArns"):
                sys.exit(f"{name} has managed policies")
            roles[name] = {
                "trust": resolved(properties["AssumeRolePolicyDocument"], values),
                "statements": [
                    {**resolved(statement, values), "Policy": policy["PolicyName"]}
                    for policy in properties["Policies"]
                    for statement in policy["PolicyDocument"]["Statement"]
                ],
            }
    by_choice = {}
    for name, resource in resources.items():
        if resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy"):
            properties = resource["Properties"]
            if name in values.get("policies", []):
                statements = [
                    {**resolved(statement, values), "Policy": name} for statement in properties["PolicyDocument"]["Statement"]
                ]
                for role in properties["Roles"]:
                    roles[role["Ref"]]["statements"] += statements
            else:
                by_choice[name] = resource.get("Condition")
    json.dump({"roles": roles, "by_choice": by_choice, "generated": generated}, sys.stdout, indent=1)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
