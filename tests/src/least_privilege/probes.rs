//! What stands beside a role's rights: every operation on every kind of object, queue, topic and state machine, asked for
//! with the role's credentials. What is not expected must be refused.

use std::collections::BTreeSet;

use super::{
    lab::{Judge, Lab, OTHER_BUCKET},
    policy::{Ask, Policy},
    roles::arn,
};

/// A key of each kind that there is, by bucket.
const KEYS: [(&str, &[&str]); 4] = [
    ("landing", &["in/a.csv", "queues/data/1.ndjson", "streams/orders/shard/1.ndjson", "uploads/job/a.csv"]),
    (
        "work",
        &[
            "arrivals/p.json",
            "backfills/b.json",
            "batches/p/1.json",
            "gathering/p/batches.json",
            "gathering/p/waiting/1-1.json",
            "jobs/documents/1.json",
            "jobs/keys/1.json",
            "jobs/open/1-1",
            "notices/other",
            "notices/sent/1-0",
            "other/x",
            "pipelines/p.yaml",
            "queues/data/dead/1",
            "references/days/a.parquet",
            "runs/p-1/1/report.json",
            "schedules/p.json",
            "slots.json",
            "staged/p-1/1/extract/part",
            "streams/orders/shard.json",
            "waiting/1-1.json",
        ],
    ),
    ("lake", &["t/day=2024-01-01/a.parquet", "t/_stepwell/commits/1.json", "t/_stepwell/loading/1/1.json", "other"]),
    (OTHER_BUCKET, &["x"]),
];

const OPERATIONS: [&str; 5] =
    ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];

/// Everything that is asked for.
fn asks() -> Vec<Ask> {
    let mut asks = Vec::new();
    for (bucket, keys) in KEYS {
        asks.push(Ask::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}")));
        for key in keys {
            asks.extend(OPERATIONS.map(|action| Ask::new(action, format!("arn:aws:s3:::{bucket}/{key}"))));
        }
    }
    for topic in ["notices", "other"] {
        asks.push(Ask::new("sns:Publish", arn("sns", topic)));
    }
    for queue in ["events", "dead-events", "data", "other"] {
        for action in ["SendMessage", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "PurgeQueue"] {
            asks.push(Ask::new(&format!("sqs:{action}"), arn("sqs", queue)));
        }
    }
    for machine in ["etl", "other"] {
        asks.push(Ask::new("states:StartExecution", arn("states", &format!("stateMachine:{machine}"))));
        asks.push(Ask::new("states:ListExecutions", arn("states", &format!("stateMachine:{machine}"))));
        for action in ["DescribeExecution", "StopExecution", "RedriveExecution"] {
            asks.push(Ask::new(&format!("states:{action}"), arn("states", &format!("execution:{machine}:1"))));
        }
    }
    for function in ["extract", "transform", "load", "notify", "trigger", "other"] {
        asks.push(Ask::new("lambda:InvokeFunction", arn("lambda", &format!("function:{function}"))));
    }
    for action in ["iam:PassRole", "sts:AssumeRole"] {
        asks.push(Ask::new(action, "arn:aws:iam::123456789012:role/other"));
    }
    for action in ["logs:PutLogEvents", "logs:CreateLogStream", "logs:DeleteLogStream"] {
        for group in ["logs", "other"] {
            asks.push(Ask::new(action, arn("logs", &format!("log-group:{group}:log-stream:1"))));
        }
    }
    for action in ["s3:PutBucketPolicy", "s3:DeleteBucket", "s3:PutLifecycleConfiguration", "s3:ListBucketVersions"] {
        asks.extend(KEYS.map(|(bucket, _)| Ask::new(action, format!("arn:aws:s3:::{bucket}"))));
    }
    for action in ["s3:DeleteObjectVersion", "s3:PutObjectRetention", "s3:BypassGovernanceRetention", "s3:PutObjectAcl"]
    {
        asks.push(Ask::new(action, "arn:aws:s3:::landing/in/a.csv"));
    }
    asks
}

/// Actions and what on, as in `s3:GetObject` and `work/runs/p-1/1/report.json`, or `sns:Publish` and `sns notices`.
pub type Allowed = [(&'static [&'static str], &'static [&'static str])];

/// Checks what a policy allows of all that is asked for against what is expected. Panics where they differ; gives how much
/// is refused.
pub fn allows_no_more_than(policy: &Policy, expected: &Allowed) -> usize {
    let asks = asks();
    let line = |ask: &Ask| {
        let resource = ask.resource.strip_prefix("arn:aws:s3:::").unwrap_or(&ask.resource);
        format!("{} {}", ask.action, resource.replace(":us-east-1:123456789012:", " ").replace("arn:aws:", ""))
    };
    let allowed: BTreeSet<String> = asks.iter().filter(|ask| policy.allows(ask)).map(line).collect();
    let on = |(actions, resources): &(&[&str], &[&str])| {
        let lines = |action: &&str| resources.iter().map(|on| format!("{action} {on}")).collect::<Vec<_>>();
        actions.iter().flat_map(lines).collect::<Vec<_>>()
    };
    let expected: BTreeSet<String> = expected.iter().flat_map(on).collect();
    let more: Vec<_> = allowed.difference(&expected).collect();
    let less: Vec<_> = expected.difference(&allowed).collect();
    assert!(more.is_empty() && less.is_empty(), "allowed and not expected: {more:#?}\nexpected and not: {less:#?}");
    asks.len() - allowed.len()
}

/// Asks S3 for everything in the role's name, where moto judges and where the gate does; panics where one lets through
/// what the policy does not allow, or refuses what it does. Gives how much was refused.
pub async fn s3_refuses_the_rest(lab: &Lab, policy: &Policy) -> usize {
    let s3 = lab.s3_of_role();
    let mut refused = 0;
    for judge in [Judge::Moto, Judge::Gate] {
        lab.rule(judge, policy).await;
        for (bucket, keys) in KEYS {
            let listed = lab.ruled(s3.list_objects_v2().bucket(bucket).send()).await.map(drop).map_err(status);
            let ask = Ask::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}"));
            refused += usize::from(is_as_judged(judge, policy, &ask, listed));
            for key in keys {
                let version = lab.put(bucket, key, "x").await;
                for action in OPERATIONS {
                    let ask = Ask::new(action, format!("arn:aws:s3:::{bucket}/{key}"));
                    let answer = match (action, &version) {
                        ("s3:GetObject", _) => {
                            lab.ruled(s3.get_object().bucket(bucket).key(*key).send()).await.map(drop).map_err(status)
                        }
                        ("s3:GetObjectVersion", Some(version)) => {
                            let get = s3.get_object().bucket(bucket).key(*key).version_id(version);
                            lab.ruled(get.send()).await.map(drop).map_err(status)
                        }
                        ("s3:PutObject", _) => {
                            lab.ruled(s3.put_object().bucket(bucket).key(*key).send()).await.map(drop).map_err(status)
                        }
                        ("s3:DeleteObject", _) => {
                            let delete = s3.delete_object().bucket(bucket).key(*key);
                            lab.ruled(delete.send()).await.map(drop).map_err(status)
                        }
                        ("s3:AbortMultipartUpload", _) => {
                            let begun =
                                lab.endpoint.s3().create_multipart_upload().bucket(bucket).key(*key).send().await;
                            let upload = begun.expect("an upload can be begun").upload_id;
                            let abort = s3.abort_multipart_upload().bucket(bucket).key(*key).set_upload_id(upload);
                            lab.ruled(abort.send()).await.map(drop).map_err(status)
                        }
                        _ => continue,
                    };
                    refused += usize::from(is_as_judged(judge, policy, &ask, answer));
                }
            }
        }
    }
    refused
}

fn status<E>(error: aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn is_as_judged(judge: Judge, policy: &Policy, ask: &Ask, answer: Result<(), Option<u16>>) -> bool {
    let is_refused = answer == Err(Some(403));
    assert_eq!(is_refused, !policy.allows(ask), "{ask}, judged by {judge:?}: {answer:?}");
    is_refused
}
