//! The rights that AWS services use on a role's behalf. No binary of ours asks for them, so what proves them is what AWS
//! documents.

use super::policy::{Ask, Grant, Policy};

/// What a service asks for in a role's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The roles.
    pub roles: &'static [&'static str],
    /// The actions.
    pub actions: &'static [&'static str],
    /// What on, in the lab.
    pub resources: &'static [&'static str],
    /// The page of AWS's documentation that says so.
    pub page: &'static str,
}

const FUNCTION_ROLES: &[&str] = &["ExtractRole", "TransformRole", "LoadRole", "NotifyRole", "TriggerRole"];

const USES: &[Use] = &[
    Use {
        roles: FUNCTION_ROLES,
        actions: &["logs:CreateLogStream", "logs:PutLogEvents"],
        resources: &["arn:aws:logs:us-east-1:123456789012:log-group:logs:log-stream:2026/01/01/[$LATEST]0"],
        page: "Lambda Developer Guide, \"Sending Lambda function logs to CloudWatch Logs\"",
    },
    Use {
        roles: FUNCTION_ROLES,
        actions: &["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
        resources: &["*"],
        page: "Lambda Developer Guide, \"Visualize Lambda function invocations using AWS X-Ray\"",
    },
    Use {
        roles: &["TriggerRole"],
        actions: &["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        resources: &["arn:aws:sqs:us-east-1:123456789012:events", "arn:aws:sqs:us-east-1:123456789012:data"],
        page: "Lambda Developer Guide, \"Creating and configuring an Amazon SQS event source mapping\"",
    },
    Use {
        roles: &["TriggerRole"],
        actions: &[
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
        ],
        resources: &["arn:aws:kinesis:us-east-1:123456789012:stream/orders"],
        page: "Lambda Developer Guide, \"Process Amazon Kinesis Data Streams records with Lambda\"",
    },
    Use {
        roles: &["TriggerRole"],
        actions: &["kinesis:ListStreams"],
        resources: &["*"],
        page: "Lambda Developer Guide, \"Process Amazon Kinesis Data Streams records with Lambda\"",
    },
    Use {
        roles: &["TicksRole"],
        actions: &["sqs:SendMessage"],
        resources: &["arn:aws:sqs:us-east-1:123456789012:events", "arn:aws:sqs:us-east-1:123456789012:dead-events"],
        page: "EventBridge Scheduler User Guide, \"Using templated targets\" and \"Configuring a dead-letter queue\"",
    },
    Use {
        roles: &["EtlRole"],
        actions: &["lambda:InvokeFunction"],
        resources: &[
            "arn:aws:lambda:us-east-1:123456789012:function:extract",
            "arn:aws:lambda:us-east-1:123456789012:function:transform",
            "arn:aws:lambda:us-east-1:123456789012:function:load",
            "arn:aws:lambda:us-east-1:123456789012:function:notify",
        ],
        page: "Step Functions Developer Guide, \"Invoke an AWS Lambda function with Step Functions\"",
    },
    Use {
        roles: &["EtlRole"],
        actions: &[
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ],
        resources: &["*"],
        page: "Step Functions Developer Guide, \"Using CloudWatch Logs to log execution history\"",
    },
    Use {
        roles: &["EtlRole"],
        actions: &[
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ],
        resources: &["*"],
        page: "Step Functions Developer Guide, \"Trace Step Functions request data in AWS X-Ray\"",
    },
];

/// What a service needs a role's right for, if it does.
pub fn needs(role: &str, policy: &Policy, grant: &Grant) -> Option<Use> {
    let found = USES.iter().filter(|known| known.roles.contains(&role)).find(|known| {
        // Without the right the service is refused something.
        let less = policy.without(grant);
        asks(known).iter().any(|ask| policy.allows(ask) && !less.allows(ask))
    });
    found.copied()
}

/// What services ask for in a role's name and the policy does not allow. Rights that hang on a parameter are there in the
/// lab.
pub fn refused(role: &str, policy: &Policy) -> Vec<Ask> {
    let known = USES.iter().filter(|known| known.roles.contains(&role));
    known.flat_map(asks).filter(|ask| !policy.allows(ask)).collect()
}

fn asks(known: &Use) -> Vec<Ask> {
    let on = |action: &&str| known.resources.iter().map(|resource| Ask::new(action, *resource)).collect::<Vec<_>>();
    known.actions.iter().flat_map(on).collect()
}
