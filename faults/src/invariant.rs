//! What must hold at every moment, for readers who look while a run commits.

use std::{collections::BTreeMap, sync::Arc};

use stepwell_pipeline::{manifest::CommitManifest, store::ObjectRef};

use crate::{state::State, world::LAKE};

/// Says what is wrong: a commit document that names a file that is not there. `seen` keeps what documents name.
pub(crate) fn broken(state: &State, seen: &mut BTreeMap<String, Arc<Vec<String>>>) -> Option<String> {
    for (key, object) in state.objects(LAKE, "") {
        if !key.contains("/_stepwell/commits/") {
            continue;
        }
        let files = match seen.get(&object.etag) {
            Some(files) => files.clone(),
            None => {
                let document: CommitManifest = match serde_json::from_slice(&object.bytes) {
                    Ok(document) => document,
                    Err(error) => return Some(format!("{key} is no commit document: {error}")),
                };
                let files = Arc::new(document.keys());
                seen.insert(object.etag.clone(), files.clone());
                files
            }
        };
        let missing = files.iter().find(|file| state.object(&ObjectRef::new(LAKE, file.as_str())).is_none());
        if let Some(missing) = missing {
            return Some(format!("{key} names {missing}, which is not there: a reader misses records"));
        }
    }
    None
}
