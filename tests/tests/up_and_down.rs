//! `stepwell up` and `stepwell down`, as a person uses them: what is printed is what is typed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "what a check cannot ask for fails the test, and the message says why"
)]

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use stepwell_tests::{block_on, python, until, workspace};

/// Of the 5,613 flights of the example those that departed.
const FLIGHTS: usize = 5_474;
const PATIENCE: Duration = Duration::from_secs(120);

/// A person in the clone, with temporary files and a deployment's directory of their own, and AWS configured otherwise.
struct Person {
    directory: PathBuf,
    temporary: PathBuf,
}

struct Ended {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Person {
    fn new(suite: &str) -> Self {
        let folder = workspace::scratch(suite);
        // Paths of real machines have spaces.
        let (directory, temporary) = (folder.join("a deployment"), folder.join("tmp"));
        fs::create_dir(&temporary).expect("a scratch folder can be made");
        Self { directory, temporary }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(workspace::root())
            .env("TMPDIR", &self.temporary)
            .env("PIP_CACHE_DIR", workspace::target().join("stepwell-tests/pip"))
            .envs([("AWS_PROFILE", "production"), ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")]);
        command
    }

    fn stepwell(&self, command: &str, more: &[&str]) -> Command {
        let mut stepwell = self.command(&workspace::binary("stepwell"));
        stepwell.args([command, "--dir"]).arg(&self.directory).args(more);
        stepwell
    }

    fn up(&self, binaries: &Path, more: &[&str]) -> Ended {
        let mut up = self.stepwell("up", more);
        up.arg("--binaries").arg(binaries);
        ended(&mut up)
    }

    fn down(&self, more: &[&str]) -> Ended {
        ended(&mut self.stepwell("down", more))
    }

    fn type_in(&self, line: &str) -> String {
        let typed = ended(self.command(Path::new("/bin/sh")).args(["-c", line]));
        assert_eq!(typed.code, Some(0), "{line}: {}", typed.errors);
        typed.out
    }

    /// The processes that run from the directory, as Linux tells them.
    fn processes(&self) -> Vec<String> {
        let directory = self.directory.to_str().expect("the workspace's path is UTF-8");
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = entries.filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(directory).then(|| format!("{} {line}", entry.file_name().display()))
        });
        lines.collect()
    }

    fn assert_nothing_is_left(&self) {
        assert!(!self.directory.exists(), "{} is left", self.directory.display());
        let left: Vec<_> = fs::read_dir(&self.temporary).expect("the folder can be read").collect();
        assert!(left.is_empty(), "temporary files are left: {left:?}");
        block_on(until("all processes to end", PATIENCE, async || self.processes().is_empty().then_some(())));
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
}

fn succeeded(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended.out
}

fn document(ended: Ended) -> Value {
    serde_json::from_str(&succeeded(ended)).expect("one JSON document")
}

/// The lines of the text that are commands: upload, start an execution, look at executions, look at the table.
fn commands(text: &str) -> [String; 4] {
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    lines.try_into().unwrap_or_else(|lines| panic!("other commands than expected: {lines:?}"))
}

/// The binaries of this build, but for one byte behind the end of one.
fn other_binaries(folder: &Path) -> PathBuf {
    let other = folder.join("other binaries");
    fs::create_dir(&other).expect("a scratch folder can be made");
    for name in stepwell_sandbox::stack::FUNCTIONS {
        fs::copy(workspace::binary(name), other.join(name)).expect("a binary can be copied");
    }
    let path = other.join("trigger");
    let mut bytes = fs::read(&path).expect("a binary can be read");
    bytes.push(0);
    fs::write(&path, bytes).expect("a binary can be written");
    other
}

#[test]
fn what_up_prints_works_and_down_leaves_nothing() {
    let person = Person::new("up-and-down");
    let binaries = workspace::binaries();
    assert_eq!(succeeded(person.down(&[])), format!("nothing is up in {}\n", person.directory.display()));

    let text = succeeded(person.up(&binaries, &[]));
    let [upload, start, executions, table] = commands(&text);
    let successes = async |number: usize| {
        until("the executions", PATIENCE, async || {
            let listed = person.type_in(&executions);
            assert!(!listed.contains("FAILED"), "{listed}");
            (listed.matches("SUCCEEDED").count() == number).then_some(())
        })
        .await;
    };
    person.type_in(&upload);
    block_on(successes(1));
    let listed = person.type_in(&table);
    assert_eq!(listed.matches(".parquet").count(), 12, "{listed}");
    person.type_in(&start);
    block_on(successes(2));
    assert_eq!(person.type_in(&table), listed, "the second execution finds everything done");
    let copy = person.directory.with_file_name("table");
    let lake = table.split_whitespace().find(|word| word.starts_with("s3://")).expect("the table has a place");
    let aws = upload.split(" s3 cp ").next().expect("the AWS CLI");
    person.type_in(&format!("{aws} s3 cp --quiet --recursive {lake} '{}'", copy.display()));
    let script = workspace::root().join("tests/python/count_records.py");
    let counted = python::run("python", &[python::argument(&script), "flight", python::argument(&copy)]);
    assert_eq!(counted.split_whitespace().next(), Some(&*FLIGHTS.to_string()));

    // Again: nothing to do; and what programs are told is what people are told.
    let told = document(person.up(&binaries, &["--json"]));
    assert_eq!(told["changed"], "nothing");
    assert_eq!(told["commands"]["upload"], *upload);
    let exports = succeeded(person.up(&binaries, &["--env"]));
    let machine = person.type_in(&format!("{exports}\nprintf '%s' \"$STATE_MACHINE_ARN ${{AWS_PROFILE-none}}\""));
    assert_eq!(machine, format!("{} none", told["outputs"]["StateMachineArn"].as_str().expect("an ARN")));

    // Other code is deployed, and what is there stays.
    let other = other_binaries(person.directory.parent().expect("a folder"));
    let updated = document(person.up(&other, &["--json"]));
    assert_eq!((&updated["changed"], &updated["outputs"]), (&Value::from("updated"), &told["outputs"]));
    person.type_in(&format!("{}-again.csv", upload.strip_suffix(".csv").expect("the key of a CSV file")));
    block_on(successes(3));

    // One at a time, and no other port.
    let lock = File::open(person.directory.join("up/lock")).expect("the lock is there");
    lock.lock().expect("nobody holds it");
    for refused in [person.up(&binaries, &[]), person.down(&[])] {
        assert_eq!(refused.code, Some(2));
        assert!(refused.errors.contains("is at work there"), "{}", refused.errors);
    }
    drop(lock);
    let refused = person.up(&binaries, &["--port", "1"]);
    assert!(refused.code == Some(2) && refused.errors.contains("stepwell down"), "{}", refused.errors);

    succeeded(person.down(&[]));
    let address = told["endpoint"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address");
    assert!(TcpStream::connect(address).is_err(), "something still listens at {address}");
    person.assert_nothing_is_left();
}

#[test]
fn what_was_killed_is_cleared_away() {
    let person = Person::new("up-killed");
    let binaries = workspace::binaries();
    let first = document(person.up(&binaries, &["--json"]));
    let kill = |process: &str| {
        let id = process.split(' ').next().expect("an id");
        assert!(Command::new("kill").args(["-KILL", id]).status().expect("kill starts").success());
    };
    let running = |program: &str| {
        let begins = |line: &String| line.split_once(' ').is_some_and(|(_, line)| line.starts_with(program));
        person.processes().into_iter().find(begins)
    };
    let python = person.directory.join("up/venv/bin/python");
    let ministack = running(python::argument(&python)).expect("ministack runs");

    // ministack takes its functions along; up starts over.
    kill(&ministack);
    block_on(until("all processes to end", PATIENCE, async || person.processes().is_empty().then_some(())));
    let again = person.up(&binaries, &["--json"]);
    assert!(again.errors.contains("starting over"), "{}", again.errors);
    let again = document(again);
    assert_eq!(again["changed"], "created");
    assert_ne!(again["outputs"], first["outputs"]);

    // Without its keeper it goes on, and down still finds it.
    kill(&running("/bin/sh").expect("the keeper runs"));
    assert_eq!(document(person.up(&binaries, &["--json"]))["changed"], "nothing");
    let kept = succeeded(person.down(&["--keep-environment"]));
    assert!(kept.contains("is kept"), "{kept}");
    block_on(until("all processes to end", PATIENCE, async || person.processes().is_empty().then_some(())));
    let mut left: Vec<_> = fs::read_dir(person.directory.join("up")).expect("a folder").flatten().collect();
    left.sort_by_key(fs::DirEntry::file_name);
    let left: Vec<_> = left.iter().map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(left, ["lock", "venv"]);

    // up itself is killed while it deploys.
    let mut up = person.stepwell("up", &["--binaries"]);
    let mut up = up.arg(&binaries).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("up starts");
    let group = person.directory.join("up/group");
    block_on(until("ministack to start", PATIENCE, async || group.exists().then_some(())));
    up.kill().expect("up can be killed");
    up.wait().expect("up ends");
    assert!(!person.directory.join("up/deployment.json").exists(), "up was killed too late");
    succeeded(person.down(&[]));
    person.assert_nothing_is_left();
}

#[test]
fn what_up_needs_is_named() {
    let person = Person::new("up-needs");
    let missing = person.up(&person.temporary, &[]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.errors.contains("has no extract, transform, load, notify, trigger"), "{}", missing.errors);

    let mut up = person.stepwell("up", &["--binaries"]);
    let elsewhere = ended(up.arg(workspace::binaries()).current_dir("/"));
    assert_eq!(elsewhere.code, Some(2));
    assert!(elsewhere.errors.contains("in no clone of Stepwell"), "{}", elsewhere.errors);

    let mut up = person.stepwell("up", &["--binaries"]);
    succeeded(person.down(&[]));
    let no_python = ended(up.arg(workspace::binaries()).env("PYTHON", "no-such-python"));
    assert_eq!(no_python.code, Some(1));
    assert!(no_python.errors.contains("cannot start no-such-python"), "{}", no_python.errors);
    assert!(no_python.errors.contains("apt install python3-venv"), "{}", no_python.errors);

    // A folder that up did not make is nobody's to empty.
    succeeded(person.down(&[]));
    let foreign = person.directory.join("up/mine.txt");
    fs::create_dir_all(foreign.parent().expect("a folder")).expect("a folder can be made");
    fs::write(&foreign, "mine").expect("a file can be written");
    for refused in [person.up(&workspace::binaries(), &[]), person.down(&[])] {
        assert_eq!(refused.code, Some(2));
        assert!(refused.errors.contains("did not make it"), "{}", refused.errors);
    }
    assert_eq!(fs::read_to_string(&foreign).expect("it is there"), "mine");
}
