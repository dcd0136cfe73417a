//! The commands in the documents, run as they stand there.
//!
//! A reader pastes `sh` blocks into a shell, from top to bottom; so does [`Session`]. Blocks of other
//! kinds (`text`, `console`) show things, and are not run.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{python, workspace};

/// A block of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The document, from the workspace's root.
    pub document: String,
    /// The heading that it is under.
    pub heading: String,
    /// The line that its first command is on.
    pub line: usize,
    /// The commands.
    pub commands: String,
}

/// The documents that people read: those at the root, and everything under `docs/`.
pub fn documents() -> Vec<String> {
    let root = workspace::root();
    let mut found = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of documents can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let within = path.strip_prefix(&root).expect("it is within the workspace");
                found.push(python::argument(within).to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The blocks of commands of a document.
pub fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(workspace::root().join(document)).expect("a document can be read");
    let mut found = Vec::new();
    let mut fence: Option<(bool, usize, String)> = None;
    let mut heading = String::new();
    for (index, line) in text.lines().enumerate() {
        match (&mut fence, line.strip_prefix("```")) {
            (None, Some(kind)) => fence = Some((kind == "sh", index + 2, String::new())),
            (Some((is_commands, line, commands)), Some("")) => {
                if *is_commands {
                    let (line, commands) = (*line, std::mem::take(commands));
                    found.push(Block { document: document.to_owned(), heading: heading.clone(), line, commands });
                }
                fence = None;
            }
            (Some((_, _, commands)), _) => {
                commands.push_str(line);
                commands.push('\n');
            }
            (None, None) => {
                if line.starts_with('#') {
                    heading = line.trim_start_matches('#').trim().to_owned();
                }
            }
        }
    }
    assert!(fence.is_none(), "{document}: a block has no end");
    found
}

/// A shell of somebody who has the AWS CLI and `stepwell`, in a folder of their own.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    placeholders: Vec<(String, String)>,
    prelude: String,
}

impl Session {
    /// A shell in that folder, with the variables of an engine.
    pub fn new(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { folder: folder.to_owned(), variables, placeholders: Vec::new(), prelude: String::new() }
    }

    /// What readers put for a placeholder such as `<run>`.
    #[must_use]
    pub fn put(mut self, placeholder: &str, value: &str) -> Self {
        self.placeholders.push((placeholder.to_owned(), value.to_owned()));
        self
    }

    /// Commands that are run before those of the documents.
    #[must_use]
    pub fn begin(mut self, commands: &str) -> Self {
        self.prelude.push_str(commands);
        self.prelude.push('\n');
        self
    }

    /// Runs blocks in one shell, until a command fails. Returns what they print; panics with the place of the command
    /// that fails.
    pub fn run(&self, blocks: &[Block]) -> String {
        let mut script = self.prelude.clone();
        for block in blocks {
            let Block { document, line, commands, .. } = block;
            let commands =
                self.placeholders.iter().fold(commands.clone(), |text, (name, value)| text.replace(name, value));
            script.push_str(&format!("at='{document}:{line}'; echo \"== $at\"\n{commands}"));
        }
        let path = format!("{}:{}", python::argument(&python::folder()), python::argument(&workspace::binaries()));
        let system = std::env::var("PATH").unwrap_or_default();
        // A failure counts wherever in a line it is, but for a reader who has seen enough, as `head` has.
        let options = "set -eEuo pipefail; trap 's=$?; [ $s = 141 ] || echo \"failed after $at\" >&2' ERR\n";
        let output = Command::new("bash")
            .args(["-c", &format!("{options}{script}")])
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs([("PATH", format!("{path}:{system}")), ("HOME", python::argument(&self.folder).to_owned())])
            .envs([("AWS_PAGER", ""), ("LANG", "C.UTF-8")])
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the commands ended with {}:\n{shown}\n{errors}", output.status);
        shown
    }
}

/// The headings of a document as GitHub makes anchors of them.
pub fn anchors(document: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(workspace::root().join(document)).expect("a document can be read");
    let mut is_block = false;
    let headings = text.lines().filter(|line| {
        is_block ^= line.starts_with("```");
        !is_block && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Where a document's links lead within the repository: a path from its root, and an anchor where there is one.
pub fn links(document: &str) -> Vec<(String, Option<String>)> {
    let text = fs::read_to_string(workspace::root().join(document)).expect("a document can be read");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once([')', ' ']).map(|(target, _)| target));
    let within = targets.filter(|target| !target.contains(':'));
    within.map(|target| resolved(document, target)).collect()
}

fn resolved(document: &str, target: &str) -> (String, Option<String>) {
    let (path, anchor) =
        target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return (document.to_owned(), anchor);
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (parts.join("/"), anchor)
}
