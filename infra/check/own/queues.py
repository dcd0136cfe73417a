"""Queues: who may send to them, where dead letters go, and how their times fit their readers."""

from own.policy import statements

RECEIVES_LEAST = 5


def faults(variant):
    """Senders that a policy misses, dead letters of the wrong kind or of none, times that do not fit."""
    yield from _senders(variant)
    yield from _stale(variant)
    yield from _dead_letters(variant)
    yield from _without_dead_letters(variant)
    yield from _times(variant)


def _sends(variant):
    """Who sends to which queue by the queue's policy: service, source ARN, queue ARN, path, what it is."""
    for name, rule in variant.of_type("AWS::Events::Rule"):
        source = variant.resolver.arn(name)
        for index, target in enumerate(rule.get("Targets", [])):
            path = ("Resources", name, "Properties", "Targets", index)
            for arn in (target.get("Arn"), target.get("DeadLetterConfig", {}).get("Arn")):
                if ":sqs:" in str(arn):
                    yield "events.amazonaws.com", source, arn, path
    for name, subscription in variant.of_type("AWS::SNS::Subscription"):
        path = ("Resources", name, "Properties")
        dead = subscription.get("RedrivePolicy", {}).get("deadLetterTargetArn")
        for arn in (subscription.get("Endpoint") if subscription.get("Protocol") == "sqs" else None, dead):
            if ":sqs:" in str(arn):
                yield "sns.amazonaws.com", subscription.get("TopicArn"), arn, path
    for name, bucket in variant.of_type("AWS::S3::Bucket"):
        for index, one in enumerate(bucket.get("NotificationConfiguration", {}).get("QueueConfigurations", [])):
            path = ("Resources", name, "Properties", "NotificationConfiguration", "QueueConfigurations", index)
            yield "s3.amazonaws.com", variant.resolver.arn(name), one.get("Queue"), path


def _policies(variant):
    """Each statement that lets somebody send, with the queues of its policy."""
    for name, properties in variant.of_type("AWS::SQS::QueuePolicy"):
        queues = {str(address).rsplit("/", 1)[-1] for address in properties.get("Queues", [])}
        for index, statement in enumerate(statements(properties.get("PolicyDocument", {}))):
            if statement.allows and statement.acts("sqs:SendMessage"):
                yield queues, statement, ("Resources", name, "Properties", "PolicyDocument", "Statement", index)


def _senders(variant):
    policies = list(_policies(variant))
    for service, source, queue, path in _sends(variant):
        if variant.named(queue)[0] is None:
            continue
        allowed = any(
            queue.split(":")[-1] in queues
            and service in statement.services
            and statement.reaches(queue)
            and (not statement.values("aws:SourceArn") or source in statement.values("aws:SourceArn"))
            for queues, statement, _ in policies
        )
        if not allowed:
            yield "queue-policy", path, f"no policy of the queue {queue.split(':')[-1]} lets {source.split(':')[-1]} send to it"


def _stale(variant):
    """Sources that a policy names and that send nothing to its queues."""
    sending = {(source, queue) for _, source, queue, _ in _sends(variant)}
    for queues, statement, path in _policies(variant):
        for source in statement.values("aws:SourceArn"):
            if not any(source == sender and queue.split(":")[-1] in queues for sender, queue in sending):
                yield "queue-policy", path, f"lets {source.split(':')[-1]} send, which sends nothing to these queues"


def _dead_places(variant):
    """Each place that names where failures go: path, ARN, kinds that AWS takes there, ARN of the queue that it serves."""
    for name, queue in variant.of_type("AWS::SQS::Queue"):
        if "RedrivePolicy" in queue:
            path = ("Resources", name, "Properties", "RedrivePolicy")
            yield path, queue["RedrivePolicy"].get("deadLetterTargetArn"), ("sqs",), variant.resolver.arn(name)
    for name, rule in variant.of_type("AWS::Events::Rule"):
        for index, target in enumerate(rule.get("Targets", [])):
            if "DeadLetterConfig" in target:
                path = ("Resources", name, "Properties", "Targets", index)
                yield path, target["DeadLetterConfig"].get("Arn"), ("sqs",), target.get("Arn")
    for name, schedule in variant.of_type("AWS::Scheduler::Schedule"):
        target = schedule.get("Target", {})
        if "DeadLetterConfig" in target:
            path = ("Resources", name, "Properties", "Target")
            yield path, target["DeadLetterConfig"].get("Arn"), ("sqs",), target.get("Arn")
    for name, subscription in variant.of_type("AWS::SNS::Subscription"):
        if "RedrivePolicy" in subscription:
            path = ("Resources", name, "Properties", "RedrivePolicy")
            yield path, subscription["RedrivePolicy"].get("deadLetterTargetArn"), ("sqs",), subscription.get("Endpoint")
    for name, function in variant.of_type("AWS::Lambda::Function"):
        if "DeadLetterConfig" in function:
            path = ("Resources", name, "Properties", "DeadLetterConfig")
            yield path, function["DeadLetterConfig"].get("TargetArn"), ("sqs", "sns"), None
    for name, config in variant.of_type("AWS::Lambda::EventInvokeConfig"):
        for event in ("OnFailure", "OnSuccess"):
            if event in config.get("DestinationConfig", {}):
                path = ("Resources", name, "Properties", "DestinationConfig", event)
                yield path, config["DestinationConfig"][event].get("Destination"), ("sqs", "sns", "lambda", "events", "s3"), None
    for name, mapping in variant.of_type("AWS::Lambda::EventSourceMapping"):
        if "DestinationConfig" in mapping:
            path = ("Resources", name, "Properties", "DestinationConfig")
            arn = mapping["DestinationConfig"].get("OnFailure", {}).get("Destination")
            yield path, arn, ("sqs", "sns", "s3", "kafka"), mapping.get("EventSourceArn")


def _dead_letters(variant):
    for path, arn, kinds, served in _dead_places(variant):
        parts = str(arn).split(":")
        if len(parts) < 6 or parts[0] != "arn":
            yield "dead-letters", path, f"failures go to {arn}, which is no ARN"
            continue
        if parts[2] not in kinds:
            yield "dead-letters", path, f"failures go to {parts[-1]} of {parts[2]}; only {', '.join(kinds)} can take them here"
        if arn == served:
            yield "dead-letters", path, f"what fails in {parts[-1]} goes to {parts[-1]} again"
        name, kind = variant.named(arn)
        if name is None and parts[4] == "123456789012":
            yield "dead-letters", path, f"failures go to {parts[-1]}, which is not in the template"
        if parts[2] == "sqs" and ":sqs:" in str(served):
            if _fifo(variant, arn) != _fifo(variant, served):
                yield "dead-letters", path, "a FIFO queue's dead letters need a FIFO queue, and a standard one's a standard one"
            if path[-1] == "RedrivePolicy" and _retention(variant, arn) < _retention(variant, served):
                yield "dead-letters", path, "dead letters are kept for a shorter time than messages, whose age they keep"
        elif parts[2] == "sqs" and _fifo(variant, arn):
            yield "dead-letters", path, f"{parts[-1]} is a FIFO queue, which cannot take failures here"


def _fifo(variant, arn):
    return bool(_queue(variant, arn).get("FifoQueue"))


def _retention(variant, arn):
    return int(_queue(variant, arn).get("MessageRetentionPeriod", 345600))


def _queue(variant, arn):
    name, kind = variant.named(arn)
    return variant.resources[name].get("Properties", {}) if kind == "AWS::SQS::Queue" else {}


def _without_dead_letters(variant):
    """Whatever is asynchronous and gives up, gives up to a queue."""
    for name, rule in variant.of_type("AWS::Events::Rule"):
        for index, target in enumerate(rule.get("Targets", [])):
            if "DeadLetterConfig" not in target:
                yield "no-dead-letters", ("Resources", name, "Properties", "Targets", index), "events that cannot be delivered get lost"
    for name, schedule in variant.of_type("AWS::Scheduler::Schedule"):
        if "DeadLetterConfig" not in schedule.get("Target", {}):
            yield "no-dead-letters", ("Resources", name, "Properties", "Target"), "what cannot be delivered gets lost"
    for name, subscription in variant.of_type("AWS::SNS::Subscription"):
        if "RedrivePolicy" not in subscription and subscription.get("Protocol") not in ("email", "email-json", "sms"):
            yield "no-dead-letters", ("Resources", name), "notices that cannot be delivered get lost"
    for name, mapping in variant.of_type("AWS::Lambda::EventSourceMapping"):
        source = str(mapping.get("EventSourceArn"))
        if ":sqs:" in source and variant.named(source)[0] and "RedrivePolicy" not in _queue(variant, source):
            yield "no-dead-letters", ("Resources", name), f"messages of {source.split(':')[-1]} that fail come again until they expire"
        if ":kinesis:" in source and "DestinationConfig" not in mapping:
            yield "no-dead-letters", ("Resources", name), "records that fail are dropped without a word"
    yield from _asynchronous(variant)


def _asynchronous(variant):
    """Functions that rules or topics invoke directly."""
    configured = {
        (variant.function_of(config.get("FunctionName")), config.get("Qualifier"))
        for _, config in variant.of_type("AWS::Lambda::EventInvokeConfig")
        if "OnFailure" in config.get("DestinationConfig", {})
    }
    queued = {name for name, function in variant.of_type("AWS::Lambda::Function") if "DeadLetterConfig" in function}
    invoked = [
        (variant.invoked(target.get("Arn")), name)
        for name, rule in variant.of_type("AWS::Events::Rule")
        for target in rule.get("Targets", [])
    ]
    invoked += [(variant.invoked(one.get("Endpoint")), name) for name, one in variant.of_type("AWS::SNS::Subscription")]
    for (function, qualifier), by in invoked:
        if function and (function, qualifier) not in configured and function not in queued:
            message = (
                f"{by} invokes it ({qualifier}) asynchronously, and what it fails at after two more attempts gets lost; "
                "give it an OnFailure destination"
            )
            yield "no-dead-letters", ("Resources", function), message


def _times(variant):
    for name, mapping in variant.of_type("AWS::Lambda::EventSourceMapping"):
        function, source = variant.function_of(mapping.get("FunctionName")), mapping.get("EventSourceArn")
        queue, kind = variant.named(source)
        if not function or kind != "AWS::SQS::Queue":
            continue
        properties = _queue(variant, source)
        timeout = int(variant.resources[function]["Properties"].get("Timeout", 3))
        least = 6 * timeout + int(mapping.get("MaximumBatchingWindowInSeconds", 0))
        visible = int(properties.get("VisibilityTimeout", 30))
        path = ("Resources", queue, "Properties", "VisibilityTimeout")
        if visible < least:
            yield "visibility", path, f"{visible} s are less than six times the timeout of {function} and the time of gathering, {least} s"
        receives = int(properties.get("RedrivePolicy", {}).get("maxReceiveCount", RECEIVES_LEAST))
        if receives < RECEIVES_LEAST:
            path = ("Resources", queue, "Properties", "RedrivePolicy", "maxReceiveCount")
            yield "receives", path, f"{receives} receives are too few: throttling uses them up; at least {RECEIVES_LEAST}"
        told = variant.resources[function]["Properties"].get("Environment", {}).get("Variables", {}).get("RECEIVES_MAX")
        if told is not None and int(told) != receives:
            yield "receives", path, f"{function} is told of {told} receives (RECEIVES_MAX), the queue allows {receives}"
