use bytes::Bytes;
use futures::stream::{self, BoxStream};
use object_store::{
    CopyOptions, Error, GetResult, GetResultPayload, ListResult, MultipartUpload, PutMultipartOptions, PutOptions,
    PutResult, Result, memory::InMemory,
};

use super::*;

#[test]
fn what_a_store_says_has_its_kind() {
    let (path, source) = (|| "a/b".to_owned(), || "the cause".into());
    for (error, kind) in [
        (Error::NotFound { path: path(), source: source() }, ErrorKind::SourceMissing),
        (Error::AlreadyExists { path: path(), source: source() }, ErrorKind::Conflict),
        (Error::Precondition { path: path(), source: source() }, ErrorKind::Conflict),
        (Error::PermissionDenied { path: path(), source: source() }, ErrorKind::AccessDenied),
        (Error::Unauthenticated { path: path(), source: source() }, ErrorKind::AccessDenied),
        (Error::NotModified { path: path(), source: source() }, ErrorKind::Internal),
        (Error::Generic { store: "S3", source: source() }, ErrorKind::Internal),
        (
            Error::Generic { store: "S3", source: StageError::new(ErrorKind::Throttled, "slow down").into() },
            ErrorKind::Throttled,
        ),
    ] {
        let told = error.to_string();
        let wrapped = std::io::Error::other(Error::NotFound { path: path(), source: source() });
        let classified = classify(error, "cannot read a/b");
        assert_eq!((classified.kind(), classified.to_string()), (kind, "cannot read a/b".into()), "{told}");
        assert_eq!(classify_io(wrapped, "cannot read a/b").kind(), ErrorKind::SourceMissing);
    }
    let other = classify_io(std::io::Error::other("the cause"), "cannot write a/b");
    assert_eq!((other.kind(), other.report()), (ErrorKind::Internal, "cannot write a/b: the cause".into()));
}

/// A bucket whose answers end a byte early, as those of a connection that breaks off unnoticed.
#[derive(Debug, Default)]
struct CutShort(InMemory);

impl fmt::Display for CutShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[async_trait]
impl ObjectStore for CutShort {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let whole = self.0.get_opts(location, options).await?;
        let (meta, range, attributes) = (whole.meta.clone(), whole.range.clone(), whole.attributes.clone());
        let bytes = whole.bytes().await?;
        let early: Bytes = bytes.slice(..bytes.len() - 1);
        let payload = GetResultPayload::Stream(stream::once(async { Ok(early) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[derive(Clone, Debug, Default)]
struct OneBucket(Arc<CutShort>);

impl Stores for OneBucket {
    fn bucket(&self, _: &str) -> std::result::Result<Arc<dyn ObjectStore>, StageError> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_not_taken_for_the_whole() {
    let (stores, object) = (OneBucket::default(), ObjectRef::new("work", "a/b"));
    put(&stores, &object, "12345").await.expect("written");
    let read = get(&stores, &object).await.map(|_| ());
    let range = get_range(&*stores.0, &object, 1..4).await.map(|_| ());
    for (ended, message) in [
        (read, "4 bytes of s3://work/a/b came where there are 5"),
        (range, "2 bytes of s3://work/a/b came where there are 3"),
    ] {
        let error = ended.expect_err("too few bytes");
        assert_eq!((error.kind(), error.report()), (ErrorKind::StoreUnavailable, message.into()));
    }
}
