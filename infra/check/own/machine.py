"""The state machine's definition and what the template puts into it."""

import json
import re


def faults(variant):
    """Placeholders without a value, values without a placeholder, values of another function, times that do not fit."""
    placeholders = set(re.findall(r"\$\{(\w+)\}", variant.project.machine))
    for name, machine in variant.of_type("AWS::StepFunctions::StateMachine"):
        path = ("Resources", name, "Properties", "DefinitionSubstitutions")
        given = machine.get("DefinitionSubstitutions", {})
        for key in sorted(placeholders - given.keys()):
            yield "substitution", path, f"etl.asl.json has ${{{key}}}, and nothing is put in its place"
        for key in sorted(given.keys() - placeholders):
            yield "substitution", (*path, key), f"etl.asl.json has no ${{{key}}}"
        for key, value in given.items():
            function = variant.function_of(value)
            if key.endswith("FunctionArn") and function != key.removesuffix("Arn"):
                yield "substitution", (*path, key), f"{key} is put to {function or value}"
        yield from _timeouts(variant, given, name)


def _timeouts(variant, given, name):
    """A state must wait longer than its function may take, or a late answer counts as none."""
    for state, body in json.loads(variant.project.machine)["States"].items():
        called = re.fullmatch(r"\$\{(\w+)\}", body.get("Parameters", {}).get("FunctionName", ""))
        function = variant.function_of(given.get(called[1])) if called else None
        if function:
            timeout = int(variant.resources[function]["Properties"].get("Timeout", 3))
            if int(body.get("TimeoutSeconds", 10**9)) <= timeout:
                message = f"state {state} waits {body['TimeoutSeconds']} s for {function}, which may take {timeout} s"
                yield "state-timeout", ("Resources", function, "Properties", "Timeout"), message
