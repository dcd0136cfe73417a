use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectMeta;
use serde::Deserialize;
use stepwell_pipeline::{
    StageError,
    run::Source,
    spec::{CheckedSpec, Completeness, Schedule},
    store::{self, ObjectRef},
};

use crate::{Ports, batches::pinned};

/// What is under a prefix.
pub(super) enum Members {
    /// Everything that was waited for is there.
    All(Vec<Source>),
    /// Something is missing.
    Incomplete(String),
}

/// A manifest: a list of keys, or an object with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    Keys(Vec<String>),
    Object { files: Vec<String> },
}

/// Finds the members of the batch below a prefix: the objects that `match` fits, or those that the manifest names. Folder
/// markers, empty objects and what tells that the batch is complete are none.
pub(super) async fn find(
    ports: &Ports,
    spec: &CheckedSpec,
    schedule: &Schedule,
    prefix: &str,
) -> Result<Members, StageError> {
    let landing = &ports.context.buckets.landing;
    // Before the objects are listed: those that it speaks of are there by then.
    let manifest = match &schedule.completeness {
        Some(Completeness::Manifest(name)) => {
            let object = ObjectRef::new(landing, format!("{prefix}{name}"));
            match read_manifest(ports, &object, prefix).await? {
                Ok(keys) => Some(keys),
                Err(reason) => return Ok(Members::Incomplete(reason)),
            }
        }
        _ => None,
    };
    let found = list(ports, prefix).await?;
    let sign = schedule.completeness.as_ref().and_then(Completeness::name).map(|name| format!("{prefix}{name}"));
    if let Some(Completeness::Object(_)) = &schedule.completeness
        && let Some(sign) = sign.as_ref().filter(|sign| !found.contains_key(*sign))
    {
        return Ok(Members::Incomplete(format!("s3://{landing}/{sign} is not there")));
    }
    let keys: Vec<&String> = match &manifest {
        None => found.keys().filter(|key| Some(*key) != sign.as_ref() && spec.match_glob.fits(key)).collect(),
        Some(keys) => match missing(keys, &found, spec) {
            None => keys.iter().collect(),
            Some(reason) => return Ok(Members::Incomplete(reason)),
        },
    };
    let mut members = BTreeMap::new();
    for key in keys {
        if let Some(meta) = found.get(key).filter(|meta| meta.size > 0 && spec.conditions.bytes.contains(&meta.size)) {
            members.insert(key, pinned(&ObjectRef::new(landing, key), meta.clone())?);
        }
    }
    if let Some(Completeness::Files(files)) = &schedule.completeness
        && members.len() < *files
    {
        return Ok(Members::Incomplete(format!("{} of {files} files are in s3://{landing}/{prefix}", members.len())));
    }
    Ok(Members::All(members.into_values().collect()))
}

/// The objects below a prefix, by key.
async fn list(ports: &Ports, prefix: &str) -> Result<BTreeMap<String, ObjectMeta>, StageError> {
    let landing = &ports.context.buckets.landing;
    let listed = ports.context.stores.bucket(landing)?.list(Some(&store::path(prefix)?));
    listed
        .map_ok(|meta| (meta.location.to_string(), meta))
        .try_collect()
        .await
        .map_err(|error| store::classify(error, &format!("cannot list s3://{landing}/{prefix}")))
}

/// The keys that a manifest names, or why there are none.
async fn read_manifest(
    ports: &Ports,
    object: &ObjectRef,
    prefix: &str,
) -> Result<Result<Vec<String>, String>, StageError> {
    let Some((bytes, _)) = store::get(&*ports.context.stores, object).await? else {
        return Ok(Err(format!("{object} is not there")));
    };
    let named = match serde_json::from_slice(&bytes) {
        Ok(Manifest::Keys(keys) | Manifest::Object { files: keys }) => keys,
        Err(_) => return Ok(Err(format!("{object} is neither a JSON list of keys nor an object with such `files`"))),
    };
    let bucket = format!("s3://{}/", object.bucket);
    let whole = |key: &String| match key.strip_prefix(&bucket) {
        Some(key) => key.to_owned(),
        None if key.starts_with(prefix) => key.clone(),
        None => format!("{prefix}{key}"),
    };
    Ok(Ok(named.iter().map(whole).collect()))
}

/// Why not everything can be loaded that a manifest names.
fn missing(keys: &[String], found: &BTreeMap<String, ObjectMeta>, spec: &CheckedSpec) -> Option<String> {
    let absent: Vec<&String> = keys.iter().filter(|key| !found.contains_key(*key)).collect();
    if let Some(first) = absent.first() {
        return Some(format!(
            "{} of {} objects of the manifest are not there, such as {first}",
            absent.len(),
            keys.len()
        ));
    }
    let unfit = keys.iter().find(|key| !spec.match_glob.fits(key))?;
    Some(format!("the manifest names {unfit}, which `match` `{}` does not fit", spec.match_glob.pattern()))
}
