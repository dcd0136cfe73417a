use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use serde::Serialize;
use stepwell_sandbox::ministack::{CREDENTIAL, REGION};

use super::{Changed, Deployment, deployment::STACK};
use crate::command::CommandError;

/// What a person, or a program, is told of a deployment that is up.
#[derive(Debug, Serialize)]
pub(crate) struct Told<'a> {
    changed: Changed,
    endpoint: String,
    region: &'static str,
    stack: &'static str,
    outputs: &'a BTreeMap<String, String>,
    commands: Commands,
    log: String,
}

/// Commands to try, for a POSIX shell in the folder in which `stepwell up` ran.
#[derive(Debug, Serialize)]
struct Commands {
    upload: String,
    start_execution: String,
    look: [String; 2],
}

impl<'a> Told<'a> {
    /// `aws` and `example` are paths as the person would write them: of the AWS CLI and of a file to upload.
    pub(crate) fn new(
        deployment: &'a Deployment,
        changed: Changed,
        aws: &Path,
        example: &Path,
        log: &Path,
    ) -> Result<Self, CommandError> {
        let (aws, example) = (quoted(&aws.display().to_string()), quoted(&example.display().to_string()));
        let output = |name| deployment.output(name);
        let (landing, lake, machine) = (output("LandingBucket")?, output("LakeBucket")?, output("StateMachineArn")?);
        let key = "flights/flights.csv";
        let input = quoted(&serde_json::json!({"bucket": landing, "key": key}).to_string());
        let machine = quoted(machine);
        let commands = Commands {
            upload: format!("{aws} s3 cp {example} s3://{landing}/{key}"),
            start_execution: format!(
                "{aws} stepfunctions start-execution --state-machine-arn {machine} --input {input}"
            ),
            look: [
                format!(
                    "{aws} stepfunctions list-executions --state-machine-arn {machine} \
                    --query 'executions[].[startDate,status,name]' --output text"
                ),
                format!("{aws} s3 ls --recursive s3://{lake}/flights/"),
            ],
        };
        Ok(Self {
            changed,
            endpoint: deployment.endpoint().0,
            region: REGION,
            stack: STACK,
            outputs: &deployment.outputs,
            commands,
            log: log.display().to_string(),
        })
    }

    /// For people. Lines that are commands, and nothing else, begin with four spaces.
    pub(crate) fn text(&self, stepwell: &str) -> String {
        let what = match self.changed {
            Changed::Created => "is created",
            Changed::Updated => "is brought up to date",
            Changed::Nothing => "was up and is unchanged",
        };
        let mut text = format!("the stack {STACK} {what}, on ministack at {}\n\n", self.endpoint);
        for (name, label) in OUTPUTS {
            if let Some(value) = self.outputs.get(name) {
                let _ = writeln!(text, "{label:<15} {value}");
            }
        }
        let _ = writeln!(text, "{:<15} {}", "log", self.log);
        let Commands { upload, start_execution, look: [executions, table] } = &self.commands;
        let _ = write!(
            text,
            "\nupload a file, and its run starts:\n    {upload}\nstart an execution by hand:\n    {start_execution}\n\
            look at the executions and at the table:\n    {executions}\n    {table}\n\n\
            `{stepwell} up --env` prints the variables with which other programs reach it; `{stepwell} down` removes it\n"
        );
        text
    }

    /// For a shell to evaluate: where the deployment is, and what `stepwell backfill` and `stepwell dlq` ask for.
    pub(crate) fn exports(&self) -> String {
        let mut text = "unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL_S3\n".to_owned();
        let fixed = [
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", CREDENTIAL),
            ("AWS_SECRET_ACCESS_KEY", CREDENTIAL),
        ];
        let outputs = VARIABLES.iter().filter_map(|(name, output)| Some((*name, &**self.outputs.get(*output)?)));
        for (name, value) in fixed.into_iter().chain(outputs) {
            let _ = writeln!(text, "export {name}={}", quoted(value));
        }
        text
    }
}

const OUTPUTS: [(&str, &str); 9] = [
    ("LandingBucket", "landing bucket"),
    ("WorkBucket", "work bucket"),
    ("LakeBucket", "lake bucket"),
    ("StateMachineArn", "state machine"),
    ("TopicArn", "notices"),
    ("JobsUrl", "jobs"),
    ("DataQueueUrl", "data queue"),
    ("EventsQueueUrl", "events queue"),
    ("DeadEventsQueueUrl", "dead letters"),
];

const VARIABLES: [(&str, &str); 6] = [
    ("LANDING_BUCKET", "LandingBucket"),
    ("WORK_BUCKET", "WorkBucket"),
    ("LAKE_BUCKET", "LakeBucket"),
    ("STATE_MACHINE_ARN", "StateMachineArn"),
    ("EVENTS_QUEUE_URL", "EventsQueueUrl"),
    ("DEAD_EVENTS_QUEUE_URL", "DeadEventsQueueUrl"),
];

/// The text as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./:=@%+,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_of_a_shell_as_they_went_in() {
        for text in ["plain/path.csv", "a b", "it's", "", "$HOME `x` \"y\" \\ *", "ü"] {
            let script = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{script}");
        }
    }
}
