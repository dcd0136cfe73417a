use std::{
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use stepwell_pipeline::{progress, stage::Buckets, store::Stores};

use super::*;

/// A bucket that keeps what it was asked for.
#[derive(Clone, Debug, Default)]
struct Asked {
    inner: Arc<InMemory>,
    options: Arc<Mutex<Vec<GetOptions>>>,
    /// Whether a body ends one byte early without an error.
    is_cut: bool,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Asked {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.options.lock().expect("unpoisoned").push(options.clone());
        let found = self.inner.get_opts(location, options).await?;
        if !self.is_cut {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = found.bytes().await?;
        let cut = futures::stream::iter([Ok(bytes.slice(..bytes.len() - 1))]);
        Ok(GetResult { payload: GetResultPayload::Stream(Box::pin(cut)), meta, range, attributes })
    }

    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl Stores for Asked {
    fn bucket(&self, _: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        Ok(Arc::new(self.clone()))
    }
}

fn context(bucket: &Asked) -> StageContext {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    StageContext::new(Arc::new(bucket.clone()), buckets, Arc::new(progress::Unwatched))
}

fn spec(conditions: &str) -> CheckedSpec {
    let text = format!(
        "pipeline: p\nsource: {{ match: {{ key: 'in/*', {conditions} }} }}\nschema:\n  - {{ name: a, type: string }}\n\
         load: {{ target: parquet, path: lake/p/ }}\n"
    );
    CheckedSpec::parse("p.yaml", &text).expect(conditions)
}

fn request() -> RunRequest {
    RunRequest { bucket: "landing".into(), key: "in/a.json".into(), ..RunRequest::default() }
}

#[tokio::test]
async fn an_object_is_taken_from_the_least_to_the_greatest_size() {
    let context = context(&Asked::default());
    let spec = spec("min_bytes: 10, max_bytes: 20");
    let misfit = |reason: &str| Fit::Misfit(reason.to_owned());
    for (size, fit) in [
        (0, Fit::Ignored("it is empty")),
        (9, misfit("it has 9 bytes, and `min_bytes` is 10")),
        (10, Fit::Fits),
        (20, Fit::Fits),
        (21, misfit("it has 21 bytes, and `max_bytes` is 20")),
    ] {
        let request = RunRequest { size: Some(size), ..request() };
        assert_eq!(Look::new(&context, &request).fit(&spec).await.expect("known by the event"), fit);
    }
}

/// What is asked of the store: nothing but the metadata, or the bytes up to some point.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Head,
    UpTo(u64),
}

#[tokio::test]
async fn an_object_is_looked_at_once_for_all_pipelines_and_no_further_than_needed() {
    const SHORT: u64 = 64 * 1024;
    const LONG: u64 = 1024 * 1024;
    let specs = [spec("where: { type: orders }"), spec("where: { type: refunds }"), spec("where: { type: orders }")];
    for (text_bytes, size_is_told, requests) in [
        (10, true, vec![Request::UpTo(SHORT)]),
        (10, false, vec![Request::Head, Request::UpTo(SHORT)]),
        (SHORT, false, vec![Request::Head, Request::UpTo(SHORT), Request::UpTo(LONG)]),
        (LONG, false, vec![Request::Head, Request::UpTo(SHORT), Request::UpTo(LONG)]),
    ] {
        let bucket = Asked::default();
        let text = format!(r#"{{"text": "{}", "type": "orders"}}"#, "x".repeat(text_bytes as usize));
        let size = text.len() as u64;
        let put = bucket.put(&"in/a.json".into(), text.into()).await.expect("written");
        let etag = put.e_tag.expect("tagged");
        let request = RunRequest {
            version: Some("v1".into()),
            etag: Some(format!("\"{etag}\"")),
            size: size_is_told.then_some(size),
            ..request()
        };
        let context = context(&bucket);
        let mut look = Look::new(&context, &request);
        let mut fits = Vec::new();
        for spec in &specs {
            fits.push(look.fit(spec).await.expect("looked at") == Fit::Fits);
        }
        assert_eq!(fits, [text_bytes < LONG, false, text_bytes < LONG]);
        let mut asked = Vec::new();
        for options in bucket.options.lock().expect("unpoisoned").iter() {
            // The version of the event, and no other.
            assert_eq!((options.version.as_deref(), options.if_match.as_deref()), (Some("v1"), Some(etag.as_str())));
            asked.push(match &options.range {
                None if options.head => Request::Head,
                Some(GetRange::Bounded(range)) if range.start == 0 => Request::UpTo(range.end),
                _ => panic!("{options:?}"),
            });
        }
        assert_eq!(asked, requests, "{text_bytes} bytes");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_a_fault_of_the_store() {
    let bucket = Asked { is_cut: true, ..Asked::default() };
    bucket.put(&"in/a.json".into(), r#"{"type": "orders"}"#.into()).await.expect("written");
    let (context, request) = (context(&bucket), RunRequest { size: Some(18), ..request() });
    let error = Look::new(&context, &request).fit(&spec("where: { type: orders }")).await.expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    assert_eq!(error.report(), "17 bytes of s3://landing/in/a.json came where there are 18");
}
