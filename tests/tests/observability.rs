//! The template's alarms and dashboard against what the code emits and AWS publishes.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Map, Value, json};
use stepwell_pipeline::metrics::Metric;
use stepwell_tests::{python, workspace};

static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let root = workspace::root();
    let (script, template) = (root.join("tests/python/template_json.py"), root.join("infra/template.yaml"));
    let text = python::run("python", &[python::argument(&script), python::argument(&template)]);
    serde_json::from_str(&text).expect("JSON")
});

/// Metrics that AWS publishes, by their dimensions: Step Functions Developer Guide, "Monitoring Step Functions metrics
/// using Amazon CloudWatch"; Lambda Developer Guide, "Types of metrics for Lambda functions"; SQS Developer Guide,
/// "Available CloudWatch metrics for Amazon SQS"; SNS Developer Guide, "Monitoring Amazon SNS topics using CloudWatch".
const PUBLISHED: [(&str, &[&str], &[&str]); 5] = [
    (
        "AWS/States",
        &["StateMachineArn"],
        &["ExecutionsStarted", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionThrottled"],
    ),
    ("AWS/Lambda", &["FunctionName", "Resource", "ExecutedVersion"], &["Errors"]),
    ("AWS/Lambda", &["FunctionName"], &["Errors", "Throttles", "Duration", "Invocations", "AsyncEventsDropped"]),
    ("AWS/SQS", &["QueueName"], &["ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"]),
    ("AWS/SNS", &["TopicName"], &["NumberOfNotificationsFailed"]),
];

/// The dimension sets under which the code emits a metric.
fn emitted(metric: &str) -> Vec<Vec<&'static str>> {
    let Some(metric) = Metric::ALL.into_iter().find(|known| known.name() == metric) else { return Vec::new() };
    match metric {
        Metric::StageSeconds => vec![vec!["stack", "pipeline", "stage"]],
        Metric::NoticesFailed => vec![vec!["stack"]],
        _ => vec![vec!["stack"], vec!["stack", "pipeline"]],
    }
}

fn assert_exists(place: &str, namespace: &str, metric: &str, dimensions: &[&str]) {
    if namespace == "Stepwell" {
        let sets = emitted(metric);
        assert!(sets.iter().any(|set| set == dimensions), "{place}: nothing emits {metric} by {dimensions:?}");
        return;
    }
    let known = PUBLISHED
        .iter()
        .any(|(of, published, metrics)| *of == namespace && dimensions == *published && metrics.contains(&metric));
    assert!(known, "{place}: AWS publishes no {namespace} {metric} by {dimensions:?}");
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn resources_of(kind: &str) -> Vec<(&'static String, &'static Map<String, Value>)> {
    let resources = TEMPLATE["Resources"].as_object().expect("resources");
    let of_kind = resources.iter().filter(|(_, resource)| resource["Type"] == kind);
    of_kind.map(|(name, resource)| (name, resource["Properties"].as_object().expect("properties"))).collect()
}

/// The alarms that call somebody. Those of a gradual deployment call nobody: CodeDeploy looks at them.
fn alarms_for_people() -> Vec<(&'static String, &'static Map<String, Value>)> {
    let alarms = resources_of("AWS::CloudWatch::Alarm").into_iter();
    alarms.filter(|(name, _)| TEMPLATE["Resources"][name.as_str()]["Condition"] != "IsGradual").collect()
}

fn dimension_names(metric: &Value) -> Vec<&str> {
    metric["Dimensions"].as_array().expect("dimensions").iter().map(|dimension| text(dimension, "Name")).collect()
}

#[test]
fn alarms_watch_metrics_that_exist() {
    for (name, alarm) in resources_of("AWS::CloudWatch::Alarm") {
        let alarm = Value::Object(alarm.clone());
        assert_exists(name, text(&alarm, "Namespace"), text(&alarm, "MetricName"), &dimension_names(&alarm));
    }
}

/// The runbook has a section for each, so a new alarm needs a line here and one there.
#[test]
fn each_alarm_names_its_section_of_the_runbook_and_tells_of_both_its_ends() {
    let sections = [
        ("ExecutionFailedAlarm", "execution-failed"),
        ("ExecutionTimedOutAlarm", "execution-failed"),
        ("DeadEventsAlarm", "dead-letters"),
        ("RejectRatioAlarm", "reject-ratio"),
        ("LagAlarm", "lag"),
        ("NoArrivalsAlarm", "no-arrivals"),
        ("ThrottlesAlarm", "throttles"),
        ("ExecutionsThrottledAlarm", "throttles"),
        ("EventsWaitAlarm", "events-wait"),
        ("DataWaitAlarm", "events-wait"),
        ("FunctionErrorsAlarm", "function-errors"),
        ("ExtractErrorsAlarm", "function-errors"),
        ("TransformErrorsAlarm", "function-errors"),
        ("LoadErrorsAlarm", "function-errors"),
        ("NoticesFailedAlarm", "notices-failed"),
        ("NoticesUndeliveredAlarm", "notices-failed"),
        ("NoticesDroppedAlarm", "notices-failed"),
        ("CostOfTheDayAlarm", "cost-of-the-day"),
    ];
    let alarms = alarms_for_people();
    let names: BTreeSet<&str> = alarms.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, sections.iter().map(|(name, _)| *name).collect());
    for (name, alarm) in alarms {
        let (_, section) = sections.iter().find(|(alarm, _)| alarm == name).expect("is listed");
        let description = alarm["AlarmDescription"].as_str().expect("a description");
        assert!(description.ends_with(&format!(" See docs/runbook.md#{section}")), "{name}: {description}");
        assert!(description.len() <= 1024, "{name}");
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm[actions], json!([{"Ref": "Notices"}]), "{name}");
        }
        assert!(alarm.contains_key("TreatMissingData"), "{name}");
    }
}

/// The body with a stand-in for each thing that the template puts in.
fn dashboard() -> Value {
    let (_, dashboard) = resources_of("AWS::CloudWatch::Dashboard").pop().expect("a dashboard");
    let body = dashboard["DashboardBody"]["Fn::Sub"].as_str().expect("a body");
    let mut filled = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("${") {
        let (_, after) = after.split_once('}').expect("each begun substitution ends");
        filled.push_str(before);
        filled.push('7');
        rest = after;
    }
    filled.push_str(rest);
    serde_json::from_str(&filled).expect("the body is JSON")
}

#[test]
fn the_dashboard_shows_every_alarm() {
    let alarms = alarms_for_people();
    let (_, dashboard) = resources_of("AWS::CloudWatch::Dashboard").pop().expect("a dashboard");
    let body = dashboard["DashboardBody"]["Fn::Sub"].as_str().expect("a body");
    for (name, _) in alarms {
        assert!(body.contains(&format!("${{{name}.Arn}}")), "{name}");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let dashboard = dashboard();
    let mut shown = BTreeSet::new();
    for widget in dashboard["widgets"].as_array().expect("widgets") {
        let properties = &widget["properties"];
        for metric in properties["metrics"].as_array().into_iter().flatten() {
            let parts = metric.as_array().expect("a metric is a list");
            let title = text(properties, "title");
            if let [Value::String(namespace), Value::String(name), dimensions @ ..] = &parts[..] {
                let names: Vec<&str> = dimensions.iter().filter_map(Value::as_str).step_by(2).collect();
                assert_exists(title, namespace, name, &names);
                shown.insert(name.clone());
            } else if let Some(expression) = parts[0]["expression"].as_str().filter(|text| text.contains("SEARCH")) {
                let (_, schema) = expression.split_once('{').expect("a search has a schema");
                let (schema, query) = schema.split_once('}').expect("a search has a schema");
                let (_, name) = query.split_once("MetricName=\"").expect("a search names its metric");
                let name = name.split('"').next().unwrap_or_default();
                let names: Vec<&str> = schema.split(',').collect();
                assert_exists(title, names[0], name, &names[1..]);
                shown.insert(name.to_owned());
            }
        }
    }
    let unseen: Vec<&str> = Metric::ALL.into_iter().map(Metric::name).filter(|name| !shown.contains(*name)).collect();
    assert!(unseen.is_empty(), "emitted and not shown: {unseen:?}");
}

#[test]
fn widgets_are_beside_each_other() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for widget in dashboard["widgets"].as_array().expect("widgets") {
        let number = |field: &str| widget[field].as_u64().expect("a number");
        for x in number("x")..number("x") + number("width") {
            for y in number("y")..number("y") + number("height") {
                assert!(x < 24 && taken.insert((x, y)), "{widget}");
            }
        }
    }
}

#[test]
fn everything_is_traced_and_no_execution_logs_its_data() {
    let function = &TEMPLATE["Globals"]["Function"];
    assert_eq!(function["Tracing"], "Active");
    assert_eq!(function["Environment"]["Variables"]["STACK_NAME"], json!({"Ref": "AWS::StackName"}));
    let machine = &TEMPLATE["Resources"]["Etl"]["Properties"];
    assert_eq!(machine["Tracing"], json!({"Enabled": true}));
    assert_eq!(
        (&machine["Logging"]["Level"], &machine["Logging"]["IncludeExecutionData"]),
        (&json!("ALL"), &json!(false))
    );
}
