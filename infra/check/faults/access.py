"""Faults of who may do what."""

from faults.seed import arn, fault, properties, statement, statements


@fault("own", "open-route")
def open_route(template):
    """A route of the API that anybody may call."""
    properties(template, "CreateJob")["AuthorizationType"] = "NONE"


@fault("own", "open-url")
def open_function_url(template):
    """A function's URL that anybody may call."""
    template["Resources"]["TriggerUrl"] = {
        "Type": "AWS::Lambda::Url",
        "Properties": {"TargetFunctionArn": arn("TriggerFunction"), "AuthType": "NONE"},
    }


@fault("own", "open-permission")
def anybody_may_invoke(template):
    """A function's permission for any account."""
    properties(template, "JobsMayTrigger")["Principal"] = "*"
    del properties(template, "JobsMayTrigger")["SourceArn"]


@fault("own", "open-permission")
def confused_deputy(template):
    """A function's permission for a service, whoever's rule it serves."""
    del properties(template, "EndedMayNotify")["SourceArn"]


@fault("cdk-nag", "AwsSolutions-IAM5[Action::s3:*]")
def wildcard_action(template):
    """A role that may do everything to objects."""
    statement(template, "ExtractRole", "s3:PutObject")["Action"] = "s3:*"


@fault("own", "wildcard")
def wildcard_resource(template):
    """A role that may publish to every topic."""
    statement(template, "NotifyRole", "sns:Publish")["Resource"] = "*"


@fault("own", "wildcard")
def wildcard_bucket_without_reason(template):
    """A role that may remove whatever is in a bucket, and no comment that says why."""
    statements(template, "TransformRole").append(
        {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": {"Fn::Sub": "${LakeBucket.Arn}/*"}}
    )


@fault("parliament", "UNKNOWN_ACTION")
def unknown_action(template):
    """A right that does not exist."""
    statements(template, "LoadRole").append(
        {"Effect": "Allow", "Action": "s3:GetObjects", "Resource": {"Fn::Sub": "${LakeBucket.Arn}/tables/*"}}
    )


@fault("parliament", "RESOURCE_MISMATCH")
def right_on_wrong_kind(template):
    """A right to send messages to a bucket."""
    statements(template, "TriggerRole").append({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn("LakeBucket")})


@fault("parliament", "DUPLICATE_SID")
def duplicated_statement_ids(template):
    """Two statements of one name."""
    for one in statements(template, "LoadRole")[:2]:
        one["Sid"] = "Same"


@fault("own", "untaken-role")
def wrong_service_in_trust_policy(template):
    """A function's role that trusts another service."""
    trust = properties(template, "LoadRole")["AssumeRolePolicyDocument"]
    trust["Statement"][0]["Principal"] = {"Service": "states.amazonaws.com"}


@fault("own", "open-role")
def trusts_everybody(template):
    """A role that any account may take on."""
    trust = properties(template, "TicksRole")["AssumeRolePolicyDocument"]
    trust["Statement"][0] = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}


@fault("cfn-guard", "role_written_out")
def function_without_role(template):
    """A function without a role, for which SAM makes one up."""
    del properties(template, "NotifyFunction")["Role"]


@fault("cfn-guard", "role_written_out")
def managed_policy(template):
    """A role with a policy that AWS manages."""
    managed = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/AmazonS3FullAccess"}
    properties(template, "LoadRole")["ManagedPolicyArns"] = [managed]


@fault("cfn-guard", "user_none")
def access_key(template):
    """A user with a key that lasts."""
    template["Resources"]["Robot"] = {"Type": "AWS::IAM::User"}
    template["Resources"]["RobotKey"] = {"Type": "AWS::IAM::AccessKey", "Properties": {"UserName": {"Ref": "Robot"}}}


@fault("own", "uninvokable")
def rule_may_not_invoke(template):
    """A rule whose function has no permission for it."""
    del template["Resources"]["EndedMayNotify"]


@fault("own", "uninvokable")
def machine_may_not_invoke(template):
    """A state machine that may not invoke the function of a state."""
    for name, body in template["Resources"].items():
        if body["Type"] in ("AWS::IAM::Role", "AWS::IAM::Policy"):
            policies = body["Properties"].get("Policies", [body["Properties"]])
            for one in (one for policy in policies for one in policy.get("PolicyDocument", {}).get("Statement", [])):
                if one["Action"] == "lambda:InvokeFunction" and isinstance(one["Resource"], list):
                    one["Resource"] = [resource for resource in one["Resource"] if "LoadFunction" not in str(resource)]


@fault("own", "rights")
def log_without_right(template):
    """A function that may not write its log."""
    allowed = statements(template, "LoadRole")
    allowed[:] = [one for one in allowed if "logs:PutLogEvents" not in one["Action"]]


@fault("own", "rights")
def queue_without_right(template):
    """A function that may not take messages out of its queue."""
    statement(template, "TriggerRole", "sqs:ReceiveMessage")["Resource"] = [arn("Events")]


@fault("own", "key")
def key_without_right(template):
    """A role that sends to a queue whose key it may not use."""
    for body in template["Resources"].values():
        if body["Type"] == "AWS::IAM::Policy" and "kms:Decrypt" in str(body["Properties"]["PolicyDocument"]):
            body["Properties"]["Roles"] = [role for role in body["Properties"]["Roles"] if role != {"Ref": "TicksRole"}]


@fault("own", "rights")
def network_without_right(template):
    """A function in a VPC that may make no network interface."""
    for body in template["Resources"].values():
        if body["Type"] == "AWS::IAM::Policy" and "ec2:CreateNetworkInterface" in str(body["Properties"]["PolicyDocument"]):
            body["Properties"]["Roles"] = [role for role in body["Properties"]["Roles"] if role != {"Ref": "LoadRole"}]
