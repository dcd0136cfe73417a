"""Buckets: that nobody reaches them without TLS."""

from own.policy import many


def faults(variant):
    """Buckets without a policy that denies requests without TLS, to the bucket and to its objects."""
    denied = {}
    for _, properties in variant.of_type("AWS::S3::BucketPolicy"):
        for statement in many(properties.get("PolicyDocument", {}).get("Statement", [])):
            if _denies_plain(statement):
                denied.setdefault(properties.get("Bucket"), set()).update(many(statement.get("Resource", [])))
    for name, _ in variant.of_type("AWS::S3::Bucket"):
        arn = variant.resolver.arn(name)
        if not {arn, f"{arn}/*"} <= denied.get(name, set()):
            yield "tls", ("Resources", name), "no bucket policy denies requests without TLS to the bucket and its objects"


def _denies_plain(statement):
    condition = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    everybody = statement.get("Principal") in ("*", {"AWS": "*"})
    actions = many(statement.get("Action", []))
    return statement.get("Effect") == "Deny" and everybody and str(condition).lower() == "false" and actions in (["s3:*"], ["*"])
