"""parliament: what IAM policies say, statement by statement, with references replaced by ARNs."""

import json
import warnings

warnings.filterwarnings("ignore", category=UserWarning)

from parliament import analyze_policy_string, enhance_finding  # noqa: E402

from finding import Finding  # noqa: E402


def findings(variant):
    """What parliament says of each policy of a role, user or group, each resource policy and each trust policy."""
    found = []
    for resource, path, document in policies(variant):
        policy = analyze_policy_string(json.dumps(document))
        for fault in map(enhance_finding, policy.findings):
            detail = f"{fault.title.strip()}: {fault.detail}" if fault.detail else fault.title.strip()
            if isinstance(fault.location, dict) and fault.location.get("string"):
                detail += f" ({fault.location['string']})"
            found.append(Finding("parliament", fault.issue, resource, detail, path, (variant.name,)))
    return found


def policies(variant):
    """Every identity policy of the template: logical id, path, document."""
    for name, body in variant.resources.items():
        properties = body.get("Properties", {})
        match body["Type"]:
            case "AWS::IAM::Role" | "AWS::IAM::User" | "AWS::IAM::Group":
                for index, policy in enumerate(properties.get("Policies", [])):
                    yield name, ("Resources", name, "Properties", "Policies", index), policy["PolicyDocument"]
            case "AWS::IAM::Policy" | "AWS::IAM::ManagedPolicy":
                yield name, ("Resources", name, "Properties", "PolicyDocument"), properties["PolicyDocument"]
