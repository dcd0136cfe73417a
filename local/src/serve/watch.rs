use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stepwell_pipeline::store::{self, ObjectRef};

use crate::executor::Executor;

/// What programs call files that they have not finished.
const UNFINISHED: [&str; 8] = ["~", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp"];

/// How a file was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    size: u64,
    modified: SystemTime,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    look: Look,
    /// Whether an event told of it as it is.
    is_told: bool,
}

/// The landing folder, looked at now and then: every file system tells of sizes and times, and few of changes.
pub(super) struct Watch {
    folder: PathBuf,
    executor: Arc<Executor>,
    known: BTreeMap<String, Known>,
}

impl Watch {
    pub(super) fn new(folder: PathBuf, executor: Arc<Executor>) -> Self {
        Self { folder, executor, known: BTreeMap::new() }
    }

    /// Looks once. Gives an event for each file that is new or changed, and stands still since the last look.
    ///
    /// # Errors
    /// What the file system says of the folder itself.
    pub(super) async fn look(&mut self) -> io::Result<Vec<Value>> {
        let folder = self.folder.clone();
        let found = tokio::task::spawn_blocking(move || files(&folder)).await.map_err(io::Error::other)??;
        let mut known = BTreeMap::new();
        let mut events = Vec::new();
        for (key, look) in found {
            let earlier = self.known.get(&key).filter(|earlier| earlier.look == look);
            let is_still = earlier.is_some();
            let mut is_told = earlier.is_some_and(|earlier| earlier.is_told);
            if is_still && !is_told {
                match self.event(&key, look).await {
                    Ok(event) => {
                        events.extend(event);
                        is_told = true;
                    }
                    Err(error) => eprintln!("cannot look at {key}: {}", error.report()),
                }
            }
            known.insert(key, Known { look, is_told });
        }
        self.known = known;
        Ok(events)
    }

    /// The event of a file, as EventBridge would bring it; nothing for a file that is gone.
    async fn event(&self, key: &str, look: Look) -> Result<Option<Value>, stepwell_pipeline::StageError> {
        let context = self.executor.context();
        let object = ObjectRef::new(&context.buckets.landing, key);
        let Some(meta) = store::head(&*context.stores, &object).await? else { return Ok(None) };
        let modified: DateTime<Utc> = look.modified.into();
        let nanos = look.modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Some(json!({
            "version": "0",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "time": modified.to_rfc3339(),
            "detail": {
                "version": "0",
                "bucket": { "name": object.bucket },
                "object": {
                    "key": object.key,
                    "size": look.size,
                    "etag": meta.e_tag,
                    // A later time is the newer version.
                    "sequencer": format!("{nanos:020x}"),
                },
                "reason": "PutObject",
            },
        })))
    }
}

/// The files below a folder, by key.
fn files(folder: &Path) -> io::Result<BTreeMap<String, Look>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_finished(name)) else { continue };
            let key = format!("{prefix}{name}");
            // Links to files count as files; links to folders could lead in a circle.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match fs::metadata(entry.path()) {
                Ok(_) if is_folder => folders.push((entry.path(), format!("{key}/"))),
                Ok(meta) if meta.is_file() => {
                    found.insert(key, Look { size: meta.len(), modified: meta.modified()? });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Whether a name is not one of those that editors and downloads give to what they have not finished, nor hidden.
fn is_finished(name: &str) -> bool {
    let is_staged = name.rsplit_once('#').is_some_and(|(_, end)| end.bytes().all(|byte| byte.is_ascii_digit()));
    !(name.starts_with('.') || is_staged || UNFINISHED.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_and_hidden_files_are_left_alone() {
        for name in [".a.csv.swp", "a.csv~", "a.csv.part", "a.csv#17", "#a.csv#", ".hidden", "a.crdownload", "4913.tmp"]
        {
            assert!(!is_finished(name), "{name}");
        }
        for name in ["a.csv", "a#b.csv", "a.csv.gz", "ü 1.csv"] {
            assert!(is_finished(name), "{name}");
        }
    }
}
