"""Faults of the template's own language, and of what it gives away."""

from faults.seed import arn, fault, properties, statements


@fault("cfn-lint", "E3002")
def unknown_property(template):
    """A property that the resource does not have."""
    properties(template, "DataQueue")["VisibilityTimeoutSeconds"] = 1085


@fault("translator", "invalid")
def unknown_property_of_function(template):
    """A property that SAM's functions do not have."""
    properties(template, "LoadFunction")["TimeoutSeconds"] = 900


@fault("cfn-lint", "E3006")
def unknown_type(template):
    """A resource of a type that does not exist."""
    template["Resources"]["Logs"]["Type"] = "AWS::Logs::Group"


@fault("cfn-lint", "E3003")
def required_property_missing(template):
    """A resource without a property that it requires."""
    del properties(template, "JobsIntegration")["IntegrationType"]


@fault("cfn-lint", "E3030")
def value_not_allowed(template):
    """A value that the property does not take."""
    properties(template, "LandingBucket")["VersioningConfiguration"] = {"Status": "On"}


@fault("cfn-lint", "E1020")
def reference_misspelt(template):
    """A reference to nothing."""
    properties(template, "NotifyEmailSubscription")["Endpoint"] = {"Ref": "NotifyMail"}


@fault("cfn-lint", "E1010")
def attribute_misspelt(template):
    """An attribute that the resource does not have."""
    properties(template, "StreamRecords")["DestinationConfig"]["OnFailure"]["Destination"] = {"Fn::GetAtt": ["DeadEvents", "QueueArn"]}


@fault("cfn-lint", "E3005")
def depends_on_nothing(template):
    """A resource that waits for another that does not exist."""
    template["Resources"]["StreamRecords"]["DependsOn"] = "ReadStreams"


@fault("cfn-lint", "E3004")
def circular_dependency(template):
    """Resources that wait for each other."""
    properties(template, "Events")["QueueName"] = {"Fn::Sub": "${EventsPolicy}-events"}


@fault("cfn-lint", "E3015")
def condition_misspelt(template):
    """A resource under a condition that does not exist."""
    template["Resources"]["StreamRecords"]["Condition"] = "HasStreams"


@fault("cfn-lint", "W2001")
def parameter_unused(template):
    """A parameter that nothing looks at."""
    template["Parameters"]["Unused"] = {"Type": "String", "Default": "", "Description": "Nobody reads it."}


@fault("own", "untried")
def condition_untried(template):
    """A condition that is true in every variant that is checked."""
    template["Conditions"]["HasBuckets"] = {"Fn::Equals": ["a", "a"]}
    template["Resources"]["LakeBucket"]["Condition"] = "HasBuckets"


@fault("own", "secret")
def secret_by_default(template):
    """A key with a default that everybody can read."""
    template["Parameters"]["PiiHashKey"]["Default"] = "correct-horse-battery-staple"


@fault("own", "secret")
def secret_shown(template):
    """A key that the console shows."""
    del template["Parameters"]["PiiHashKey"]["NoEcho"]


@fault("own", "secret")
def secret_in_variable(template):
    """A key written into a function's variables."""
    properties(template, "ExtractFunction")["Environment"]["Variables"]["AWS_ACCESS_KEY_ID"] = "AKIAIOSFODNN7EXAMPLE"


@fault("own", "account")
def account_written_out(template):
    """A role bound to one account."""
    arn_of_one = {"Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:210987654321:notices"}
    statements(template, "NotifyRole").append({"Effect": "Allow", "Action": "sns:Publish", "Resource": arn_of_one})


@fault("own", "region")
def region_written_out(template):
    """A permission bound to one region."""
    text = "arn:${AWS::Partition}:execute-api:eu-central-1:${AWS::AccountId}:${JobsApi}/*"
    properties(template, "JobsMayTrigger")["SourceArn"] = {"Fn::Sub": text}


@fault("own", "partition")
def partition_written_out(template):
    """A permission that holds in one part of the world."""
    text = "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${JobsApi}/*"
    properties(template, "JobsMayTrigger")["SourceArn"] = {"Fn::Sub": text}


@fault("cfn-guard", "outputs_described")
def output_without_description(template):
    """An output that does not say what it is for."""
    template["Outputs"]["Extract"] = {"Value": arn("ExtractFunction")}
