"""Loops: what a run writes must not land where objects start runs."""

from own.policy import identity_policies, statements

WRITES = ("s3:PutObject", "s3:ReplicateObject", "s3:RestoreObject")
# What may write where runs start, and there to what: data that arrived in another way, and uploads of jobs.
INTAKE = {"TriggerFunction": ("queues/", "streams/", "uploads/")}


def faults(variant):
    """Roles and variables that lead a run's output to a bucket that starts runs."""
    listening = dict(_listening(variant))
    intake = {
        variant.named(properties.get("Role"))[0]: INTAKE[name]
        for name, properties in variant.of_type("AWS::Lambda::Function")
        if name in INTAKE
    }
    for name, path in listening.items():
        if name is None:
            yield "loop", path, "the pattern names no bucket, so that what is written to any bucket starts runs"
    for role, path, document in identity_policies(variant):
        for bucket in filter(None, listening):
            for place in _written(document, bucket):
                if not any(place.startswith(prefix) for prefix in intake.get(role, ())):
                    yield "loop", path, f"{role} may write {bucket}/{place}, and what is written there starts a run"
    for name, function in variant.of_type("AWS::Lambda::Function"):
        for key, value in function.get("Environment", {}).get("Variables", {}).items():
            if key != "LANDING_BUCKET" and value in listening:
                yield "loop", ("Resources", name, "Properties", "Environment"), f"{key} is {value}, where objects start runs"


def _listening(variant):
    """Buckets whose new objects start something, with the path of what listens; none for every bucket."""
    for name, rule in variant.of_type("AWS::Events::Rule"):
        pattern = rule.get("EventPattern", {})
        if "aws.s3" in pattern.get("source", []):
            names = pattern.get("detail", {}).get("bucket", {}).get("name") or [None]
            for bucket in names:
                yield bucket, ("Resources", name, "Properties", "EventPattern")
    for name, bucket in variant.of_type("AWS::S3::Bucket"):
        configured = bucket.get("NotificationConfiguration", {})
        if any(configured.get(kind) for kind in ("QueueConfigurations", "LambdaConfigurations", "TopicConfigurations")):
            yield name, ("Resources", name, "Properties", "NotificationConfiguration")


def _written(document, bucket):
    """The key patterns of a bucket that a policy lets its role write."""
    for statement in statements(document):
        if not statement.allows or not any(statement.acts(action) for action in WRITES):
            continue
        for resource in statement.resources:
            if resource == "*" or resource.startswith("arn:aws:s3:::*"):
                yield "*"
            elif resource.startswith(f"arn:aws:s3:::{bucket}/"):
                yield resource.split("/", 1)[1]
