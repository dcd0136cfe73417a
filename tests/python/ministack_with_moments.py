"""ministack, but that EventBridge Scheduler fills the scheduled time into what it sends.

ministack fires schedules and sends their input as it is written; AWS puts a moment in place of
`<aws.scheduler.scheduled-time>` (EventBridge Scheduler User Guide, "Using context attributes").
"""

from datetime import datetime, timezone

from ministack.app import main
from ministack.services import eventbridge

ATTRIBUTE = "<aws.scheduler.scheduled-time>"

send = eventbridge._invoke_target


def send_with_moment(target, event, rule, view=None):
    if event.get("Source") == "aws.scheduler" and ATTRIBUTE in target.get("Input", ""):
        moment = datetime.fromtimestamp(event["Time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        target = {**target, "Input": target["Input"].replace(ATTRIBUTE, moment)}
    return send(target, event, rule, view)


if __name__ == "__main__":
    eventbridge._invoke_target = send_with_moment
    main()
