//! Lineage of whole runs on this machine: which events there are, what they say, and that each of them fits the published
//! schemas of OpenLineage.
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use stepwell_tests::{python, workspace};

const ORDERS: &str = r#"
pipeline: orders
source: { match: "in/*.csv" }
schema:
  - { name: id, type: int64, required: true, unique: true }
  - { name: kind, type: string, enum: [a, b] }
  - { name: amount, type: "decimal(12,2)", min: 0, check: "amount < 1000" }
  - { name: mail, type: string, pii: hash, pattern: "[^@]+@[^@]+" }
  - { name: age, type: int32, pii: redact, min: 18 }
  - { name: secret, type: string, pii: drop }
rejects: { tolerate: "80%" }
transform:
  sql: SELECT id, kind, amount * 2 AS twice, mail, age FROM input WHERE kind IS NOT NULL
load: { target: parquet, path: lake/orders/, partition_by: [kind], sort_by: [id] }
"#;

/// Accepted: the first and the last. The others break one condition each.
const CSV: &str = "id,kind,amount,mail,age,secret\n1,a,10.50,p7771@x.org,7771,7772\n1,a,1,p7773@x.org,31,s\n\
                   ,a,1,p7774@x.org,31,s\n3,c,1,p7775@x.org,31,s\n4,a,-1,p7776@x.org,31,s\n5,a,5000,p7777@x.org,31,s\n\
                   6,a,1,p7778,31,s\n7,a,1,p7779@x.org,3,s\n8,a,x,p7770@x.org,31,s\n9,b,30,p7780@x.org,7781,7782\n";

/// A deployment in a folder, and the folder of its events.
struct Deployment {
    folder: PathBuf,
}

impl Deployment {
    fn new(name: &str) -> Self {
        Self { folder: workspace::scratch(name) }
    }

    fn events_folder(&self) -> PathBuf {
        self.folder.join("events")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(workspace::binary("stepwell"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("PII_HASH_KEY", "a key of the test")
            .env("OPENLINEAGE_URL", format!("file://{}", self.events_folder().display()))
            .env("OPENLINEAGE_NAMESPACE", "tests");
        command
    }

    fn stepwell(&self, arguments: &[&str]) -> Value {
        let ended = self.command(arguments).args(["--json", "--dir", "data"]).output().expect("stepwell starts");
        let (printed, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        let document: Value = serde_json::from_str(printed.trim()).unwrap_or_else(|_| panic!("{printed}\n{errors}"));
        document["runs"][0].clone()
    }

    /// Runs a spec on a file of that name and content. Gives the run and its events by type.
    fn run(&self, spec: &str, file: &str, content: &str) -> (Value, Events) {
        fs::write(self.folder.join("pipeline.yaml"), spec).expect("a spec");
        fs::write(self.folder.join(file), content).expect("a file");
        self.events_of(|| self.stepwell(&["run", "pipeline.yaml", file]))
    }

    /// What something gives, and the events of the one execution that it tells of.
    fn events_of(&self, work: impl FnOnce() -> Value) -> (Value, Events) {
        let before = self.events();
        let run = work();
        let all = self.events();
        let changed: Vec<&String> = all.keys().filter(|id| before.get(*id) != all.get(*id)).collect();
        let [id] = changed[..] else { panic!("events of {changed:?}: {run:#}") };
        (run, all[id].clone())
    }

    /// All events, by run and type.
    fn events(&self) -> BTreeMap<String, Events> {
        let mut events: BTreeMap<String, Events> = BTreeMap::new();
        for file in files(&self.events_folder()) {
            let event: Value = serde_json::from_slice(&fs::read(&file).expect("an event")).expect("JSON");
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            assert!(name.starts_with(event["eventType"].as_str().expect("a type")), "{name}");
            events.entry(event["run"]["runId"].as_str().expect("an id").to_owned()).or_default().insert(name, event);
        }
        events
    }

    /// Holds all events against the published schemas. Gives what the check says.
    fn check(&self) -> String {
        let script = workspace::root().join("tests/python/openlineage_check.py");
        python::run("python", &[python::argument(&script), python::argument(&self.events_folder())]).trim().to_owned()
    }
}

type Events = BTreeMap<String, Value>;

fn types(events: &Events) -> Vec<&str> {
    events.keys().map(String::as_str).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// `orders.csv s3://landing/in/orders.csv`: what a dataset is called.
fn names(datasets: &Value) -> Vec<String> {
    let datasets = datasets.as_array().expect("datasets").iter();
    datasets.map(|dataset| format!("{}/{}", text(&dataset["namespace"]), text(&dataset["name"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Each column, and where it comes from.
fn lineage(output: &Value) -> BTreeMap<String, Vec<String>> {
    let fields = output["facets"]["columnLineage"]["fields"].as_object().expect("a column lineage");
    let inputs = |value: &Value| {
        let inputs = value["inputFields"].as_array().expect("inputs").iter();
        let input = |input: &Value| {
            let effects = input["transformations"].as_array().expect("effects").iter();
            let effect = |effect: &Value| {
                let masking = if effect["masking"] == true { "*" } else { "" };
                format!("{} {}{masking}", text(&effect["type"]), text(&effect["subtype"]))
            };
            let effects: Vec<String> = effects.map(effect).collect();
            format!(
                "{}/{}#{} {}",
                text(&input["namespace"]),
                text(&input["name"]),
                text(&input["field"]),
                effects.join("+")
            )
        };
        inputs.map(input).collect()
    };
    fields.iter().map(|(name, value)| (name.clone(), inputs(value))).collect()
}

#[test]
fn events_of_whole_runs_fit_the_published_schemas() {
    let deployment = Deployment::new("lineage");

    let (run, events) = deployment.run(ORDERS, "one.csv", CSV);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(types(&events), ["COMPLETE", "START"]);
    tells_of_the_run(&events, &run);
    tells_of_quality(&events["COMPLETE"]["inputs"][0]);
    tells_of_columns(&events["COMPLETE"]["outputs"][0]);
    tells_no_personal_data(&deployment.events_folder());

    // The same key again with other bytes: its files replace the earlier.
    let (replacing, events) = deployment.run(ORDERS, "one.csv", &CSV.replace("9,b,30", "9,b,31"));
    let output = &events["COMPLETE"]["outputs"][0];
    assert_eq!(output["facets"]["lifecycleStateChange"]["lifecycleStateChange"], "OVERWRITE");
    // Another execution of the same run changes nothing, and says the same of it.
    let (run, events) = deployment.events_of(|| deployment.stepwell(&["replay", text(&replacing["run"])]));
    assert_eq!(run["commit"], "already_committed", "{run:#}");
    assert_eq!(types(&events), ["COMPLETE", "START"]);
    let output = &events["COMPLETE"]["outputs"][0];
    assert_eq!(output["facets"].get("lifecycleStateChange"), None);
    assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 2);

    // A failure of each stage.
    let strict = ORDERS.replace("80%", "0%");
    let (_, events) = deployment.run(&strict, "strict.csv", CSV);
    assert_eq!(types(&events), ["FAIL", "OTHER", "START"]);
    failed(&events["FAIL"], "TooManyRejects: 8 of 10 records rejected");
    let assertions = &events["OTHER"]["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"];
    assert_eq!((&assertions[0]["assertion"], &assertions[0]["success"]), (&"rejects_tolerated".into(), &false.into()));
    let wrong_sql = ORDERS.replace("amount * 2 AS twice", "CAST(kind AS INTEGER) AS twice");
    let (_, events) = deployment.run(&wrong_sql, "transform.csv", CSV);
    assert_eq!(types(&events), ["FAIL", "START"]);
    failed(&events["FAIL"], "TransformFailed: ");
    assert_eq!(names(&events["FAIL"]["outputs"]), ["s3://lake/orders"]);
    let blocked = ORDERS.replace("lake/orders/", "lake/blocked/").replace("pipeline: orders", "pipeline: blocked");
    fs::write(deployment.folder.join("data/lake/blocked"), "a file where a folder should be").expect("a file");
    let (run, events) = deployment.run(&blocked, "blocked.csv", CSV);
    assert_eq!((types(&events), &run["stage"]), (vec!["FAIL", "START"], &"Load".into()), "{run:#}");

    // Redriven, the same execution succeeds.
    fs::remove_file(deployment.folder.join("data/lake/blocked")).expect("the file goes");
    let (redriven, events) = deployment.events_of(|| deployment.stepwell(&["replay", text(&run["run"]), "--redrive"]));
    assert_eq!(redriven["status"], "succeeded", "{redriven:#}");
    assert_eq!(types(&events), ["COMPLETE", "FAIL", "START"]);

    // A table of one pipeline is a reference of another, and called the same.
    let kinds = "pipeline: kinds\nsource: { match: \"kinds/*.csv\" }\nschema:\n  - { name: kind, type: string }\n  \
                 - { name: label, type: string }\nload: { target: parquet, path: lake/kinds/ }\n";
    let (_, of_kinds) = deployment.run(kinds, "kinds.csv", "kind,label\na,first\nb,second\n");
    let joined = ORDERS
        .replace("pipeline: orders", "pipeline: labels")
        .replace("lake/orders/, partition_by: [kind], sort_by: [id]", "lake/labels/, dedupe: { key: [label], keep: first }")
        .replace(
            "sql: SELECT id, kind, amount * 2 AS twice, mail, age FROM input WHERE kind IS NOT NULL",
            "sql: SELECT k.label, sum(i.amount) AS total, count(i.mail) AS people FROM input i JOIN kinds k ON i.kind = k.kind \
             GROUP BY k.label\n  references: [{ name: kinds, path: lake/kinds/ }]",
        );
    let (run, events) = deployment.run(&joined, "joined.csv", CSV);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let event = &events["COMPLETE"];
    assert_eq!(names(&event["inputs"]), ["s3://landing/in/joined.csv", "s3://lake/kinds"]);
    assert_eq!(names(&of_kinds["COMPLETE"]["outputs"]), ["s3://lake/kinds"]);
    let columns = lineage(&event["outputs"][0]);
    assert_eq!(columns["label"], ["s3://lake/kinds#label DIRECT IDENTITY"]);
    assert_eq!(columns["people"], ["s3://landing/in/joined.csv#mail DIRECT AGGREGATION*"]);
    let whole = &event["outputs"][0]["facets"]["columnLineage"]["dataset"];
    assert_eq!(whole.as_array().expect("a dataset").len(), 3, "{whole:#}");

    // A batch is one input with everything known of it, and its members beside it.
    let others = CSV.replace("1,a,", "11,a,").replace("9,b,", "19,b,");
    let gathered = ORDERS
        .replace("pipeline: orders", "pipeline: gathered")
        .replace("\"in/*.csv\"", "\"gathered/*.csv\", batch: { max_files: 2 }")
        .replace("lake/orders/", "lake/gathered/");
    for (name, content) in [
        ("pipelines/gathered.yaml", gathered.as_str()),
        ("more/landing/gathered/1.csv", CSV),
        ("more/landing/gathered/2.csv", others.as_str()),
    ] {
        let path = deployment.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    let (_, events) = deployment.events_of(|| {
        let served = deployment.command(&["serve", "--once", "--dir", "more", "--pipelines", "pipelines"]).output();
        let served = served.expect("stepwell starts");
        String::from_utf8_lossy(&served.stdout).into_owned().into()
    });
    let event = &events["COMPLETE"];
    let inputs = names(&event["inputs"]);
    assert!(inputs[0].starts_with("s3://work/batches/gathered/"), "{inputs:?}");
    assert_eq!(inputs[1..], ["s3://landing/gathered/1.csv", "s3://landing/gathered/2.csv"]);
    assert_eq!(event["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"], 20);
    assert_eq!(event["inputs"][0]["inputFacets"]["inputStatistics"]["fileCount"], 2);
    let expected = format!("{}#id DIRECT IDENTITY", inputs[0]);
    assert_eq!(lineage(&event["outputs"][0])["id"], [expected]);

    let checked = deployment.check();
    let (events, facets) = checked.split_once(" events, ").expect("counts");
    assert_eq!(events.parse::<usize>().expect("a number"), files(&deployment.events_folder()).len());
    assert!(facets.trim_end_matches(" facets").parse::<usize>().expect("a number") > 200, "{checked}");
    println!("{checked}");
    tells_no_personal_data(&deployment.events_folder());
}

#[test]
fn the_check_sees_what_does_not_fit() {
    let deployment = Deployment::new("lineage-faults");
    let (_, events) = deployment.run(ORDERS, "one.csv", CSV);
    let whole = &events["COMPLETE"];
    let script = workspace::root().join("tests/python/openlineage_check.py");
    let input = "/outputs/0/facets/columnLineage/fields/id/inputFields/0";
    let metrics = "/inputs/0/inputFacets/dataQualityMetrics";
    let faults: [(&str, &str, Option<Value>, &str); 14] = [
        ("", "eventTime", None, "eventTime is missing"),
        ("", "eventTime", Some("yesterday".into()), "event.eventTime: "),
        ("", "eventType", Some("DONE".into()), "'DONE' is no EventType"),
        ("", "producer", None, "producer is missing"),
        (
            "",
            "schemaURL",
            Some("https://openlineage.io/spec/9-9-9/OpenLineage.json".into()),
            "9-9-9/OpenLineage.json is not",
        ),
        ("/run", "runId", Some("7".into()), "event.run.runId: "),
        ("/job", "jobName", Some("x".into()), "Job has no field jobName"),
        (metrics, "rowCount", Some("2".into()), "'2' is no <class 'int'>"),
        (metrics, "columnMetrics", None, "columnMetrics is missing"),
        (metrics, "_schemaURL", Some("https://openlineage.io/spec/facets/9-9-9/X.json".into()), "nobody publishes"),
        (
            "/inputs/0/facets",
            "dataQualityMetrics",
            Some(whole.pointer(metrics).expect("a facet").clone()),
            "does not stand here",
        ),
        (input, "field", None, "field is missing"),
        (&format!("{input}/transformations/0"), "masking", Some("no".into()), "'no' is no <class 'bool'>"),
        (&format!("{input}/transformations/0"), "subtype", Some("COPY".into()), "'COPY' is none of"),
    ];
    for (index, (pointer, field, value, complaint)) in faults.into_iter().enumerate() {
        let mut event = whole.clone();
        let object = event.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
        match value {
            Some(value) => _ = object.insert(field.to_owned(), value),
            None => _ = object.remove(field),
        }
        let folder = deployment.folder.join(format!("fault-{index}"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("COMPLETE.json"), event.to_string()).expect("a file");
        let checked = Command::new(python::program("python")).args([&script, &folder]).output().expect("python starts");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(!checked.status.success() && said.contains(complaint), "{pointer} {field}: {said}");
    }
}

fn tells_of_the_run(events: &Events, run: &Value) {
    for event in events.values() {
        assert_eq!((&event["job"]["namespace"], &event["job"]["name"]), (&"tests".into(), &"orders".into()));
        assert_eq!(names(&event["inputs"]), ["s3://landing/in/one.csv"]);
        assert_eq!(names(&event["outputs"]), ["s3://lake/orders"]);
        let tags = event["run"]["facets"]["tags"]["tags"].as_array().expect("tags");
        assert!(tags.iter().any(|tag| tag["key"] == "stepwell_run_id" && tag["value"] == run["run"]), "{tags:?}");
        let columns = event["inputs"][0]["facets"]["schema"]["fields"].as_array().expect("columns").iter();
        let columns: Vec<String> =
            columns.map(|field| format!("{} {}", text(&field["name"]), text(&field["type"]))).collect();
        let declared = ["id int64", "kind string", "amount decimal(12,2)", "mail string", "age int32", "secret string"];
        assert_eq!(columns, declared);
    }
    assert!(text(&events["START"]["eventTime"]) <= text(&events["COMPLETE"]["eventTime"]));
}

fn tells_of_quality(input: &Value) {
    let facets = &input["inputFacets"];
    assert_eq!(facets["inputStatistics"]["rowCount"], 10);
    assert_eq!(facets["dataQualityMetrics"]["rowCount"], 2);
    let metrics = facets["dataQualityMetrics"]["columnMetrics"].as_object().expect("columns");
    let of = |name: &str| (&metrics[name]["nullCount"], &metrics[name]["distinctCount"], metrics[name].get("min"));
    assert_eq!(of("id"), (&0.into(), &2.into(), Some(&1.0.into())));
    assert_eq!(metrics["amount"]["max"], 30.0);
    assert_eq!(of("kind"), (&0.into(), &2.into(), None));
    assert_eq!(of("age"), (&0.into(), &1.into(), None));
    let assertions = facets["dataQualityAssertions"]["assertions"].as_array().expect("assertions");
    let broken = assertions.iter().filter(|assertion| assertion["success"] == false).map(|assertion| {
        format!("{} {} {}", text(&assertion["column"]), text(&assertion["assertion"]), text(&assertion["actual"]))
    });
    let mut broken: Vec<String> = broken.collect();
    broken.sort();
    let expected = [
        "age in_range 1",
        "amount custom_sql 1",
        "amount in_range 1",
        "amount valid_type 1",
        "id not_null 1",
        "id unique 1",
        "kind accepted_values 1",
        "mail matches_pattern 1",
    ];
    assert_eq!(broken, expected);
    assert_eq!((&assertions[0]["success"], &assertions[0]["actual"]), (&true.into(), &"8 of 10 records".into()));
}

fn tells_of_columns(output: &Value) {
    assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 2);
    assert_eq!(output["outputFacets"]["outputStatistics"]["fileCount"], 2);
    let schema = output["facets"]["schema"]["fields"].as_array().expect("columns").iter();
    let schema: Vec<&str> = schema.map(|field| text(&field["name"])).collect();
    assert_eq!(schema, ["id", "kind", "twice", "mail", "age"]);
    let columns = lineage(output);
    let of = |field: &str, effect: &str| vec![format!("s3://landing/in/one.csv#{field} {effect}")];
    assert_eq!(columns["id"], of("id", "DIRECT IDENTITY"));
    assert_eq!(columns["twice"], of("amount", "DIRECT TRANSFORMATION"));
    assert_eq!(columns["mail"], of("mail", "DIRECT TRANSFORMATION*"));
    assert_eq!(columns["age"], of("age", "DIRECT TRANSFORMATION*"));
}

fn failed(event: &Value, message: &str) {
    let told = text(&event["run"]["facets"]["errorMessage"]["message"]);
    assert!(told.starts_with(message), "{told}");
}

/// Every value of a personal column has a 777 or 778, which nothing else has.
fn tells_no_personal_data(folder: &Path) {
    for file in files(folder) {
        let mut event: Value = serde_json::from_slice(&fs::read(&file).expect("an event")).expect("JSON");
        // Ids, versions, digests and sizes may well have such digits.
        for (pointer, names) in [("/run", &["runId"][..]), ("/run/facets", &["tags", "externalQuery"])] {
            let fields = event.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object");
            names.iter().for_each(|name| _ = fields.remove(*name));
        }
        for input in event["inputs"].as_array_mut().expect("inputs") {
            let _ = input["facets"].as_object_mut().expect("facets").remove("version");
        }
        for output in event["outputs"].as_array_mut().expect("outputs") {
            let _ = output.as_object_mut().expect("an output").remove("outputFacets");
        }
        event["eventTime"] = Value::Null;
        let said = event.to_string();
        assert!(!said.contains("777") && !said.contains("778"), "{}: {event:#}", file.display());
    }
}
