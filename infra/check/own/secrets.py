"""What must not stand in a template: secrets, accounts, regions, and the partition of one part of the world."""

import re

SECRET = re.compile(r"(key|secret|token|password)$", re.IGNORECASE)
WRITTEN = (
    ("account", re.compile(r"(?<![0-9a-zA-Z-])[0-9]{12}(?![0-9a-zA-Z-])"), "an account is written out; use ${AWS::AccountId}"),
    ("region", re.compile(r"(?<![a-z])(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9](?![0-9])"), "a region is written out; use ${AWS::Region}"),
    ("partition", re.compile(r"arn:aws(-cn|-us-gov)?:"), "a partition is written out; use ${AWS::Partition}"),
    ("secret", re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY"), "this looks like a secret"),
)


def faults(variant):
    """Secrets by default, secrets that are shown, and what binds the template to one place."""
    for name, parameter in variant.sam.get("Parameters", {}).items():
        path = ("Parameters", name)
        hidden = str(parameter.get("NoEcho", "")).lower() == "true"
        if SECRET.search(name) and not hidden:
            yield "secret", path, "the name says that it is a secret, and NoEcho does not hide it"
        if (hidden or SECRET.search(name)) and parameter.get("Default"):
            yield "secret", path, "a secret has a default, which everybody can read here"
    for path, text in _texts(variant.sam.get("Resources", {}), ("Resources",)):
        for rule, pattern, message in WRITTEN:
            if pattern.search(text):
                yield rule, path, message


def _texts(node, path):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, (*path, index))
    elif isinstance(node, (str, int)) and not isinstance(node, bool):
        yield path, str(node)
