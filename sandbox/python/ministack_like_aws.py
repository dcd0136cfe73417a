"""ministack, but like AWS in four things that Stepwell counts on.

EventBridge Scheduler puts a moment in place of `<aws.scheduler.scheduled-time>` (EventBridge Scheduler User Guide, "Using
context attributes"); ministack sends a schedule's input as it is written.

StartExecution gives the running execution that has the same name and input (Step Functions API Reference,
"StartExecution"); ministack says that it exists already, which on AWS means that it has ended.

GetObject of a version gives the range that is asked for (Amazon S3 API Reference, "GetObject"); ministack gives the
whole object.

S3's events on EventBridge name the version of the object, in versioned buckets (S3 User Guide, "EventBridge event message
structure"); ministack's do not.
"""

import json
from datetime import datetime, timezone

from ministack.app import main
from ministack.services import eventbridge, s3, stepfunctions

ATTRIBUTE = "<aws.scheduler.scheduled-time>"

send = eventbridge._invoke_target
start = stepfunctions._start_execution
get_object = s3._get_object
fire = s3._fire_s3_event

# By bucket, key and sequencer.
versions = {}


def send_with_moment(target, event, rule, view=None):
    if event.get("Source") == "aws.scheduler" and ATTRIBUTE in target.get("Input", ""):
        moment = datetime.fromtimestamp(event["Time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        target = {**target, "Input": target["Input"].replace(ATTRIBUTE, moment)}
    if event.get("Source") == "aws.s3":
        detail = json.loads(event["Detail"])
        told = detail["object"]
        version = versions.get((detail["bucket"]["name"], told["key"], told.get("sequencer")))
        if version:
            told["version-id"] = version
            event, view = {**event, "Detail": json.dumps(detail)}, None
    return send(target, event, rule, view)


def fire_with_version(bucket, key, *arguments, version_id=None, sequencer=None, **more):
    if version_id:
        versions[(bucket, key, sequencer)] = version_id
    return fire(bucket, key, *arguments, version_id=version_id, sequencer=sequencer, **more)


def start_once(data):
    machine = str(data.get("stateMachineArn", ""))
    arn = machine.replace(":stateMachine:", ":execution:", 1) + f":{data.get('name')}"
    known = stepfunctions._executions.get(arn)
    if known and known["status"] == "RUNNING" and known["input"] == data.get("input", "{}"):
        body = {"executionArn": arn, "startDate": known["startDate"]}
        return stepfunctions.json_response(body)
    return start(data)


def get_range(bucket, key, headers, query=None):
    status, answered, body = get_object(bucket, key, headers, query)
    wanted = headers.get("range")
    if not wanted or "versionId" not in (query or {}):
        return status, answered, body
    if status == 206:
        raise RuntimeError("ministack serves ranges of versions now: mend them no more")
    found = s3._parse_range(wanted, len(body)) if status == 200 else None
    if not found:
        return status, answered, body
    first, last = found
    # A checksum of the whole object does not hold for a part of it, and S3 sends none.
    answered = {name: value for name, value in answered.items() if not name.lower().startswith("x-amz-checksum-")}
    answered["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    answered["Content-Length"] = str(last + 1 - first)
    return 206, answered, body[first : last + 1]


if __name__ == "__main__":
    eventbridge._invoke_target = send_with_moment
    stepfunctions._start_execution = start_once
    s3._get_object = get_range
    s3._fire_s3_event = fire_with_version
    main()
