//! The ports of a stage onto the world: buckets and a notifier that fail where the case says so.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};
use stepwell_pipeline::{
    ErrorKind, StageError,
    notice::{Notice, Notifier},
    store::{self, ObjectRef, Stores},
};

use crate::{
    call::{Call, FaultKind, Operation},
    sabotage::{self, Bug},
    state::{Condition, Object, Published, Refusal, Write},
    world::{LANDING, Verdict, World},
};

/// The ports of one invocation of a function.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    world: World,
    invocation: u64,
}

impl Outside {
    pub(crate) fn new(world: &World, invocation: u64) -> Self {
        Self { world: world.clone(), invocation }
    }

    async fn verdict(&self, operation: Operation, target: impl FnOnce() -> ObjectRef + Send) -> Verdict {
        let verdict = self.world.lock().begin(self.invocation, || {
            let target = target();
            Call { operation, landing: target.bucket == LANDING, target }
        });
        let Verdict::Rival(rival) = verdict else { return verdict };
        let (state, now_micros) = {
            let inner = self.world.lock();
            (inner.state.clone(), inner.now_micros)
        };
        let (after, succeeded) = rival.0(state.without_late_writes(), now_micros).await;
        let mut inner = self.world.lock();
        inner.state.follow(&state, &after);
        inner.rival_succeeded = succeeded;
        inner.advance(0);
        Verdict::Do
    }

    /// A call that changes something.
    async fn write(&self, operation: Operation, target: &ObjectRef, write: Write) -> Result<String> {
        let verdict = self.verdict(operation, || target.clone()).await;
        let kind = match verdict {
            Verdict::Never => return std::future::pending().await,
            Verdict::Do | Verdict::Rival(_) => return self.perform(target, write),
            Verdict::Fail(kind) => kind,
        };
        match kind {
            FaultKind::ReplyLost => {
                let _ = self.perform(target, write);
                Err(unavailable("the answer was lost"))
            }
            FaultKind::TimesOut => {
                self.world.lock().delay(kind, write);
                Err(unavailable("the service did not answer in time"))
            }
            FaultKind::ConditionFails => Err(condition_failed(target, &write)),
            FaultKind::ConditionFailsAfterWrite => {
                let failed = condition_failed(target, &write);
                let _ = self.perform(target, write);
                Err(failed)
            }
            FaultKind::DonePartly => {
                if let Write::Delete { mut objects } = write {
                    objects.truncate(objects.len().div_ceil(2));
                    let _ = self.perform(target, Write::Delete { objects });
                }
                Err(unavailable("the service answered 500 for the rest"))
            }
            FaultKind::KilledBefore => self.killed().await,
            FaultKind::KilledAfter => {
                let _ = self.perform(target, write);
                self.killed().await
            }
            FaultKind::KilledDuring => {
                self.world.lock().delay(kind, write);
                self.killed().await
            }
            other => Err(refusal(other)),
        }
    }

    fn perform(&self, target: &ObjectRef, write: Write) -> Result<String> {
        let mut inner = self.world.lock();
        let Some(write) = sabotage::write(&mut inner, write) else { return Ok(String::new()) };
        let is_create = matches!(&write, Write::Put { condition: Condition::Absent, .. });
        inner.write(write).map_err(|refusal| match refusal {
            Refusal::ConditionFailed if is_create => already_there(target),
            Refusal::ConditionFailed => precondition(target),
            Refusal::Missing(missing) => not_found(&missing),
        })
    }

    /// A call that only looks. Gives the fault that its answer suffers from.
    async fn read(&self, operation: Operation, target: impl FnOnce() -> ObjectRef + Send) -> Result<Option<FaultKind>> {
        match self.verdict(operation, target).await {
            Verdict::Never => std::future::pending().await,
            Verdict::Do | Verdict::Rival(_) => Ok(None),
            Verdict::Fail(FaultKind::KilledBefore) => self.killed().await,
            Verdict::Fail(kind @ (FaultKind::ResetMidBody | FaultKind::WrongLength)) => Ok(Some(kind)),
            Verdict::Fail(kind) => Err(refusal(kind)),
        }
    }

    async fn killed<T>(&self) -> T {
        self.world.lock().kill();
        std::future::pending().await
    }
}

fn generic(kind: ErrorKind, message: &str) -> Error {
    Error::Generic { store: "simulated", source: StageError::new(kind, message).into() }
}

fn unavailable(message: &str) -> Error {
    generic(ErrorKind::StoreUnavailable, message)
}

fn refusal(kind: FaultKind) -> Error {
    match kind {
        FaultKind::SlowDown => generic(ErrorKind::Throttled, "the service answered 503 SlowDown"),
        FaultKind::Conflict => unavailable("the service answered 409 ConditionalRequestConflict"),
        FaultKind::Torn => unavailable("the connection was reset in the middle of the part"),
        _ => unavailable("the service answered 500 InternalError"),
    }
}

fn condition_failed(target: &ObjectRef, write: &Write) -> Error {
    match write {
        Write::Put { condition: Condition::Absent, .. } => already_there(target),
        _ => precondition(target),
    }
}

fn already_there(target: &ObjectRef) -> Error {
    Error::AlreadyExists { path: target.key.clone(), source: "the service answered 412 PreconditionFailed".into() }
}

fn precondition(target: &ObjectRef) -> Error {
    Error::Precondition { path: target.key.clone(), source: "the service answered 412 PreconditionFailed".into() }
}

fn not_found(target: &ObjectRef) -> Error {
    Error::NotFound { path: target.key.clone(), source: "the service answered 404".into() }
}

#[async_trait]
impl Stores for Outside {
    fn bucket(&self, name: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(Bucket { outside: self.clone(), name: name.to_owned() }))
    }

    async fn copy(&self, from: &ObjectRef, to: &ObjectRef) -> std::result::Result<(), StageError> {
        let write = Write::Copy { from: from.clone(), to: to.clone() };
        let copied = self.write(Operation::Copy, to, write).await;
        copied.map(|_| ()).map_err(|error| store::classify(error, &format!("cannot copy {from} to {to}")))
    }
}

#[async_trait]
impl Notifier for Outside {
    async fn publish(&self, notice: &Notice) -> std::result::Result<(), StageError> {
        let topic = || ObjectRef::new("topic", notice.outcome.word());
        let publish = || {
            let published = Published { notice: notice.clone() };
            self.world.lock().state.publish(Arc::new(published));
        };
        let failed = |kind| Err(StageError::new(kind, "cannot publish to the topic"));
        match self.verdict(Operation::Publish, topic).await {
            Verdict::Never => std::future::pending().await,
            Verdict::Do | Verdict::Rival(_) => {
                publish();
                Ok(())
            }
            Verdict::Fail(FaultKind::KilledBefore) => self.killed().await,
            Verdict::Fail(FaultKind::KilledAfter | FaultKind::KilledDuring) => {
                publish();
                self.killed().await
            }
            Verdict::Fail(FaultKind::ReplyLost | FaultKind::TimesOut) => {
                publish();
                failed(ErrorKind::TargetUnavailable)
            }
            Verdict::Fail(FaultKind::SlowDown) => failed(ErrorKind::Throttled),
            Verdict::Fail(_) => failed(ErrorKind::TargetUnavailable),
        }
    }
}

/// One bucket of the world.
#[derive(Clone, Debug)]
struct Bucket {
    outside: Outside,
    name: String,
}

impl Bucket {
    fn at(&self, location: &Path) -> ObjectRef {
        ObjectRef::new(&self.name, location.as_ref())
    }

    fn meta(&self, location: Path, object: &Object) -> ObjectMeta {
        ObjectMeta {
            location,
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: object.bytes.len() as u64,
            e_tag: Some(object.etag.clone()),
            version: object.version.clone(),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A body that breaks off or ends early, or comes whole.
fn body(bytes: Bytes, fault: Option<FaultKind>) -> GetResultPayload {
    let half = bytes.slice(..bytes.len() / 2);
    let chunks = match fault {
        Some(FaultKind::ResetMidBody) => vec![Ok(half), Err(unavailable("the object's body broke off"))],
        Some(FaultKind::WrongLength) => vec![Ok(half)],
        _ => vec![Ok(bytes)],
    };
    GetResultPayload::Stream(futures::stream::iter(chunks).boxed())
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let at = self.at(location);
        let (operation, condition) = match options.mode {
            PutMode::Overwrite => (Operation::Put, Condition::None),
            PutMode::Create => (Operation::PutIf, Condition::Absent),
            PutMode::Update(seen) => (Operation::PutIf, Condition::Unchanged(seen.e_tag.unwrap_or_default())),
        };
        let write = Write::Put { at: at.clone(), bytes: payload.into(), condition };
        let etag = self.outside.write(operation, &at, write).await?;
        Ok(PutResult { e_tag: Some(etag), version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let at = self.at(location);
        let id = self.outside.write(Operation::UploadBegin, &at, Write::Begin { at: at.clone() }).await?;
        let id = id.parse().map_err(|_| unavailable("the service began an upload and gave it no id"))?;
        Ok(Box::new(Parts { outside: self.outside.clone(), at, id, next: Arc::default() }))
    }

    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let at = self.at(location);
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let fault = self.outside.read(operation, || at.clone()).await?;
        let object = {
            let mut inner = self.outside.world.lock();
            if inner.bug == Some(Bug::EtagNotPinned) {
                (options.if_match, options.version) = (None, None);
            }
            match inner.state.version(&at, options.version.as_deref()).cloned() {
                Some(found) => sabotage::read(&mut inner, &at, found),
                None => {
                    sabotage::missed(&mut inner, &at);
                    return Err(not_found(&at));
                }
            }
        };
        let mut meta = self.meta(location.clone(), &object);
        options.check_preconditions(&meta)?;
        let size = meta.size;
        let range = match &options.range {
            Some(range) => range.as_range(size).map_err(|_| unavailable("the service answered 416"))?,
            None => 0..size,
        };
        let ends = usize::try_from(range.start).unwrap_or_default()..usize::try_from(range.end).unwrap_or_default();
        let bytes = if options.head { Bytes::new() } else { object.bytes.slice(ends) };
        if fault == Some(FaultKind::WrongLength) && self.outside.world.lock().bug == Some(Bug::ShortBodyAccepted) {
            meta.size = bytes.len() as u64 / 2;
        }
        Ok(GetResult { payload: body(bytes, fault), meta, range, attributes: Attributes::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // As S3: up to 1,000 objects by one request.
        let bucket = self.clone();
        let batches = locations.ready_chunks(1000).then(move |batch| {
            let bucket = bucket.clone();
            async move {
                let paths: Vec<Path> = match batch.into_iter().collect() {
                    Ok(paths) => paths,
                    Err(error) => return futures::stream::iter(vec![Err(error)]),
                };
                let objects: Vec<_> = paths.iter().map(|path| bucket.at(path)).collect();
                let Some(first) = objects.first().cloned() else { return futures::stream::iter(Vec::new()) };
                let deleted = bucket.outside.write(Operation::Delete, &first, Write::Delete { objects }).await;
                futures::stream::iter(match deleted {
                    Ok(_) => paths.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                })
            }
        });
        batches.flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let bucket = self.clone();
        let prefix = prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let listed = async move {
            let target = ObjectRef::new(&bucket.name, &prefix);
            if let Err(error) = bucket.outside.read(Operation::List, || target).await {
                return vec![Err(error)];
            }
            let inner = bucket.outside.world.lock();
            let objects = inner.state.objects(&bucket.name, &prefix);
            objects.map(|(key, object)| Ok(bucket.meta(Path::from(key), object))).collect()
        };
        futures::stream::once(listed).map(futures::stream::iter).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let objects: Vec<Result<ObjectMeta>> = self.list(prefix).collect().await;
        Ok(ListResult { common_prefixes: Vec::new(), objects: objects.into_iter().collect::<Result<_>>()? })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        let (from, to) = (self.at(from), self.at(to));
        self.outside.write(Operation::Copy, &to, Write::Copy { from, to: to.clone() }).await.map(|_| ())
    }
}

/// An upload in parts.
#[derive(Debug)]
struct Parts {
    outside: Outside,
    at: ObjectRef,
    id: u64,
    next: Arc<AtomicUsize>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (outside, at, upload) = (self.outside.clone(), self.at.clone(), self.id);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let write = Write::Part { upload, number, bytes: data.into() };
            outside.write(Operation::UploadPart, &at, write).await.map(|_| ())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let write = Write::Complete { upload: self.id };
        let etag = self.outside.write(Operation::UploadComplete, &self.at, write).await?;
        Ok(PutResult { e_tag: Some(etag), version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let write = Write::Abort { upload: self.id };
        self.outside.write(Operation::UploadAbort, &self.at, write).await.map(|_| ())
    }
}
