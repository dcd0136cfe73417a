"""Functions: their variables against the code's, and their roles against what Lambda itself does in their name."""

import re

from own.policy import covers, identity_policies, statements

# Read by the C library, the SDK and the runtime, and not by our code.
FOREIGN = ("MALLOC_", "AWS_", "RUST_")
LOGS = ("logs:CreateLogStream", "logs:PutLogEvents")
TRACES = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
NETWORK = ("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface")
QUEUE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
STREAM = ("kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards")


def faults(variant):
    """Variables that are missing, empty or unknown; rights that a role lacks."""
    yield from _variables(variant)
    rights = {}
    for role, _, document in identity_policies(variant):
        rights.setdefault(role, []).extend(statement for statement in statements(document) if statement.allows)
    for function, why, actions, resource, path in _needed(variant):
        role = variant.named(variant.resources[function]["Properties"].get("Role"))[0]
        lacking = [action for action in actions if not _allowed(rights.get(role, []), action, resource)]
        if lacking:
            yield "rights", path, f"{role} lacks {', '.join(lacking)} on {resource.split(':')[-1]}, which {why} needs"
    yield from _machine(variant, rights)
    yield from _keys(variant, rights)


def _variables(variant):
    table = documented(variant.project.settings)
    required = variant.project.required
    for name, function in variant.of_type("AWS::Lambda::Function"):
        binary = variant.sam["Resources"].get(name, {}).get("Metadata", {}).get("BuildProperties", {}).get("Binary")
        if binary is None:
            continue
        path = ("Resources", name, "Properties", "Environment", "Variables")
        given = function.get("Environment", {}).get("Variables", {})
        for variable, binaries in table.items():
            if variable in required and (binaries is None or binary in binaries) and given.get(variable, "") == "":
                yield "variable", path, f"the code of {binary} requires {variable}"
        for variable in given:
            if not variable.startswith(FOREIGN) and not _read(table, variable, binary):
                yield "variable", (*path, variable), f"the code of {binary} does not read {variable} (aws/src/settings.rs)"


def _read(table, variable, binary):
    return variable in table and (table[variable] is None or binary in table[variable] or variable.startswith("PII_"))


def documented(settings):
    """The table of variables at the head of `aws/src/settings.rs`: which binaries read each, none for all."""
    rows = re.findall(r"^//! \| `([A-Z_]+)` \| ([^|]+) \|", settings, re.MULTILINE)
    return {name: None if binaries.strip() == "all" else re.findall(r"`(\w+)`", binaries) for name, binaries in rows}


def _needed(variant):
    """What Lambda does in the name of a function's role: function, why, actions, resource, path."""
    for name, function in variant.of_type("AWS::Lambda::Function"):
        path = ("Resources", name, "Properties")
        group = function.get("LoggingConfig", {}).get("LogGroup")
        if group in variant.resources:
            yield name, "its log", LOGS, f"{variant.resolver.arn(group)[:-1]}log-stream:any", (*path, "LoggingConfig")
        if function.get("TracingConfig", {}).get("Mode") == "Active":
            yield name, "tracing", TRACES, "*", (*path, "TracingConfig")
        if function.get("VpcConfig", {}).get("SubnetIds"):
            yield name, "the network", NETWORK, "*", (*path, "VpcConfig")
    for name, mapping in variant.of_type("AWS::Lambda::EventSourceMapping"):
        function, path = variant.function_of(mapping.get("FunctionName")), ("Resources", name, "Properties")
        source = str(mapping.get("EventSourceArn"))
        if function:
            yield function, name, QUEUE if ":sqs:" in source else STREAM, source, path
            yield from _destination(mapping, function, path)
    for name, config in variant.of_type("AWS::Lambda::EventInvokeConfig"):
        function = variant.function_of(config.get("FunctionName"))
        if function:
            yield from _destination(config, function, ("Resources", name, "Properties"))


def _destination(properties, function, path):
    arn = str(properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", ""))
    if ":sqs:" in arn:
        yield function, "its OnFailure destination", ("sqs:SendMessage",), arn, path


def _machine(variant, rights):
    for name, machine in variant.of_type("AWS::StepFunctions::StateMachine"):
        role = variant.named(machine.get("RoleArn"))[0]
        wanted = []
        if machine.get("TracingConfiguration", {}).get("Enabled") is True:
            wanted += TRACES
        if machine.get("LoggingConfiguration", {}).get("Level", "OFF") != "OFF":
            wanted += ["logs:CreateLogDelivery", "logs:PutResourcePolicy", "logs:DescribeLogGroups"]
        lacking = [action for action in wanted if not _allowed(rights.get(role, []), action, "*")]
        if lacking:
            yield "rights", ("Resources", name, "Properties"), f"{role} lacks {', '.join(lacking)}, which its logging and tracing need"


def _keys(variant, rights):
    """Who reads or writes what a key of one's own encrypts must be allowed to use the key."""
    uses = {
        "AWS::S3::Bucket": (_bucket_key, "/any", {"s3:GetObject": ["kms:Decrypt"], "s3:PutObject": ["kms:GenerateDataKey", "kms:Decrypt"]}),
        "AWS::SQS::Queue": (_key, "", {"sqs:ReceiveMessage": ["kms:Decrypt"], "sqs:SendMessage": ["kms:GenerateDataKey", "kms:Decrypt"]}),
        "AWS::SNS::Topic": (_key, "", {"sns:Publish": ["kms:GenerateDataKey", "kms:Decrypt"]}),
    }
    for kind, (key_of, suffix, needs) in uses.items():
        for name, properties in variant.of_type(kind):
            key = key_of(properties)
            if key is None or not key.startswith("arn:"):
                continue
            for role, allowed in rights.items():
                lacking = sorted({
                    right
                    for action, wanted in needs.items()
                    for right in wanted
                    if _meant(allowed, action, variant.resolver.arn(name) + suffix) and not _allowed(allowed, right, key)
                })  # fmt: skip
                if lacking:
                    yield "key", ("Resources", role), f"{role} uses {name}, whose key it may not use: {', '.join(lacking)}"


def _key(properties):
    return properties.get("KmsMasterKeyId")


def _bucket_key(properties):
    rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
    return next((rule.get("ServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") for rule in rules), None)


def _allowed(allowed, action, resource):
    """Whether an action is allowed on a resource; on whatever, where the action knows no resource."""
    return any(statement.acts(action) and (resource == "*" or statement.reaches(resource)) for statement in allowed)


def _meant(allowed, action, resource):
    """Whether an action is allowed on a resource, or on part of a bucket."""
    bucket = resource.split("/", 1)[0]
    return any(
        statement.acts(action) and any(covers(one, resource) or one.split("/", 1)[0] == bucket for one in statement.resources)
        for statement in allowed
    )
