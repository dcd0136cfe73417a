//! Every command in the documents is run, or has a reason here why not.
#![allow(clippy::expect_used, reason = "what a check cannot ask for fails the test, and the message says why")]

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::Value;
use stepwell_tests::{
    api::REGION,
    block_on,
    deploy::on_ministack,
    deployment::Deployment,
    documents::{Block, Session, blocks, documents},
    until, workspace,
};

/// How long things may take that are a matter of seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(240);

const RUNBOOK: &str = "docs/runbook.md";

/// Pages whose commands are run on a deployment, each in the state that the one before left.
const PAGES: [&str; 2] = ["docs/ways-in/dead-letters.md", "docs/ways-in/backfill.md"];

/// Blocks that begin so are not run here, for this reason.
const NOT_RUN: [(&str, &str); 6] = [
    ("cargo test ", "is what runs this"),
    ("cargo run --release -p stepwell-faults", "takes half an hour; a share of it is in faults/tests"),
    ("bench/run", "takes an hour on an idle machine"),
    ("sam build", "needs the SAM CLI and an account; the template is deployed to ministack by every other test"),
    ("java -jar StepFunctionsLocal.jar", "needs an engine that cannot be installed from a registry"),
    ("stepwell serve", "does not end; local/tests/serve.rs runs it"),
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
        let session = Session::new(&workspace::scratch("documents-reader"), &variables)
            // The AWS CLI 1 does not look at the variable where it comes to SQS.
            .begin("aws() { command aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; }")
            .put("s3://landing/", &format!("s3://{}/", deployment.landing));
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
        for (key, _) in deployment.list(&deployment.lake, "lake/flights/_stepwell/commits/").await {
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
            let commands: Vec<Block> = [&reader.runbook[..1], &blocks(page)].concat();
            println!("{}", reader.session.run(&commands));
        }
    });
}

#[test]
fn every_command_in_the_documents_is_run_or_has_a_reason_why_not() {
    let elsewhere = ["README.md"];
    for document in documents() {
        if document == RUNBOOK || PAGES.contains(&document.as_str()) || elsewhere.contains(&document.as_str()) {
            continue;
        }
        for block in blocks(&document) {
            assert!(!is_run(&block), "{document}:{}: no test runs these commands:\n{}", block.line, block.commands);
        }
    }
}
