"""Faults of what happens between functions: queues, rules, schedules, and loops."""

from faults.seed import arn, fault, properties, statements


@fault("own", "dead-letters")
def dead_letters_to_topic(template):
    """A queue whose dead letters go to a topic."""
    properties(template, "Events")["RedrivePolicy"]["deadLetterTargetArn"] = {"Ref": "Notices"}


@fault("own", "dead-letters")
def dead_letters_to_itself(template):
    """A queue whose dead letters go to it again."""
    properties(template, "DataQueue")["RedrivePolicy"]["deadLetterTargetArn"] = arn("DataQueue")


@fault("own", "dead-letters")
def dead_letters_of_other_order(template):
    """Standard queues with a FIFO queue for their dead letters."""
    properties(template, "DeadEvents")["FifoQueue"] = True


@fault("own", "dead-letters")
def rule_dead_letters_to_function(template):
    """A rule whose dead letters go to a function."""
    properties(template, "Landed")["Targets"][0]["DeadLetterConfig"] = {"Arn": arn("TriggerFunction")}


@fault("own", "dead-letters")
def schedule_dead_letters_to_log(template):
    """A schedule whose dead letters go to a log group."""
    properties(template, "Ticks")["Target"]["DeadLetterConfig"] = {"Arn": arn("Logs")}


@fault("own", "dead-letters")
def dead_letters_expire_first(template):
    """Dead letters that are kept for a shorter time than messages."""
    properties(template, "DeadEvents")["MessageRetentionPeriod"] = 345600


@fault("own", "queue-policy")
def queue_policy_misses_rule(template):
    """A queue whose policy leaves out a rule that sends to it."""
    for one in properties(template, "EventsPolicy")["PolicyDocument"]["Statement"]:
        sources = one.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn", [])
        if arn("Landed") in sources:
            sources.remove(arn("Landed"))


@fault("own", "queue-policy")
def queue_policy_names_stranger(template):
    """A queue whose policy lets something send that does not."""
    for one in properties(template, "EventsPolicy")["PolicyDocument"]["Statement"]:
        sources = one.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn", [])
        if arn("Landed") in sources:
            sources.append(arn("Ticks"))


@fault("own", "queue-policy")
def queue_without_policy(template):
    """A queue that rules send to, without a policy."""
    del template["Resources"]["EventsPolicy"]


@fault("own", "open-policy")
def queue_for_everybody(template):
    """A queue that any account may send to."""
    allowed = properties(template, "EventsPolicy")["PolicyDocument"]["Statement"]
    allowed.append({"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn("Events")})


@fault("own", "visibility")
def visibility_too_short(template):
    """A queue that shows messages again while they are being handled."""
    properties(template, "Events")["VisibilityTimeout"] = 300


@fault("own", "visibility")
def timeout_outgrows_visibility(template):
    """A function given more time, and its queues not."""
    properties(template, "TriggerFunction")["Timeout"] = 600


@fault("own", "receives")
def receives_too_few(template):
    """A queue that gives messages up at the first throttling."""
    properties(template, "DataQueue")["RedrivePolicy"]["maxReceiveCount"] = 1


@fault("own", "receives")
def receives_told_wrong(template):
    """A function told of more receives than its queue allows."""
    properties(template, "TriggerFunction")["Environment"]["Variables"]["RECEIVES_MAX"] = "9"


@fault("own", "no-dead-letters")
def queue_without_dead_letters(template):
    """A queue whose messages fail until they expire."""
    del properties(template, "DataQueue")["RedrivePolicy"]


@fault("own", "no-dead-letters")
def rule_without_dead_letters(template):
    """A rule that drops what it cannot deliver."""
    del properties(template, "Landed")["Targets"][0]["DeadLetterConfig"]


@fault("own", "no-dead-letters")
def subscription_without_dead_letters(template):
    """A subscription that drops what it cannot deliver."""
    template["Resources"]["Relay"] = {
        "Type": "AWS::SNS::Subscription",
        "Properties": {"TopicArn": {"Ref": "Notices"}, "Protocol": "https", "Endpoint": "https://example.com/notices"},
    }


@fault("own", "no-dead-letters")
def function_without_destination(template):
    """A function that a rule invokes, and whose failures nobody keeps."""
    properties(template, "Landed")["Targets"].append(
        {"Id": "load", "Arn": arn("LoadFunction"), "DeadLetterConfig": {"Arn": arn("DeadEvents")}}
    )


@fault("own", "no-dead-letters")
def destination_of_another_alias(template):
    """A rule that goes by no alias, where the destination for failures does."""
    properties(template, "Ended")["Targets"][0]["Arn"] = arn("NotifyFunction")


@fault("own", "no-dead-letters")
def stream_without_destination(template):
    """A stream whose records are dropped when they fail."""
    del properties(template, "StreamRecords")["DestinationConfig"]


@fault("cfn-guard", "mapping_partial")
def whole_batch_again(template):
    """A queue's batch that comes again whole for one message that failed."""
    inline = properties(template, "TriggerFunction").get("Events", {}).values()
    for mapping in [*inline, *template["Resources"].values()]:
        if "ScalingConfig" in mapping.get("Properties", {}):
            mapping["Properties"].pop("FunctionResponseTypes")


@fault("own", "schedule")
def schedule_plural(template):
    """A schedule of `rate(1 minutes)`."""
    properties(template, "Ticks")["ScheduleExpression"] = "rate(1 minutes)"


@fault("own", "schedule")
def schedule_of_crontab(template):
    """A schedule of five fields, as cron itself has them."""
    properties(template, "Ticks")["ScheduleExpression"] = "cron(*/5 * * * *)"


@fault("own", "schedule")
def schedule_with_both_days(template):
    """A schedule that names both a day of the month and one of the week."""
    properties(template, "Ticks")["ScheduleExpression"] = "cron(0 3 1 * MON *)"


@fault("own", "schedule")
def schedule_at_hour_24(template):
    """A schedule at an hour that does not exist."""
    properties(template, "Ticks")["ScheduleExpression"] = "cron(0 24 * * ? *)"


@fault("own", "loop")
def output_into_landing(template):
    """A stage that may write where objects start runs."""
    statements(template, "TransformRole").append(
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": {"Fn::Sub": "${LandingBucket.Arn}/tables/*"}}
    )


@fault("own", "loop")
def trigger_writes_anywhere_in_landing(template):
    """`trigger` may write under any key where objects start runs."""
    statements(template, "TriggerRole").append(
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": {"Fn::Sub": "${LandingBucket.Arn}/*"}}
    )


@fault("own", "loop")
def work_is_landing(template):
    """A function told to work in the bucket that starts runs."""
    variables = properties(template, "TransformFunction").setdefault("Environment", {}).setdefault("Variables", {})
    variables["WORK_BUCKET"] = {"Ref": "LandingBucket"}


@fault("own", "loop")
def rule_listens_to_lake(template):
    """A rule that starts a run for each file of a table."""
    pattern = properties(template, "Landed")["EventPattern"]
    pattern["detail"]["bucket"]["name"].append({"Ref": "LakeBucket"})


@fault("own", "loop")
def rule_listens_to_every_bucket(template):
    """A rule whose pattern names no bucket."""
    del properties(template, "Landed")["EventPattern"]["detail"]
