"""Faults of single resources, and of what they say of others."""

from faults.seed import arn, fault, properties


@fault("cfn-guard", "bucket_private")
def public_bucket(template):
    """A bucket that may be made public."""
    del properties(template, "LakeBucket")["PublicAccessBlockConfiguration"]


@fault("cfn-guard", "bucket_encrypted")
def unencrypted_bucket(template):
    """A bucket that does not say how it encrypts."""
    del properties(template, "WorkBucket")["BucketEncryption"]


@fault("own", "tls")
def bucket_without_tls(template):
    """A bucket that answers without TLS."""
    del template["Resources"]["LakeBucketPolicy"]


@fault("own", "tls")
def objects_without_tls(template):
    """A bucket's policy that wants TLS for the bucket, and not for its objects."""
    for one in properties(template, "LakeBucketPolicy")["PolicyDocument"]["Statement"]:
        one["Resource"] = [arn("LakeBucket")]


@fault("cfn-guard", "bucket_kept")
def bucket_goes_with_stack(template):
    """A bucket that is deleted with its stack."""
    template["Resources"]["LakeBucket"]["DeletionPolicy"] = "Delete"


@fault("cfn-guard", "bucket_versioned")
def landing_without_versions(template):
    """A landing bucket where an upload over another replaces it."""
    properties(template, "LandingBucket")["VersioningConfiguration"] = {"Status": "Suspended"}


@fault("cfn-guard", "queue_encrypted")
def unencrypted_queue(template):
    """A queue that keeps its messages as they are."""
    properties(template, "Events").pop("KmsMasterKeyId", None)
    properties(template, "Events")["SqsManagedSseEnabled"] = False


@fault("cfn-guard", "topic_encrypted")
def unencrypted_topic(template):
    """A topic that stays unencrypted where a key is given."""
    del properties(template, "Notices")["KmsMasterKeyId"]


@fault("cfn-guard", "topic_key_of_ones_own")
def topic_with_key_of_aws(template):
    """A topic encrypted with AWS's own key, to which no alarm can publish."""
    properties(template, "Notices")["KmsMasterKeyId"] = "alias/aws/sns"


@fault("cfn-guard", "logs_end")
def logs_for_ever(template):
    """A log group that keeps its lines for ever."""
    del properties(template, "Logs")["RetentionInDays"]


@fault("cfn-guard", "function_log")
def log_made_by_lambda(template):
    """Functions whose log groups Lambda makes, and keeps for ever."""
    del template["Globals"]["Function"]["LoggingConfig"]


@fault("cfn-guard", "function_runtime")
def deprecated_runtime(template):
    """A runtime that AWS has given up."""
    properties(template, "LoadFunction")["Runtime"] = "provided"


@fault("cfn-guard", "function_unreserved")
def reserved_concurrency(template):
    """A function that throttles its own queue's messages to death."""
    properties(template, "TriggerFunction")["ReservedConcurrentExecutions"] = 5


@fault("cfn-lint", "E3034")
def too_little_memory(template):
    """A function of less memory than Lambda gives."""
    properties(template, "NotifyFunction")["MemorySize"] = 64


@fault("own", "variable")
def variable_missing(template):
    """A function without a variable that its code requires."""
    del properties(template, "NotifyFunction")["Environment"]["Variables"]["TOPIC_ARN"]


@fault("own", "variable")
def variable_misspelt(template):
    """A variable that the code does not read."""
    variables = properties(template, "TriggerFunction")["Environment"]["Variables"]
    variables["RUNNING_MAXIMUM"] = variables.pop("RUNNING_MAX")


@fault("own", "state-timeout")
def state_gives_up_first(template):
    """A function that may take longer than its state waits."""
    properties(template, "NotifyFunction")["Timeout"] = 120


@fault("own", "substitution")
def placeholder_left(template):
    """A placeholder of the state machine that nothing is put into."""
    del properties(template, "Etl")["DefinitionSubstitutions"]["LoadFunctionArn"]


@fault("own", "substitution")
def stages_swapped(template):
    """A state that calls another stage's function."""
    given = properties(template, "Etl")["DefinitionSubstitutions"]
    given["TransformFunctionArn"], given["LoadFunctionArn"] = given["LoadFunctionArn"], given["TransformFunctionArn"]


@fault("own", "substitution")
def placeholder_misspelt(template):
    """A value for a placeholder that the state machine does not have."""
    given = properties(template, "Etl")["DefinitionSubstitutions"]
    given["LoadArn"] = given["LoadFunctionArn"]


@fault("cfn-guard", "machine_standard")
def express_machine(template):
    """A state machine that may run twice."""
    properties(template, "Etl")["Type"] = "EXPRESS"


@fault("cfn-guard", "machine_logged")
def machine_without_log(template):
    """A state machine that logs nothing."""
    properties(template, "Etl")["Logging"] = {"Level": "OFF"}


@fault("cfn-guard", "stage_throttled")
def api_without_bounds(template):
    """An API that takes any number of requests."""
    del properties(template, "JobsStage")["DefaultRouteSettings"]


@fault("cfn-guard", "stage_logged")
def api_without_log(template):
    """An API that does not log who called."""
    del properties(template, "JobsStage")["AccessLogSettings"]


@fault("own", "metric")
def metric_that_does_not_exist(template):
    """An alarm on a metric that nobody publishes."""
    properties(template, "DeadEventsAlarm")["MetricName"] = "NumberOfMessagesVisible"


@fault("own", "metric")
def metric_that_the_code_does_not_emit(template):
    """An alarm on a metric of ours that no code emits."""
    properties(template, "RejectRatioAlarm")["MetricName"] = "RejectedRatio"


@fault("own", "metric")
def metric_of_another_dimension(template):
    """An alarm on a dimension that the metric does not have."""
    properties(template, "DeadEventsAlarm")["Dimensions"][0]["Name"] = "Queue"


@fault("own", "metric")
def metric_of_nothing(template):
    """An alarm on a queue's URL, where its name is meant."""
    properties(template, "DeadEventsAlarm")["Dimensions"][0]["Value"] = {"Ref": "DeadEvents"}


@fault("own", "alarm-action")
def alarm_that_tells_nobody(template):
    """An alarm without an action."""
    del properties(template, "DeadEventsAlarm")["AlarmActions"]


@fault("own", "runbook")
def alarm_without_runbook(template):
    """An alarm that names no section of the runbook."""
    properties(template, "DeadEventsAlarm")["AlarmDescription"] = "Dead letters. See docs/runbook.md#no-such-section."
