"""The register of faults, and what most of them do to the template."""

from dataclasses import dataclass
from typing import Callable

FAULTS = {}


@dataclass(frozen=True)
class Fault:
    """`finding` is a tool and a rule of it, one that must find the fault; others may, too."""

    name: str
    finding: tuple
    edit: Callable

    @property
    def text(self):
        """What is wrong, in words."""
        return " ".join(self.edit.__doc__.split()).rstrip(".")


def fault(tool, rule):
    """Registers a function that edits the template as a fault."""

    def register(edit):
        name = edit.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, (tool, rule), edit)
        return edit

    return register


def properties(template, name):
    """A resource's properties."""
    return template["Resources"][name]["Properties"]


def statements(template, role):
    """The statements of a role's own first policy."""
    return properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"]


def statement(template, role, action):
    """The first statement of a role that names an action."""
    for one in statements(template, role):
        actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
        if action in actions:
            return one
    raise KeyError(f"{role} has no statement with {action}")


def arn(name):
    """A reference to a resource's ARN."""
    return {"Fn::GetAtt": [name, "Arn"]}
