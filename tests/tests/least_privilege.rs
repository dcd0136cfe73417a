//! Every right of every role is needed, and no other is there.

use stepwell_tests::{
    block_on,
    least_privilege::{
        lab::Lab,
        page,
        probes::{Allowed, allows_no_more_than, s3_refuses_the_rest},
        proof::{prove, prove_by_services},
        roles,
        scenario::Scenario,
        scenarios::{extract, load, notify, transform, trigger},
    },
};

const LANDING: &[&str] = &[
    "landing/in/a.csv",
    "landing/queues/data/1.ndjson",
    "landing/streams/orders/shard/1.ndjson",
    "landing/uploads/job/a.csv",
];
const RUNS: &str = "work/runs/p-1/1/report.json";
const STAGED: &str = "work/staged/p-1/1/extract/part";
const TABLES: &[&str] = &[
    "lake/t/day=2024-01-01/a.parquet",
    "lake/t/_stepwell/commits/1.json",
    "lake/t/_stepwell/loading/1/1.json",
    "lake/other",
];
const WRITE_LOGS: (&[&str], &[&str]) =
    (&["logs:PutLogEvents", "logs:CreateLogStream"], &["logs log-group:logs:log-stream:1"]);

const EXTRACT: &Allowed = &[
    WRITE_LOGS,
    (&["s3:GetObject", "s3:GetObjectVersion"], LANDING),
    (&["s3:GetObject"], &["work/batches/p/1.json", "work/pipelines/p.yaml", "lake/t/_stepwell/commits/1.json"]),
    (&["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], &[RUNS, STAGED]),
    (&["s3:DeleteObject"], &[STAGED]),
    (&["s3:ListBucket"], &["landing", "work", "lake"]),
];
const TRANSFORM: &Allowed = &[
    WRITE_LOGS,
    (&["s3:GetObject", "s3:PutObject"], &[RUNS, STAGED]),
    (&["s3:AbortMultipartUpload"], &[STAGED]),
    (&["s3:GetObject"], TABLES),
    (&["s3:GetObject"], &["work/references/days/a.parquet"]),
    (&["s3:ListBucket"], &["work", "lake"]),
];
const LOAD: &Allowed = &[
    WRITE_LOGS,
    (&["s3:GetObject", "s3:PutObject"], &[RUNS]),
    (&["s3:GetObject", "s3:DeleteObject"], &[STAGED]),
    (&["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], TABLES),
    (&["s3:GetObject"], LANDING),
    (&["s3:ListBucket"], &["landing", "work", "lake"]),
];
const NOTIFY: &Allowed = &[
    WRITE_LOGS,
    (&["s3:GetObject"], &[RUNS]),
    (&["s3:GetObject", "s3:PutObject"], &["work/notices/sent/1-0"]),
    (&["s3:ListBucket"], &["work"]),
    (&["sns:Publish"], &["sns notices"]),
];
const TRIGGER: &Allowed = &[
    WRITE_LOGS,
    (&["s3:GetObject"], &["work/pipelines/p.yaml", RUNS]),
    (
        &["s3:GetObject", "s3:PutObject"],
        &[
            "work/arrivals/p.json",
            "work/backfills/b.json",
            "work/batches/p/1.json",
            "work/gathering/p/batches.json",
            "work/gathering/p/waiting/1-1.json",
            "work/jobs/documents/1.json",
            "work/jobs/keys/1.json",
            "work/schedules/p.json",
            "work/slots.json",
            "work/streams/orders/shard.json",
            "work/waiting/1-1.json",
        ],
    ),
    (&["s3:PutObject"], &["work/jobs/open/1-1", "work/queues/data/dead/1"]),
    (&["s3:DeleteObject"], &["work/gathering/p/waiting/1-1.json", "work/jobs/open/1-1", "work/waiting/1-1.json"]),
    (&["s3:GetObject", "s3:GetObjectVersion"], LANDING),
    (
        &["s3:PutObject"],
        &["landing/queues/data/1.ndjson", "landing/streams/orders/shard/1.ndjson", "landing/uploads/job/a.csv"],
    ),
    (&["s3:GetObject"], TABLES),
    (&["s3:ListBucket"], &["landing", "work", "lake"]),
    (&["states:StartExecution"], &["states stateMachine:etl"]),
    (&["states:DescribeExecution"], &["states execution:etl:1"]),
    (&["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], &["sqs events", "sqs data"]),
    (&["sqs:SendMessage"], &["sqs events", "sqs dead-events"]),
];
const TICKS: &Allowed = &[(&["sqs:SendMessage"], &["sqs events", "sqs dead-events"])];
const ETL: &Allowed = &[(
    &["lambda:InvokeFunction"],
    &["lambda function:extract", "lambda function:transform", "lambda function:load", "lambda function:notify"],
)];

fn stage_needs_its_rights(role: &str, function: &str, scenarios: &[Scenario], allowed: &Allowed) {
    let policy = &roles::all()[role].policy;
    block_on(async {
        let lab = Lab::start(function, policy).await;
        let proofs = prove(&lab, role, policy, scenarios).await;
        let refused = (allows_no_more_than(policy, allowed), s3_refuses_the_rest(&lab, policy).await);
        println!("{role}: {} rights, {} scenarios, refused: {refused:?}", proofs.len(), scenarios.len());
        page::hold(role, &proofs);
    });
}

#[test]
fn extract_needs_its_rights() {
    stage_needs_its_rights("ExtractRole", "extract", extract::SCENARIOS, EXTRACT);
}

#[test]
fn transform_needs_its_rights() {
    stage_needs_its_rights("TransformRole", "transform", transform::SCENARIOS, TRANSFORM);
}

#[test]
fn load_needs_its_rights() {
    stage_needs_its_rights("LoadRole", "load", load::SCENARIOS, LOAD);
}

#[test]
fn notify_needs_its_rights() {
    stage_needs_its_rights("NotifyRole", "notify", notify::SCENARIOS, NOTIFY);
}

#[test]
fn trigger_needs_its_rights() {
    stage_needs_its_rights("TriggerRole", "trigger", trigger::SCENARIOS, TRIGGER);
}

#[test]
fn services_need_their_rights() {
    let roles = roles::all();
    for (role, allowed) in [("TicksRole", TICKS), ("EtlRole", ETL)] {
        let policy = &roles[role].policy;
        allows_no_more_than(policy, allowed);
        page::hold(role, &prove_by_services(role, policy));
    }
}

#[test]
fn roles_are_assumed_by_one_service_each() {
    for (name, role) in roles::all() {
        let service = match name.as_str() {
            "TicksRole" => "scheduler.amazonaws.com",
            "EtlRole" => "states.amazonaws.com",
            "DeployRole" => "codedeploy.amazonaws.com",
            _ => "lambda.amazonaws.com",
        };
        let statements = role.trust["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(statements.len(), 1, "{name}");
        assert_eq!(statements[0]["Principal"], serde_json::json!({"Service": service}), "{name}");
        assert_eq!(statements[0]["Action"], "sts:AssumeRole", "{name}");
        let account = &statements[0]["Condition"]["StringEquals"]["aws:SourceAccount"];
        assert_eq!(account == "123456789012", service != "lambda.amazonaws.com", "{name}: {account}");
    }
}
