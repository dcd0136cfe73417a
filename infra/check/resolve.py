"""Intrinsic functions and conditions of a template, worked out as CloudFormation would.

Two steps, since the tools want different things: `choose` works out conditions and leaves references, as tools that know
CloudFormation read them; `Resolver` replaces references too, by names and ARNs that are made up from logical ids, for what
looks at policies and ARNs.
"""

import re

REGION, ACCOUNT, PARTITION = "us-east-1", "123456789012", "aws"
PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": PARTITION,
    "AWS::StackName": "stepwell",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/stepwell/0",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NotificationARNs": [],
}
NOTHING = object()
DANGLING = "unresolved:"

# `{}` is the logical id, which stands for the physical name, too.
ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:123456789012:{}",
    "AWS::SNS::Topic": "arn:aws:sns:us-east-1:123456789012:{}",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:{}",
    "AWS::Lambda::Version": "arn:aws:lambda:us-east-1:123456789012:function:{}:1",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:us-east-1:123456789012:stateMachine:{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:{}:*",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Events::Rule": "arn:aws:events:us-east-1:123456789012:rule/{}",
    "AWS::Scheduler::Schedule": "arn:aws:scheduler:us-east-1:123456789012:schedule/default/{}",
    "AWS::KMS::Key": "arn:aws:kms:us-east-1:123456789012:key/{}",
    "AWS::Kinesis::Stream": "arn:aws:kinesis:us-east-1:123456789012:stream/{}",
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:{}",
}
# Whose `Ref` is an ARN, and not a name.
REF_IS_ARN = {
    "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine", "AWS::Lambda::Version", "AWS::Lambda::Alias",
}  # fmt: skip


def conditions(template, parameters):
    """Each condition's value under these parameters."""
    written = template.get("Conditions", {})
    values = {}

    def value(expression):
        if not isinstance(expression, dict) or len(expression) != 1:
            return expression
        (name, argument), = expression.items()
        match name:
            case "Condition":
                return of(argument)
            case "Fn::Equals":
                left, right = (_plain(value(side)) for side in argument)
                return left == right
            case "Fn::Not":
                return not value(argument[0])
            case "Fn::And":
                return all([value(part) for part in argument])
            case "Fn::Or":
                return any([value(part) for part in argument])
            case "Ref":
                return parameters.get(argument, PSEUDO.get(argument, DANGLING + argument))
            case "Fn::FindInMap":
                return _mapped(template, [_plain(value(part)) for part in argument])
            case "Fn::Join":
                joined = value(argument[1])
                parts = joined if isinstance(joined, list) else str(joined).split(",")
                return argument[0].join(_plain(value(part)) for part in parts)
            case "Fn::Select":
                parts = value(argument[1])
                parts = parts if isinstance(parts, list) else str(parts).split(",")
                return parts[int(argument[0])]
        raise ValueError(f"conditions with {name} are not understood")

    def of(name):
        if name not in values:
            values[name] = value(written[name]) if name in written else False
        return values[name]

    return {name: of(name) for name in written}


def choose(template, parameters):
    """The template under these parameters: these in the place of references to them, `Fn::If` worked out, resources and
    outputs whose condition is false left out."""
    true = conditions(template, parameters)

    def chosen(node):
        if isinstance(node, list):
            return [item for item in map(chosen, node) if item is not NOTHING]
        if not isinstance(node, dict):
            return node
        if node.keys() == {"Ref"} and node["Ref"] == "AWS::NoValue":
            return NOTHING
        if node.keys() == {"Ref"} and node["Ref"] in parameters:
            return listed(template, node["Ref"], parameters[node["Ref"]])
        if node.keys() == {"Fn::If"}:
            name, yes, no = node["Fn::If"]
            return chosen(yes if true.get(name) else no)
        return {key: value for key, value in ((key, chosen(value)) for key, value in node.items()) if value is not NOTHING}

    result = dict(template)
    for section in ("Resources", "Outputs"):
        present = {
            name: {key: value for key, value in body.items() if key != "Condition"}
            for name, body in template.get(section, {}).items()
            if "Condition" not in body or true.get(body["Condition"])
        }
        result[section] = chosen(present)
    result.pop("Conditions", None)
    return result


def listed(template, parameter, value):
    """A parameter's value, as a list where its type is one."""
    kind = template.get("Parameters", {}).get(parameter, {}).get("Type", "String")
    if kind == "Number" and re.fullmatch(r"[0-9]+", value):
        return int(value)
    return [part for part in value.split(",") if part] if kind.startswith(("CommaDelimitedList", "List<")) else value


class Resolver:
    """Replaces references of a template whose conditions are worked out."""

    def __init__(self, template, parameters):
        self.parameters = parameters
        self.types = {name: body.get("Type", "") for name, body in template["Resources"].items()}
        self.template = template

    def resources(self):
        """All resources, without any intrinsic function."""
        return {name: self.value(body) for name, body in self.template["Resources"].items()}

    def value(self, node):
        """A node with its references replaced; what refers to nothing becomes a text that begins with `unresolved:`."""
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), = node.items()
            match name:
                case "Ref":
                    return self.ref(argument)
                case "Fn::GetAtt":
                    parts = argument if isinstance(argument, list) else argument.split(".", 1)
                    return self.attribute(parts[0], parts[1])
                case "Fn::Sub":
                    return self.substituted(argument)
                case "Fn::FindInMap":
                    return _mapped(self.template, [_plain(self.value(part)) for part in argument])
                case "Fn::Join":
                    parts = self.value(argument[1])
                    parts = parts if isinstance(parts, list) else str(parts).split(",")
                    return argument[0].join(_plain(part) for part in parts)
                case "Fn::Select":
                    parts = self.value(argument[1])
                    index = int(argument[0])
                    return parts[index] if isinstance(parts, list) and index < len(parts) else f"{DANGLING}Select"
                case "Fn::Split":
                    return str(self.value(argument[1])).split(argument[0])
        return {key: self.value(value) for key, value in node.items()}

    def ref(self, name):
        """What `Ref` gives."""
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.types:
            if self.types[name] in REF_IS_ARN:
                return self.arn(name)
            if self.types[name] == "AWS::SQS::Queue":
                return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
            return name
        return self.parameters.get(name, DANGLING + name)

    def attribute(self, name, attribute):
        """What `Fn::GetAtt` gives."""
        if name not in self.types:
            return f"{DANGLING}{name}.{attribute}"
        if attribute in ("Arn", "TopicArn"):
            return self.arn(name)
        if attribute in ("Name", "QueueName", "TopicName"):
            return name
        return f"{name}.{attribute}"

    def arn(self, name):
        """The ARN that a resource has here."""
        if self.types[name] == "AWS::Lambda::Alias":
            alias = self.value(self.template["Resources"][name].get("Properties", {}))
            return f"{ARNS['AWS::Lambda::Function'].format(alias.get('FunctionName'))}:{alias.get('Name')}"
        form = ARNS.get(self.types[name], "arn:aws:{type}:us-east-1:123456789012:{}")
        return form.format(name, type=self.types[name].split("::")[1].lower())

    def substituted(self, argument):
        """What `Fn::Sub` gives."""
        text, own = (argument[0], self.value(argument[1])) if isinstance(argument, list) else (argument, {})

        def replaced(match):
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in own:
                return _plain(own[name])
            resource, _, attribute = name.partition(".")
            return _plain(self.attribute(resource, attribute) if attribute else self.ref(name))

        return re.sub(r"\$\{([^}]+)\}", replaced, text)


def _mapped(template, steps):
    node = template.get("Mappings", {})
    for step in steps:
        # YAML reads `None`, `Yes` and numbers as they are.
        node = {str(key): item for key, item in node.items()}.get(step, {}) if isinstance(node, dict) else {}
    return node if node != {} else f"{DANGLING}{'.'.join(steps)}"


def _plain(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_plain(item) for item in value)
    return str(value)
