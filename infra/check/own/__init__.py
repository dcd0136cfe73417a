"""Checks of our own: what lies between resources, and between the template and the code, which no other tool sees.

A module yields (rule, path, message); the path's second step is the resource's logical id.
"""

from finding import Finding
from own import access, alarms, conditions, functions, loops, machine, queues, schedules, secrets, storage, wildcards

MODULES = (access, alarms, conditions, functions, loops, machine, queues, schedules, secrets, storage, wildcards)


def findings(variant):
    """What the checks say of a variant."""
    return [
        Finding("own", rule, str(path[1]), message, tuple(path), (variant.name,))
        for module in MODULES
        for rule, path, message in module.faults(variant)
    ]
