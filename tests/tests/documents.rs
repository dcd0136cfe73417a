//! Every command in the documents is run, or has a reason here why not.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::Value;
use stepwell_statemachine::ETL;
use stepwell_tests::{
    api::REGION,
    block_on,
    deploy::on_ministack,
    deployment::Deployment,
    documents::{Block, Session, anchors, blocks, documents, links},
    until, workspace,
};

/// How long things may take that are a matter of seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(240);

const RUNBOOK: &str = "docs/runbook.md";

/// Pages whose commands are run on this machine, each in the state that the one before left.
const LOCAL_PAGES: [&str; 4] = ["README.md", "docs/replay.md", "docs/lineage.md", "docs/state-machine-lint.md"];

/// Pages whose commands are run on a deployment, each in the state that the one before left.
const PAGES: [&str; 3] = ["docs/ways-in/dead-letters.md", "docs/ways-in/backfill.md", "docs/deploy.md"];

/// Blocks that begin so are not run here, for this reason.
const NOT_RUN: [(&str, &str); 12] = [
    ("cargo test ", "is what runs this"),
    ("cargo run --release -p stepwell-faults", "takes half an hour; a share of it is in faults/tests"),
    ("cargo install --locked cargo-mutants", "takes most of a day"),
    ("bench/", "takes an hour on an idle machine"),
    ("sam ", "needs the SAM CLI and an account; the template is deployed to ministack by every other test"),
    ("aws lambda update-alias", "needs a version before; versions are made by gradual deployments alone"),
    ("java -jar StepFunctionsLocal.jar", "needs an engine that cannot be installed from a registry"),
    ("stepwell serve", "does not end; local/tests/serve.rs runs it"),
    ("cargo run --release --bin stepwell -- up", "is run by up_and_down.rs, and so is what it prints"),
    ("target/venv-infra/", "is run by lint.rs"),
    ("python3 infra/package.py", "builds everything anew; supply_chain.rs runs it on what is built"),
    ("git checkout", "changes the checkout"),
];

fn is_run(block: &Block) -> bool {
    !NOT_RUN.iter().any(|(beginning, _)| block.commands.starts_with(beginning))
}

/// Somebody who reads the runbook, where things went wrong.
struct Reader {
    deployment: Deployment,
    session: Session,
    runbook: Vec<Block>,
}

impl Reader {
    async fn new() -> Self {
        let deployment = on_ministack("documents").await;
        let variables = [
            ("AWS_ENDPOINT_URL", deployment.endpoint.0.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("NO_PROXY", "*"),
        ];
        let folder = workspace::scratch("documents-reader");
        let session = Session::new(&folder, &variables)
            // The AWS CLI 1 does not look at the variable where it comes to SQS.
            .begin("aws() { command aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; }")
            .put("s3://landing/", &format!("s3://{}/", deployment.landing))
            .put("<landing bucket>", &deployment.landing)
            .put("<work bucket>", &deployment.work)
            .put("<state machine>", &deployment.state_machine);
        let example = folder.join("examples/flights");
        fs::create_dir_all(&example).expect("a folder can be made");
        for name in ["pipeline.yaml", "flights.csv"] {
            fs::write(example.join(name), self::example(name)).expect("a file can be written");
        }
        Self { deployment, session, runbook: blocks(RUNBOOK) }
    }

    /// Runs what the runbook has under a heading, behind what it begins with. Returns what is printed.
    fn follows(&self, heading: &str) -> String {
        let section = self.runbook[1..].iter().filter(|block| block.heading == heading && is_run(block));
        let commands: Vec<Block> = self.runbook[..1].iter().chain(section).cloned().collect();
        assert!(commands.len() > 1, "the runbook has no commands under {heading}");
        self.session.run(&commands)
    }

    async fn upload(&self, name: &str, mistyped: usize) {
        self.deployment.put(&self.deployment.landing, &format!("flights/{name}.csv"), flights(mistyped)).await;
    }

    async fn push(&self, spec: &str) {
        self.deployment.put(&self.deployment.work, "pipelines/flights.yaml", spec.into()).await;
    }

    /// Waits until so many executions have ended.
    async fn ended(&self, count: usize) {
        let what = format!("{count} executions");
        let found = until(&what, PATIENCE, async || {
            let executions = self.deployment.executions("").await;
            (executions.len() >= count).then_some(executions)
        });
        for arn in found.await {
            self.deployment.finished(&arn, PATIENCE).await;
        }
    }

    /// The digests of the specs that the table's files come from, and how many records they have.
    async fn committed(&self) -> (BTreeSet<String>, u64) {
        let (deployment, s3) = (&self.deployment, self.deployment.endpoint.s3());
        let (mut digests, mut records) = (BTreeSet::new(), 0);
        for (key, _) in deployment.list(&deployment.lake, "flights/_stepwell/commits/").await {
            let object = s3.get_object().bucket(&deployment.lake).key(key).send().await.expect("a commit document");
            let bytes = object.body.collect().await.expect("its bytes").into_bytes();
            let commit: Value = serde_json::from_slice(&bytes).expect("JSON");
            digests.insert(commit["run"]["spec_digest"].as_str().expect("a digest").to_owned());
            let files = commit["files"].as_array().expect("files");
            records += files.iter().filter_map(|file| file["records"].as_u64()).sum::<u64>();
        }
        (digests, records)
    }
}

fn example(name: &str) -> String {
    let path = workspace::root().join("examples/flights").join(name);
    fs::read_to_string(path).expect("the example can be read")
}

/// The example's file, in whose first records somebody typed the letter O for a nought.
fn flights(mistyped: usize) -> Vec<u8> {
    example("flights.csv").replacen("\n2013,", "\n2O13,", mistyped).into_bytes()
}

#[test]
fn the_runbook_mends_what_went_wrong() {
    block_on(async {
        let reader = Reader::new().await;
        let spec = example("pipeline.yaml");
        reader.push(&spec).await;
        reader.upload("good", 0).await;
        reader.upload("some-mistyped", 20).await;
        reader.upload("all-mistyped", 5_000).await;
        reader.deployment.put(&reader.deployment.landing, "strays/note.txt", b"nobody wants me".to_vec()).await;
        reader.ended(3).await;

        let shown = reader.follows("Execution failed");
        assert!(shown.contains("TooManyRejects") && shown.contains("report.html"), "{shown}");
        reader.ended(4).await;

        let shown = reader.follows("Dead letters");
        assert!(shown.contains("NoPipeline") && shown.contains("\n1 sent"), "{shown}");

        let shown = reader.follows("Reject ratio");
        assert!(shown.contains(r#""value":"2O13""#), "{shown}");

        for heading in ["Lag", "No arrivals", "Throttles", "Events wait", "Function errors", "Cost of the day"] {
            println!("{}", reader.follows(heading));
        }
        let shown = reader.follows("Notices failed");
        assert!(shown.contains("-inbox"), "the test's own subscription: {shown}");

        let (_, before) = reader.committed().await;
        let executions = reader.deployment.executions("").await.len();
        reader.follows("Bad records");
        reader.ended(executions + 1).await;
        let (digests, records) = reader.committed().await;
        assert_eq!(digests.len(), 1);
        assert!(records > before, "the mended records were added: {before}, then {records}");

        reader.push(&spec.replace("dep_time IS NOT NULL", "dep_time < 0")).await;
        reader.upload("good", 1).await;
        reader.ended(executions + 2).await;
        assert_eq!(reader.committed().await.0.len(), 2, "the bad spec has loaded something");
        reader.follows("Roll back a bad spec");
        until("everything to be loaded under the good spec", PATIENCE, async || {
            (reader.committed().await.0 == digests).then_some(())
        })
        .await;

        let shown = reader.follows("Pause everything");
        assert!(shown.contains("Disabled") && shown.contains("Enabled"), "{shown}");
        println!("{}", reader.follows("A file that should never have been loaded"));
        for page in PAGES {
            let page = blocks(page).into_iter().filter(is_run);
            let commands: Vec<Block> = reader.runbook[..1].iter().cloned().chain(page).collect();
            println!("{}", reader.session.run(&commands));
        }
        let readme = blocks("README.md").into_iter().filter(|block| is_run(block) && needs_deployment(block));
        println!("{}", reader.session.run(&readme.collect::<Vec<_>>()));
    });
}

/// Whether commands are for a deployment, in a page that has commands for this machine too.
fn needs_deployment(block: &Block) -> bool {
    block.commands.contains("aws ")
}

/// The id of the latest run.
fn latest_run(folder: &Path) -> String {
    let runs = fs::read_dir(folder.join(".stepwell/work/runs")).expect("there are runs");
    let runs = runs.map(|run| run.expect("a run").path());
    let latest = runs.max_by_key(|run| run.metadata().and_then(|data| data.modified()).expect("a time"));
    let name = latest.as_deref().and_then(Path::file_name).expect("there is one");
    name.to_string_lossy().into_owned()
}

#[test]
fn the_commands_for_this_machine_work() {
    let folder = workspace::scratch("documents-local");
    fs::create_dir_all(folder.join("examples/flights")).expect("a folder can be made");
    for name in ["pipeline.yaml", "flights.csv"] {
        fs::write(folder.join("examples/flights").join(name), example(name)).expect("a file can be written");
    }
    fs::write(folder.join("orders.csv"), "id;ordered\n1;2026-01-31\n2;2026-02-01\n").expect("a file can be written");
    fs::create_dir(folder.join("statemachine")).expect("a folder can be made");
    for name in ["statemachine/etl.asl.json", "my-machine.asl.json"] {
        fs::write(folder.join(name), ETL).expect("a definition can be written");
    }
    let session = || {
        Session::new(&folder, &[("PII_HASH_KEY", "a key")])
            // What cargo has built is run as it is.
            .begin("cargo() { [ \"$1 $2 $3 $4 $5\" = 'run --release --bin stepwell --' ] && stepwell \"${@:6}\"; }")
    };
    let local = |page| blocks(page).into_iter().filter(|block| is_run(block) && !needs_deployment(block));

    let before_replay = local("README.md").take_while(|block| !block.commands.contains("<run>"));
    let shown = session().run(&before_replay.collect::<Vec<_>>());
    assert!(shown.contains("loaded          5,474 records") && shown.contains("pipeline `orders`"), "{shown}");
    let run = latest_run(&folder);

    // Too many rejects, until the spec bears them.
    let spec = example("pipeline.yaml");
    fs::write(folder.join("worse.csv"), flights(5_000)).expect("a file can be written");
    session().begin("stepwell run examples/flights/pipeline.yaml worse.csv || true").run(&[]);
    let failed = latest_run(&folder);
    let mended = spec.replace("tolerate: \"1%\"", "tolerate: \"100%\"");
    fs::write(folder.join(".stepwell/work/pipelines/flights.yaml"), mended).expect("a spec can be pushed");
    for page in LOCAL_PAGES {
        let is_done = |block: &Block| page == "README.md" && !block.commands.contains("<run>");
        let left = local(page).skip_while(is_done);
        let session = session().put("<run>", &run).put("<failed run>", &failed);
        println!("{}", session.run(&left.collect::<Vec<_>>()));
    }
}

#[test]
fn every_command_in_the_documents_is_run_or_has_a_reason_why_not() {
    let run: Vec<&str> = [&LOCAL_PAGES[..], &PAGES, &[RUNBOOK]].concat();
    for document in documents().iter().filter(|document| !run.contains(&document.as_str())) {
        for block in blocks(document) {
            assert!(!is_run(&block), "{document}:{}: no test runs these commands:\n{}", block.line, block.commands);
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut astray = Vec::new();
    for document in documents() {
        for (path, anchor) in links(&document) {
            let is_there = workspace::root().join(&path).exists()
                && anchor.as_ref().is_none_or(|anchor| !path.ends_with(".md") || anchors(&path).contains(anchor));
            if !is_there {
                astray.push(format!("{document} links to {path}#{}", anchor.unwrap_or_default()));
            }
        }
    }
    assert!(astray.is_empty(), "{astray:#?}");
}

/// Whoever is called by an alarm finds the section that it names.
#[test]
fn the_runbook_has_a_section_for_every_alarm() {
    let template = fs::read_to_string(workspace::root().join("infra/template.yaml")).expect("the template can be read");
    let named: Vec<&str> = template.split("docs/runbook.md#").skip(1).collect();
    assert!(named.len() > 10, "the template names few sections of the runbook");
    let sections = anchors(RUNBOOK);
    for rest in named {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
        assert!(sections.contains(&rest[..end]), "the runbook has no section {}", &rest[..end]);
    }
}
