"""Alarms: that there is such a metric, somebody who is told, and a section of the runbook."""

import re

# Of each namespace: the sets of dimensions that its metrics have, and their names (AWS documentation, "AWS services that
# publish CloudWatch metrics").
METRICS = {
    "AWS/States": (
        [{"StateMachineArn"}],
        "ExecutionsStarted ExecutionsSucceeded ExecutionsFailed ExecutionsAborted ExecutionsTimedOut ExecutionThrottled "
        "ExecutionTime ExecutionsRedriven RedrivenExecutionsFailed RedrivenExecutionsSucceeded",
    ),
    "AWS/SQS": (
        [{"QueueName"}],
        "ApproximateAgeOfOldestMessage ApproximateNumberOfMessagesDelayed ApproximateNumberOfMessagesNotVisible "
        "ApproximateNumberOfMessagesVisible NumberOfEmptyReceives NumberOfMessagesDeleted NumberOfMessagesReceived "
        "NumberOfMessagesSent SentMessageSize",
    ),
    "AWS/Lambda": (
        [{"FunctionName"}, {"FunctionName", "Resource"}, {"FunctionName", "Resource", "ExecutedVersion"}, {"EventSourceMappingUUID"}, set()],
        "Invocations Errors DeadLetterErrors DestinationDeliveryFailures Throttles Duration IteratorAge ConcurrentExecutions "
        "UnreservedConcurrentExecutions AsyncEventsReceived AsyncEventAge AsyncEventsDropped RecursiveInvocationsDropped "
        "OffsetLag PolledEventCount FailedInvokeEventCount DroppedEventCount ClaimedAccountConcurrency",
    ),
    "AWS/SNS": (
        [{"TopicName"}],
        "NumberOfMessagesPublished NumberOfNotificationsDelivered NumberOfNotificationsFailed NumberOfNotificationsFilteredOut "
        "NumberOfNotificationsRedrivenToDlq NumberOfNotificationsFailedToRedriveToDlq PublishSize",
    ),
    "AWS/Events": (
        [{"RuleName"}, {"EventBusName", "RuleName"}, set()],
        "Invocations FailedInvocations TriggeredRules ThrottledRules MatchedEvents InvocationsSentToDlq "
        "InvocationsFailedToBeSentToDlq IngestionToInvocationStartLatency RetryInvocationAttempts",
    ),
    "AWS/Scheduler": (
        [{"ScheduleGroup"}, set()],
        "InvocationAttemptCount TargetErrorCount TargetErrorThrottledCount InvocationThrottleCount InvocationDroppedCount "
        "InvocationsSentToDeadLetterCount InvocationsFailedToBeSentToDeadLetterCount",
    ),
    "AWS/ApiGateway": (
        [{"ApiId"}, {"ApiId", "Stage"}, {"ApiId", "Stage", "Method", "Resource"}],
        "4xx 5xx Count DataProcessed IntegrationLatency Latency",
    ),
    "AWS/Kinesis": (
        [{"StreamName"}],
        "GetRecords.IteratorAgeMilliseconds ReadProvisionedThroughputExceeded WriteProvisionedThroughputExceeded IncomingRecords IncomingBytes",
    ),
}
OUR_DIMENSIONS = [{"stack"}, {"stack", "pipeline"}, {"stack", "pipeline", "stage"}]


def faults(variant):
    """Alarms that can never go off, tell nobody, or leave people without a way on."""
    deployments = set(_of_deployments(variant))
    for name, alarm in variant.of_type("AWS::CloudWatch::Alarm"):
        path = ("Resources", name, "Properties")
        if name not in deployments:
            if not alarm.get("AlarmActions"):
                yield "alarm-action", path, "tells nobody; name the topic in AlarmActions"
            yield from _runbook(variant, alarm, path)
        for namespace, metric, dimensions in _metrics(alarm):
            yield from _metric(variant, namespace, metric, dimensions, path)
    for name, alarm in variant.of_type("AWS::CloudWatch::CompositeAlarm"):
        if not alarm.get("AlarmActions"):
            yield "alarm-action", ("Resources", name, "Properties"), "tells nobody; name the topic in AlarmActions"


def _of_deployments(variant):
    """Alarms that CodeDeploy looks at, and not people."""
    for _, group in variant.of_type("AWS::CodeDeploy::DeploymentGroup"):
        for alarm in group.get("AlarmConfiguration", {}).get("Alarms", []):
            yield alarm.get("Name")


def _metrics(alarm):
    if "MetricName" in alarm:
        yield alarm.get("Namespace"), alarm["MetricName"], alarm.get("Dimensions", [])
    for query in alarm.get("Metrics", []):
        metric = query.get("MetricStat", {}).get("Metric")
        if metric:
            yield metric.get("Namespace"), metric.get("MetricName"), metric.get("Dimensions", [])


def _metric(variant, namespace, metric, dimensions, path):
    keys = {dimension.get("Name") for dimension in dimensions}
    if namespace == "Stepwell":
        known, shapes = variant.project.measures(str(metric)), OUR_DIMENSIONS
    elif namespace in METRICS:
        shapes, names = METRICS[namespace]
        known = metric in names.split()
    else:
        yield "metric", path, f"there is no namespace {namespace}"
        return
    if not known:
        yield "metric", path, f"{namespace} has no metric {metric}"
    elif keys not in shapes:
        yield "metric", path, f"{metric} of {namespace} has no dimensions {', '.join(sorted(map(str, keys))) or '(none)'}"
    for dimension in dimensions:
        value = str(dimension.get("Value"))
        if namespace == "AWS/Lambda" and dimension.get("Name") == "FunctionName" and variant.function_of(value) is None:
            yield "metric", path, f"there is no function {value}"
        kinds = {"QueueName": "AWS::SQS::Queue", "TopicName": "AWS::SNS::Topic", "RuleName": "AWS::Events::Rule"}
        wanted = kinds.get(dimension.get("Name"))
        if wanted and variant.resources.get(value, {}).get("Type") != wanted:
            yield "metric", path, f"{dimension['Name']} is {value}, which is none of the template"


def _runbook(variant, alarm, path):
    section = re.search(r"docs/runbook\.md#([a-z0-9-]+)", str(alarm.get("AlarmDescription", "")))
    if not section:
        yield "runbook", (*path, "AlarmDescription"), "the description names no section of docs/runbook.md (docs/runbook.md#…)"
    elif section[1] not in variant.project.runbook_sections:
        yield "runbook", (*path, "AlarmDescription"), f"docs/runbook.md has no section #{section[1]}"
