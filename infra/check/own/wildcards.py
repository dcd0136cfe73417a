"""Asterisks in policies: each has its reason as a comment beside it.

Looked at in the source, where the comments are. An asterisk after a prefix (`${Bucket.Arn}/staged/*`) is how S3 names
objects, and needs none; the whole of a bucket, or anything wider, does.
"""

import re

from own.policy import many

POLICIES = ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")


def faults(variant):
    """Statements that allow with an asterisk, without a comment."""
    for name, body in variant.sam.get("Resources", {}).items():
        if body.get("Type") not in POLICIES:
            continue
        for path, statement in _statements(body.get("Properties", {}), ("Resources", name, "Properties")):
            wide = list(_wide(statement))
            if wide and statement.get("Effect") == "Allow" and not _explained(variant, path, statement):
                yield "wildcard", path, f"{', '.join(wide)} without a comment that says why nothing narrower does"


def _statements(properties, path):
    for index, policy in enumerate(properties.get("Policies", [])):
        for number, statement in enumerate(many(policy.get("PolicyDocument", {}).get("Statement", []))):
            yield (*path, "Policies", index, "PolicyDocument", "Statement", number), statement
    for number, statement in enumerate(many(properties.get("PolicyDocument", {}).get("Statement", []))):
        yield (*path, "PolicyDocument", "Statement", number), statement


def _wide(statement):
    for action in many(statement.get("Action", [])):
        if "*" in str(action):
            yield str(action)
    for resource in many(statement.get("Resource", [])):
        text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else str(resource)
        if isinstance(text, str) and (text == "*" or re.fullmatch(r"\$\{\w+\.Arn\}/?\*", text) or ":*" in text):
            yield text


def _explained(variant, path, statement):
    """Whether the statement stands in the source as it is here, with a comment."""
    source = variant.project.source
    node = source.node(path)
    if node is None or variant.project.written(path) != statement:
        return False
    return source.commented(node)
