"""What a policy document allows, as plain sets."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """One statement, every element a list."""

    allows: bool
    actions: list
    resources: list
    services: list
    anybody: bool
    principals: list
    conditions: dict

    def acts(self, action):
        """Whether an action is named or covered by an asterisk."""
        return any(covers(pattern.lower(), action.lower()) for pattern in self.actions)

    def reaches(self, resource):
        """Whether a resource is named or covered by an asterisk."""
        return any(covers(pattern, resource) for pattern in self.resources)

    def touches(self, prefix):
        """Whether anything that begins with a prefix may be meant."""
        return any(
            pattern.startswith(prefix) or covers(pattern, prefix) or prefix.startswith(pattern.split("*")[0]) and "*" in pattern
            for pattern in self.resources
        )

    def values(self, key):
        """The values that the conditions want of a key, whichever the operator."""
        found = []
        for wanted in self.conditions.values():
            for name, value in wanted.items():
                if name.lower() == key.lower():
                    found.extend(many(value))
        return found


def statements(document):
    """The statements of a policy document."""
    for body in many(document.get("Statement", [])):
        principal = body.get("Principal", {})
        named = principal if isinstance(principal, dict) else {"AWS": principal}
        accounts = many(named.get("AWS", []))
        yield Statement(
            allows=body.get("Effect") == "Allow",
            actions=[str(action) for action in many(body.get("Action", []))],
            resources=[str(resource) for resource in many(body.get("Resource", []))],
            services=many(named.get("Service", [])),
            anybody="*" in accounts,
            principals=accounts,
            conditions=body.get("Condition", {}),
        )


def many(value):
    """A list of what may be one or several."""
    return value if isinstance(value, list) else [value]


def covers(pattern, text):
    """Whether IAM takes a pattern to mean a text."""
    expression = "".join(".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch(expression, text, re.DOTALL) is not None


def identity_policies(variant):
    """Each policy of a role: the role's logical id, the path, the document."""
    for name, properties in variant.of_type("AWS::IAM::Role"):
        for index, policy in enumerate(properties.get("Policies", [])):
            yield name, ("Resources", name, "Properties", "Policies", index), policy.get("PolicyDocument", {})
    for name, properties in variant.of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for role in properties.get("Roles", []):
            yield role, ("Resources", name, "Properties", "PolicyDocument"), properties.get("PolicyDocument", {})
