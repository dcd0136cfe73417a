"""Who may call what: open doors, and services that may not do what the template asks of them."""

from own.policy import identity_policies, statements

OPEN = (None, "NONE")
# The service that takes on the role, by the place that names the role.
ROLES = {
    "AWS::Lambda::Function": ("Role", "lambda.amazonaws.com"),
    "AWS::StepFunctions::StateMachine": ("RoleArn", "states.amazonaws.com"),
    "AWS::CodeDeploy::DeploymentGroup": ("ServiceRoleArn", "codedeploy.amazonaws.com"),
}
RESOURCE_POLICIES = {
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
}


def faults(variant):
    """Open routes, open permissions, open resource policies, roles that cannot be taken on, functions that cannot be invoked."""
    yield from _routes(variant)
    yield from _permissions(variant)
    yield from _resource_policies(variant)
    yield from _roles(variant)
    yield from _invocations(variant)


def _routes(variant):
    for name, route in variant.of_type("AWS::ApiGatewayV2::Route"):
        if route.get("AuthorizationType") in OPEN:
            path = ("Resources", name, "Properties", "AuthorizationType")
            yield "open-route", path, f"anybody may call {route.get('RouteKey')}; give it an AuthorizationType"
        if route.get("RouteKey") == "$default":
            yield "open-route", ("Resources", name), "$default takes every path and method; name them"
    for name, method in variant.of_type("AWS::ApiGateway::Method"):
        if method.get("AuthorizationType") in OPEN and method.get("HttpMethod") != "OPTIONS":
            yield "open-route", ("Resources", name), "anybody may call this method; give it an AuthorizationType"
    for name, address in variant.of_type("AWS::Lambda::Url"):
        if address.get("AuthType") in OPEN:
            yield "open-url", ("Resources", name, "Properties", "AuthType"), "anybody may call this URL; AuthType must be AWS_IAM"


def _permissions(variant):
    for name, permission in variant.of_type("AWS::Lambda::Permission"):
        principal = str(permission.get("Principal"))
        path = ("Resources", name, "Properties")
        if principal == "*":
            yield "open-permission", (*path, "Principal"), "any account may invoke the function"
        elif principal.endswith(".amazonaws.com") and not permission.get("SourceArn"):
            yield "open-permission", path, f"{principal} may invoke the function for anybody; name a SourceArn"
        if principal == "s3.amazonaws.com" and not permission.get("SourceAccount"):
            yield "open-permission", path, "an ARN of S3 names no account: a bucket deleted and made by others keeps it; add SourceAccount"


def _resource_policies(variant):
    for kind, key in RESOURCE_POLICIES.items():
        for name, properties in variant.of_type(kind):
            for index, statement in enumerate(statements(properties.get(key, {}))):
                path = ("Resources", name, "Properties", key, "Statement", index)
                if not statement.allows:
                    continue
                if statement.anybody and not statement.conditions:
                    yield "open-policy", path, "allows anybody, without a condition"
                if statement.services and not _bound(statement) and kind != "AWS::KMS::Key":
                    yield "open-policy", path, f"allows {', '.join(statement.services)} whoever asks; add a condition on aws:SourceArn or aws:SourceAccount"


def _bound(statement):
    return any(statement.values(key) for key in ("aws:SourceArn", "aws:SourceAccount", "aws:SourceOrgID"))


def _roles(variant):
    for name, role, service, path in _taken(variant):
        known, kind = variant.named(role)
        if kind != "AWS::IAM::Role":
            continue
        trust = variant.resources[known]["Properties"].get("AssumeRolePolicyDocument", {})
        allowed = {one for statement in statements(trust) if statement.allows for one in statement.services}
        if service not in allowed:
            yield "untaken-role", path, f"{service} takes on {known} here, which trusts {', '.join(sorted(allowed)) or 'nobody'}"
        for statement in statements(trust):
            if statement.allows and (statement.anybody or statement.principals):
                yield "open-role", ("Resources", known, "Properties", "AssumeRolePolicyDocument"), "trusts accounts, not only a service"


def _taken(variant):
    for kind, (key, service) in ROLES.items():
        for name, properties in variant.of_type(kind):
            yield name, properties.get(key), service, ("Resources", name, "Properties", key)
    for name, properties in variant.of_type("AWS::Scheduler::Schedule"):
        yield name, properties.get("Target", {}).get("RoleArn"), "scheduler.amazonaws.com", ("Resources", name, "Properties", "Target")
    for name, properties in variant.of_type("AWS::Events::Rule"):
        for index, target in enumerate(properties.get("Targets", [])):
            if "RoleArn" in target:
                yield name, target["RoleArn"], "events.amazonaws.com", ("Resources", name, "Properties", "Targets", index)


def _invocations(variant):
    """Rules, topics and routes that call a function must be allowed to by a permission of that function."""
    allowed = [
        (variant.invoked(permission.get("FunctionName")), permission.get("Principal"), str(permission.get("SourceArn", "")))
        for _, permission in variant.of_type("AWS::Lambda::Permission")
    ]

    def may(called, service, source):
        # An alias has a policy of its own.
        return any(
            of == variant.invoked(called) and principal == service and (not arn or arn.startswith(source))
            for of, principal, arn in allowed
        )

    for name, rule in variant.of_type("AWS::Events::Rule"):
        for index, target in enumerate(rule.get("Targets", [])):
            function = variant.function_of(target.get("Arn"))
            if function and not may(target["Arn"], "events.amazonaws.com", variant.resolver.arn(name)):
                yield "uninvokable", ("Resources", name, "Properties", "Targets", index), f"no permission lets this rule invoke {function}"
    for name, subscription in variant.of_type("AWS::SNS::Subscription"):
        function = variant.function_of(subscription.get("Endpoint"))
        if function and not may(subscription["Endpoint"], "sns.amazonaws.com", subscription.get("TopicArn")):
            yield "uninvokable", ("Resources", name), f"no permission lets the topic invoke {function}"
    for name, integration in variant.of_type("AWS::ApiGatewayV2::Integration"):
        function = variant.function_of(integration.get("IntegrationUri"))
        source = f"arn:aws:execute-api:us-east-1:123456789012:{integration.get('ApiId')}/"
        if function and not may(integration["IntegrationUri"], "apigateway.amazonaws.com", source):
            yield "uninvokable", ("Resources", name), f"no permission lets the API invoke {function}"
    yield from _started(variant)


def _started(variant):
    """The state machine's role must reach each function that its definition calls; a schedule's role its target."""
    rights = {}
    for role, _, document in identity_policies(variant):
        rights.setdefault(role, []).extend(statement for statement in statements(document) if statement.allows)
    for name, machine in variant.of_type("AWS::StepFunctions::StateMachine"):
        role, _ = variant.named(machine.get("RoleArn"))
        for key, value in machine.get("DefinitionSubstitutions", {}).items():
            if variant.function_of(value) and role and not _permitted(rights.get(role, []), "lambda:InvokeFunction", value):
                path = ("Resources", name, "Properties", "DefinitionSubstitutions", key)
                yield "uninvokable", path, f"{role} may not invoke {value.split(':function:')[-1]}"
    for name, schedule in variant.of_type("AWS::Scheduler::Schedule"):
        target = schedule.get("Target", {})
        role, _ = variant.named(target.get("RoleArn"))
        needed = [target.get("Arn"), target.get("DeadLetterConfig", {}).get("Arn")]
        for arn in filter(None, needed):
            if role and ":sqs:" in arn and not _permitted(rights.get(role, []), "sqs:SendMessage", arn):
                yield "uninvokable", ("Resources", name, "Properties", "Target"), f"{role} may not send to {arn.split(':')[-1]}"


def _permitted(allowed, action, resource):
    return any(statement.acts(action) and statement.reaches(resource) for statement in allowed)
