//! What the outside holds at a moment. Copying it is cheap, so that a case can begin where another left off.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::Value;
use stepwell_pipeline::{notice::Notice, store::ObjectRef};

/// An object of a simulated bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its entity tag, which hangs on the bytes alone, as S3's does.
    pub etag: String,
    /// Its version id, in a versioned bucket.
    pub version: Option<String>,
    /// The version that it replaced, in a versioned bucket.
    pub older: Option<Arc<Object>>,
    hash: u64,
}

impl Object {
    fn new(bytes: Bytes, version: Option<String>, older: Option<Arc<Object>>) -> Self {
        let content = hash_of(&bytes);
        let hash = hash_of(&(content, &version));
        Self { bytes, etag: format!("{content:016x}"), version, older, hash }
    }
}

impl Object {
    /// The same object as if it held other bytes.
    pub(crate) fn with_bytes(&self, bytes: Bytes) -> Self {
        Self { bytes, etag: self.etag.clone(), version: self.version.clone(), older: None, hash: self.hash }
    }
}

/// The entity tag of an object of those bytes.
pub fn etag(bytes: &[u8]) -> String {
    Object::new(Bytes::copy_from_slice(bytes), None, None).etag
}

pub(crate) fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Condition {
    None,
    Absent,
    Unchanged(String),
}

/// A write, which may come to pass later than its caller thinks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Put { at: ObjectRef, bytes: Bytes, condition: Condition },
    Copy { from: ObjectRef, to: ObjectRef },
    Delete { objects: Vec<ObjectRef> },
    Begin { at: ObjectRef },
    Part { upload: u64, number: usize, bytes: Bytes },
    Complete { upload: u64 },
    Abort { upload: u64 },
}

/// Why a write cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    ConditionFailed,
    Missing(ObjectRef),
}

/// An unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upload {
    /// Where the object will be.
    pub at: ObjectRef,
    parts: BTreeMap<usize, Bytes>,
}

/// A notice that people got.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The notice.
    pub notice: Notice,
}

impl Published {
    /// The execution that failed, and how often it had been redriven by then.
    pub fn failed_execution(&self) -> Option<(&str, u64)> {
        let execution = self.notice.detail.get("execution")?;
        let name = execution.get("Name").and_then(Value::as_str)?;
        Some((name, execution.get("RedriveCount").and_then(Value::as_u64).unwrap_or_default()))
    }
}

/// What an invocation changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    pub(crate) objects: Vec<(Arc<ObjectRef>, Option<Arc<Object>>)>,
    pub(crate) notices: Vec<Arc<Published>>,
}

/// Objects, unfinished uploads, writes under way and notices.
#[derive(Clone, Debug, Default)]
pub struct State {
    objects: BTreeMap<Arc<ObjectRef>, Arc<Object>>,
    objects_hash: u64,
    /// Of what only `notify` looks at.
    marks_hash: u64,
    uploads: BTreeMap<u64, Upload>,
    late: Vec<(u64, Write)>,
    notices: Vec<Arc<Published>>,
    versioned: BTreeSet<String>,
    changes: Changes,
}

impl State {
    /// Nothing; the named buckets keep versions.
    pub fn new(versioned: &[&str]) -> Self {
        Self { versioned: versioned.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }

    /// The object at a place.
    pub fn object(&self, at: &ObjectRef) -> Option<&Arc<Object>> {
        self.objects.get(at)
    }

    /// The object at a place, in the version that is asked for.
    pub(crate) fn version(&self, at: &ObjectRef, version: Option<&str>) -> Option<&Arc<Object>> {
        let mut found = self.object(at);
        while let (Some(object), Some(wanted)) = (found, version) {
            if object.version.as_deref() == Some(wanted) {
                break;
            }
            found = object.older.as_ref();
        }
        found
    }

    /// The objects of a bucket whose keys begin with a prefix, in the order of their keys.
    pub fn objects<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Object>)> + 'a {
        self.objects
            .range::<ObjectRef, _>(ObjectRef::new(bucket, prefix)..)
            .take_while(move |(at, _)| at.bucket == bucket && at.key.starts_with(prefix))
            .map(|(at, object)| (at.key.as_str(), object))
    }

    /// Unfinished uploads.
    pub fn uploads(&self) -> impl Iterator<Item = &Upload> {
        self.uploads.values()
    }

    /// Notices in the order in which people got them.
    pub fn notices(&self) -> &[Arc<Published>] {
        &self.notices
    }

    /// Everything that a function could see of it: of unfinished uploads nothing.
    pub(crate) fn identity(&self, now_micros: u64, with_marks: bool) -> u64 {
        let late: Vec<_> = self.late.iter().map(|(due, write)| (due.saturating_sub(now_micros), write)).collect();
        hash_of(&(self.objects_hash, with_marks.then_some(self.marks_hash), late))
    }

    /// What of uploads and notices an end is held against.
    pub(crate) fn told(&self) -> u64 {
        let told: Vec<_> = self.notices.iter().map(|notice| notice.failed_execution()).collect();
        hash_of(&(told, self.uploads.len()))
    }

    /// Writes an object as somebody outside does.
    pub fn put(&mut self, at: &ObjectRef, bytes: Bytes) {
        let (version, older) = match self.versioned.contains(&at.bucket) {
            true => {
                let older = self.object(at).cloned();
                let count = std::iter::successors(older.as_ref(), |object| object.older.as_ref()).count();
                (Some(format!("v{}", count + 1)), older)
            }
            false => (None, None),
        };
        self.set(Arc::new(at.clone()), Some(Arc::new(Object::new(bytes, version, older))));
    }

    pub(crate) fn set(&mut self, at: Arc<ObjectRef>, object: Option<Arc<Object>>) {
        let mark = |object: &Arc<Object>| hash_of(&(&at, object.hash));
        let objects = &mut self.objects;
        let is_mark = at.key.starts_with("notices/");
        let hash = if is_mark { &mut self.marks_hash } else { &mut self.objects_hash };
        if let Some(old) = objects.get(&at) {
            *hash ^= mark(old);
        }
        match &object {
            Some(object) => {
                *hash ^= mark(object);
                objects.insert(at.clone(), object.clone());
            }
            None => {
                objects.remove(&at);
            }
        }
        self.changes.objects.push((at, object));
    }

    pub(crate) fn publish(&mut self, notice: Arc<Published>) {
        self.notices.push(notice.clone());
        self.changes.notices.push(notice);
    }

    /// Does a write. Gives the id of an upload that was begun, the entity tag of an object that was written.
    pub(crate) fn apply(&mut self, write: &Write, now_micros: u64) -> Result<String, Refusal> {
        match write {
            Write::Put { at, bytes, condition } => {
                let found = self.object(at).map(|object| object.etag.as_str());
                let holds = match condition {
                    Condition::None => true,
                    Condition::Absent => found.is_none(),
                    Condition::Unchanged(seen) => found == Some(seen),
                };
                if !holds {
                    return Err(Refusal::ConditionFailed);
                }
                self.put(at, bytes.clone());
                Ok(self.object(at).map(|object| object.etag.clone()).unwrap_or_default())
            }
            Write::Copy { from, to } => {
                let object = self.object(from).ok_or_else(|| Refusal::Missing(from.clone()))?;
                let bytes = object.bytes.clone();
                self.put(to, bytes);
                Ok(String::new())
            }
            Write::Delete { objects } => {
                for at in objects.iter().filter(|at| self.objects.contains_key(*at)).cloned().collect::<Vec<_>>() {
                    self.set(Arc::new(at), None);
                }
                Ok(String::new())
            }
            Write::Begin { at } => {
                let mut id = hash_of(&(at, now_micros));
                while self.uploads.contains_key(&id) {
                    id = id.wrapping_add(1);
                }
                self.uploads.insert(id, Upload { at: at.clone(), parts: BTreeMap::new() });
                Ok(id.to_string())
            }
            Write::Part { upload, number, bytes } => {
                let found = self.uploads.get_mut(upload).ok_or_else(|| no_upload(*upload))?;
                found.parts.insert(*number, bytes.clone());
                Ok(String::new())
            }
            Write::Complete { upload } => {
                let found = self.uploads.remove(upload).ok_or_else(|| no_upload(*upload))?;
                let bytes: Vec<u8> = found.parts.values().flat_map(|part| part.iter().copied()).collect();
                self.put(&found.at, bytes.into());
                Ok(self.object(&found.at).map(|object| object.etag.clone()).unwrap_or_default())
            }
            Write::Abort { upload } => {
                self.uploads.remove(upload);
                Ok(String::new())
            }
        }
    }

    /// Keeps a write to be done at a moment.
    pub(crate) fn delay(&mut self, due_micros: u64, write: Write) {
        self.late.push((due_micros, write));
    }

    /// Does the delayed writes whose time has come.
    pub(crate) fn land(&mut self, now_micros: u64) {
        while let Some(index) = self.late.iter().position(|(due, _)| *due <= now_micros) {
            let (_, write) = self.late.remove(index);
            // Nobody hears of its refusal.
            let _ = self.apply(&write, now_micros);
        }
    }

    /// The same state with nothing under way.
    pub(crate) fn without_late_writes(&self) -> Self {
        Self { late: Vec::new(), ..self.clone() }
    }

    /// Takes over what another course of things did to the buckets since both were the same.
    pub(crate) fn follow(&mut self, same: &Self, other: &Self) {
        for at in same.objects.keys().filter(|at| !other.objects.contains_key(*at)) {
            self.set(at.clone(), None);
        }
        for (at, object) in &other.objects {
            if same.objects.get(at).is_none_or(|before| !Arc::ptr_eq(before, object)) {
                self.set(at.clone(), Some(object.clone()));
            }
        }
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn aftermath(&self, uploads_before: &BTreeSet<u64>) -> Aftermath {
        let begun = self.uploads.iter().filter(|(id, _)| !uploads_before.contains(id));
        let ended = uploads_before.iter().copied().filter(|id| !self.uploads.contains_key(id)).collect();
        let begun = begun.map(|(id, upload)| (*id, upload.clone())).collect();
        Aftermath { begun, ended, late: self.late.clone() }
    }

    /// The ids of unfinished uploads.
    pub(crate) fn upload_ids(&self) -> BTreeSet<u64> {
        self.uploads.keys().copied().collect()
    }

    /// Repeats what an invocation did.
    pub(crate) fn repeat(&mut self, changes: &Changes, aftermath: &Aftermath, elapsed: (u64, u64)) {
        for (at, object) in &changes.objects {
            self.set(at.clone(), object.clone());
        }
        for notice in &changes.notices {
            self.publish(notice.clone());
        }
        self.uploads.retain(|id, _| !aftermath.ended.contains(id));
        self.uploads.extend(aftermath.begun.iter().map(|(id, upload)| (*id, upload.clone())));
        let (then, now) = elapsed;
        self.late = aftermath.late.iter().map(|(due, write)| (due.saturating_sub(then) + now, write.clone())).collect();
    }
}

/// What is beside the objects after an invocation.
#[derive(Clone, Debug)]
pub(crate) struct Aftermath {
    begun: BTreeMap<u64, Upload>,
    ended: BTreeSet<u64>,
    late: Vec<(u64, Write)>,
}

fn no_upload(upload: u64) -> Refusal {
    Refusal::Missing(ObjectRef::new("uploads", upload.to_string()))
}
