//! What the store asks of S3, and what S3's answers become.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod http;
mod service;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt, TryStreamExt};
use http::{Answer, Request, Server};
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion, path::Path,
};
use service::{config, config_with_retries};
use stepwell_aws::{S3Store, S3Stores, sdk};
use stepwell_pipeline::{
    ErrorKind,
    store::{ObjectRef, Stores, classify},
};

async fn store(server: &Server) -> S3Store {
    S3Store::new(sdk::s3_client(&config(server).await), "bucket")
}

fn s3_error(status: u16, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>why</Message></Error>");
    Answer::new(status, body).with("content-type", "application/xml")
}

fn xml(body: &str) -> Answer {
    Answer::new(200, body).with("content-type", "application/xml")
}

fn path(key: &str) -> Path {
    Path::parse(key).expect("a path")
}

fn get_options(range: Option<GetRange>) -> GetOptions {
    GetOptions { range, ..GetOptions::default() }
}

#[tokio::test]
async fn a_put_sends_its_bytes_under_the_encoded_key_with_its_condition() {
    let server = Server::start(|_| Some(Answer::new(200, "").with("etag", "\"e2\"").with("x-amz-version-id", "v2")));
    let store = store(&server).await;
    let update = PutMode::Update(UpdateVersion { e_tag: Some("e1".into()), version: None });
    for mode in [PutMode::Overwrite, PutMode::Create, update] {
        let attributes = Attributes::from_iter([(Attribute::ContentType, "application/json")]);
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let payload = PutPayload::from_iter(["by".into(), "tes".into()] as [bytes::Bytes; 2]);
        let result = store.put_opts(&path("in/a b+ü%.csv"), payload, options).await.expect("written");
        assert_eq!((result.e_tag.as_deref(), result.version.as_deref()), (Some("e2"), Some("v2")));
    }
    let requests = server.requests();
    let conditions: Vec<_> =
        requests.iter().map(|request| (request.header("if-none-match"), request.header("if-match"))).collect();
    assert_eq!(conditions, [(None, None), (Some("*"), None), (None, Some("\"e1\""))]);
    for request in &requests {
        assert_eq!(request.method, "PUT");
        assert_eq!(request.target, "/bucket/in/a%20b%2B%C3%BC%25.csv?x-id=PutObject");
        assert_eq!(request.text(), "bytes");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
        assert!(request.header("x-amz-checksum-crc32").is_some());
    }
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_told_from_one_that_may_yet() {
    let create = || PutMode::Create;
    let update = || PutMode::Update(UpdateVersion { e_tag: Some("e1".into()), version: None });
    type Expected = fn(&Error) -> bool;
    let cases: [(PutMode, u16, &str, Expected); 5] = [
        (create(), 412, "PreconditionFailed", |error| matches!(error, Error::AlreadyExists { .. })),
        (update(), 412, "PreconditionFailed", |error| matches!(error, Error::Precondition { .. })),
        (update(), 404, "NoSuchKey", |error| matches!(error, Error::Precondition { .. })),
        (update(), 404, "NoSuchBucket", |error| matches!(error, Error::NotFound { .. })),
        (create(), 409, "ConditionalRequestConflict", |error| matches!(error, Error::Generic { .. })),
    ];
    for (mode, status, code, expected) in cases {
        let server = Server::start(move |_| Some(s3_error(status, code)));
        let options = PutOptions { mode, ..PutOptions::default() };
        let error = store(&server).await.put_opts(&path("k"), "x".into(), options).await.expect_err("refused");
        assert!(expected(&error), "{code}: {error:?}");
        if status == 409 {
            assert_eq!(classify(error, "").kind(), ErrorKind::StoreUnavailable);
        }
    }
}

#[tokio::test]
async fn each_answer_has_its_kind() {
    for (status, code, kind) in [
        (503, "SlowDown", ErrorKind::Throttled),
        (503, "ServiceUnavailable", ErrorKind::Throttled),
        (429, "TooManyRequests", ErrorKind::Throttled),
        (500, "InternalError", ErrorKind::StoreUnavailable),
        (400, "RequestTimeout", ErrorKind::StoreUnavailable),
        (403, "AccessDenied", ErrorKind::AccessDenied),
        (400, "ExpiredToken", ErrorKind::AccessDenied),
        (404, "NoSuchKey", ErrorKind::SourceMissing),
        (404, "NoSuchBucket", ErrorKind::SourceMissing),
        (412, "PreconditionFailed", ErrorKind::Conflict),
        (400, "InvalidArgument", ErrorKind::Internal),
    ] {
        let server = Server::start(move |_| Some(s3_error(status, code)));
        let store = store(&server).await;
        let error = classify(store.get(&path("k")).await.expect_err("refused"), "cannot read it");
        assert_eq!(error.kind(), kind, "{status} {code}");
        assert!(error.report().starts_with("cannot read it") && error.report().contains(code), "{}", error.report());
        let error = classify(store.list(None).next().await.expect("an item").expect_err("refused"), "");
        assert_eq!(error.kind(), kind, "{status} {code}, listing");
    }
}

#[tokio::test]
async fn a_head_without_a_body_is_classified_by_its_status() {
    for (status, kind) in [
        (404, ErrorKind::SourceMissing),
        (403, ErrorKind::AccessDenied),
        (503, ErrorKind::Throttled),
        (500, ErrorKind::StoreUnavailable),
    ] {
        let server = Server::start(move |_| Some(Answer::new(status, "")));
        let error = store(&server).await.head(&path("k")).await.expect_err("refused");
        assert_eq!(classify(error, "").kind(), kind, "{status}");
    }
}

#[tokio::test]
async fn a_version_that_is_a_deletion_is_missing() {
    let server = Server::start(|_| Some(s3_error(405, "MethodNotAllowed").with("x-amz-delete-marker", "true")));
    let options = GetOptions { version: Some("v1".into()), ..GetOptions::default() };
    let error = store(&server).await.get_opts(&path("k"), options).await.expect_err("deleted");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn no_answer_may_pass_and_says_what_happened() {
    let server = Server::start(|_| None);
    let error = classify(store(&server).await.get(&path("k")).await.expect_err("no answer"), "cannot read it");
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    assert!(error.report().contains("dispatch failure: "), "the chain goes on: {}", error.report());
}

#[tokio::test]
async fn the_sdk_makes_three_attempts_and_no_more() {
    let server = Server::start(|_| Some(s3_error(503, "SlowDown")));
    let store = S3Store::new(sdk::s3_client(&config_with_retries(&server).await), "bucket");
    let error = store.get(&path("k")).await.expect_err("refused");
    assert_eq!(classify(error, "").kind(), ErrorKind::Throttled);
    assert_eq!(server.requests().len(), 3);
}

fn object(request: &Request) -> Answer {
    const BODY: &[u8] = b"0123456789";
    let whole = |answer: Answer| {
        answer
            .with("etag", "\"e-1\"")
            .with("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            .with("content-type", "text/csv")
            .with("x-amz-version-id", "v1")
            .with("x-amz-meta-origin", "here")
    };
    let range = match request.header("range") {
        None => return whole(Answer::new(200, BODY)),
        Some("bytes=2-4") => 2..5,
        Some("bytes=7-") => 7..10,
        Some("bytes=-4") => 6..10,
        Some("bytes=5-99") => 5..10,
        Some(_) => return s3_error(416, "InvalidRange"),
    };
    let header = format!("bytes {}-{}/10", range.start, range.end - 1);
    whole(Answer::new(206, &BODY[range])).with("content-range", header)
}

#[tokio::test]
async fn a_get_gives_the_bytes_and_what_is_known_of_the_object() {
    let server = Server::start(|request| Some(object(request)));
    let store = store(&server).await;
    for (range, bytes, given) in [
        (None, "0123456789", 0..10),
        (Some(GetRange::Bounded(2..5)), "234", 2..5),
        (Some(GetRange::Offset(7)), "789", 7..10),
        (Some(GetRange::Suffix(4)), "6789", 6..10),
        (Some(GetRange::Bounded(5..100)), "56789", 5..10),
    ] {
        let result = store.get_opts(&path("k"), get_options(range)).await.expect("read");
        assert_eq!(result.range, given);
        assert_eq!((result.meta.size, result.meta.e_tag.as_deref()), (10, Some("e-1")));
        assert_eq!(result.meta.last_modified.timestamp(), 1_445_412_480);
        assert_eq!(result.meta.version.as_deref(), Some("v1"));
        assert_eq!(result.attributes.get(&Attribute::ContentType).map(|value| &**value), Some("text/csv"));
        assert_eq!(result.attributes.get(&Attribute::Metadata("origin".into())).map(|value| &**value), Some("here"));
        assert_eq!(result.bytes().await.expect("a body"), bytes);
    }
    let head = store.head(&path("k")).await.expect("read");
    assert_eq!((head.size, head.e_tag.as_deref()), (10, Some("e-1")));
    for range in [GetRange::Offset(10), GetRange::Bounded(3..3)] {
        store.get_opts(&path("k"), get_options(Some(range))).await.expect_err("beyond the end or empty");
    }
}

#[tokio::test]
async fn conditions_and_versions_are_asked_for() {
    let server = Server::start(|request| Some(object(request)));
    let store = store(&server).await;
    for head in [false, true] {
        let options =
            GetOptions { if_match: Some("e-1".into()), version: Some("v 1".into()), head, ..GetOptions::default() };
        store.get_opts(&path("k"), options).await.expect("read");
    }
    for request in server.requests() {
        assert_eq!(request.header("if-match"), Some("\"e-1\""));
        assert!(request.target.contains("versionId=v%201"), "{}", request.target);
    }
}

#[tokio::test]
async fn an_object_that_has_not_changed_is_told() {
    let server = Server::start(|_| Some(Answer::new(304, "")));
    let options = GetOptions { if_none_match: Some("e-1".into()), ..GetOptions::default() };
    let error = store(&server).await.get_opts(&path("k"), options).await.expect_err("not modified");
    assert!(matches!(error, Error::NotModified { .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_shorter_object() {
    let server = Server::start(|request| Some(Answer { withheld: 5, ..object(request) }));
    let result = store(&server).await.get(&path("k")).await.expect("a head");
    let error = classify(result.bytes().await.expect_err("too short"), "cannot read it");
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
}

#[tokio::test]
async fn a_range_that_was_not_kept_to_is_refused() {
    let server = Server::start(|_| Some(Answer::new(200, "0123456789")));
    let options = get_options(Some(GetRange::Bounded(2..5)));
    store(&server).await.get_opts(&path("k"), options).await.expect_err("the whole object");
}

fn listing(request: &Request) -> Answer {
    let content = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><Size>3</Size><ETag>&quot;e&quot;</ETag>\
             <LastModified>2015-10-21T07:28:00.000Z</LastModified></Contents>"
        )
    };
    let (truncated, entries) = if request.target.contains("continuation-token=t%2B1") {
        (false, content("in/b%2Bc.csv") + "<CommonPrefixes><Prefix>in/sub+dir/</Prefix></CommonPrefixes>")
    } else {
        (true, content("in/") + &content("in//odd") + &content("in/a+%C3%BC%25.csv"))
    };
    let token = if truncated { "<NextContinuationToken>t+1</NextContinuationToken>" } else { "" };
    xml(&format!(
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>{token}{entries}</ListBucketResult>"
    ))
}

#[tokio::test]
async fn a_listing_goes_through_all_pages_and_gives_keys_as_they_are() {
    let server = Server::start(|request| Some(listing(request)));
    let store = store(&server).await;
    let metas: Vec<_> = store.list(Some(&path("in"))).try_collect().await.expect("listed");
    let keys: Vec<_> = metas.iter().map(|meta| meta.location.as_ref()).collect();
    assert_eq!(keys, ["in/a ü%.csv", "in/b+c.csv"]);
    assert_eq!((metas[0].size, metas[0].e_tag.as_deref()), (3, Some("e")));
    let level = store.list_with_delimiter(Some(&path("in"))).await.expect("listed");
    assert_eq!(level.common_prefixes, [path("in/sub dir")]);
    assert_eq!(level.objects.len(), 2);
    let after: Vec<_> = store.list_with_offset(None, &path("in/a b")).try_collect().await.expect("listed");
    assert_eq!(after.len(), 2);
    let requests = server.requests();
    assert!(requests[0].target.contains("prefix=in%2F") && requests[0].target.contains("encoding-type=url"));
    assert!(!requests[0].target.contains("delimiter"), "{}", requests[0].target);
    assert!(requests[2].target.contains("delimiter=%2F"), "{}", requests[2].target);
    assert!(requests[4].target.contains("start-after=in%2Fa%20b"), "{}", requests[4].target);
    assert!(!requests[4].target.contains("prefix="), "{}", requests[4].target);
}

#[tokio::test]
async fn one_object_is_deleted_by_itself_and_many_at_once() {
    let server = Server::start(|request| {
        Some(if request.method == "DELETE" {
            Answer::new(204, "")
        } else {
            xml("<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Error><Key>b &amp; c</Key>\
                 <Code>SlowDown</Code><Message>why</Message></Error><Error><Key>d</Key><Code>AccessDenied</Code>\
                 <Message>why</Message></Error></DeleteResult>")
        })
    });
    let store = store(&server).await;
    store.delete(&path("in/a b")).await.expect("deleted");
    let wanted = ["a", "b & c", "d"].map(|key| Ok(path(key)));
    let results: Vec<_> = store.delete_stream(futures::stream::iter(wanted).boxed()).collect().await;
    assert_eq!(results[0].as_ref().expect("deleted"), &path("a"));
    let kinds: Vec<_> =
        results.into_iter().skip(1).map(|result| classify(result.expect_err("refused"), "").kind()).collect();
    assert_eq!(kinds, [ErrorKind::Throttled, ErrorKind::AccessDenied]);
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests.len()), ("DELETE", 2));
    assert!(requests[0].target.starts_with("/bucket/in/a%20b"), "{}", requests[0].target);
    assert!(requests[1].text().contains("<Key>b &amp; c</Key>"), "{}", requests[1].text());
}

#[tokio::test]
async fn a_deletion_that_fails_as_a_whole_says_so() {
    let server = Server::start(|_| Some(s3_error(500, "InternalError")));
    let wanted = ["a", "b"].map(|key| Ok(path(key)));
    let deleted = store(&server).await.delete_stream(futures::stream::iter(wanted).boxed());
    let error = deleted.try_collect::<Vec<_>>().await.expect_err("refused");
    assert_eq!(classify(error, "").kind(), ErrorKind::StoreUnavailable);
}

fn uploads(request: &Request) -> Answer {
    let target = &request.target;
    match request.method.as_str() {
        "POST" if target.contains("uploads") => {
            xml("<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <UploadId>u 1</UploadId></InitiateMultipartUploadResult>")
        }
        "POST" => xml("<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"),
        "PUT" if request.text() == "bad" => s3_error(500, "InternalError"),
        "PUT" => {
            let number = if target.contains("partNumber=1&") { 1 } else { 2 };
            let crc = request.header("x-amz-checksum-crc32").unwrap_or_default().to_owned();
            Answer::new(200, "").with("etag", format!("\"p{number}\"")).with("x-amz-checksum-crc32", crc)
        }
        _ => Answer::new(204, ""),
    }
}

#[tokio::test]
async fn an_upload_in_parts_is_completed_in_their_order() {
    let server = Server::start(|request| Some(uploads(request)));
    let store = store(&server).await;
    let mut upload = store.put_multipart_opts(&path("k"), PutMultipartOptions::default()).await.expect("begun");
    let (first, second) = (upload.put_part("first".into()), upload.put_part("second".into()));
    second.await.expect("sent");
    first.await.expect("sent");
    assert_eq!(upload.complete().await.expect("completed").e_tag.as_deref(), Some("e-2"));
    let requests = server.requests();
    assert_eq!(requests[0].header("x-amz-checksum-algorithm"), Some("CRC32"));
    assert!(requests[1].target.contains("uploadId=u%201"), "{}", requests[1].target);
    let completion = requests[3].text();
    let (one, two) = (completion.find("p1").expect("a part"), completion.find("p2").expect("a part"));
    assert!(one < two && completion.contains("ChecksumCRC32"), "{completion}");
}

#[tokio::test]
async fn an_upload_without_parts_makes_an_empty_object() {
    let server = Server::start(|request| Some(uploads(request)));
    let mut upload = store(&server).await.put_multipart(&path("k")).await.expect("begun");
    upload.complete().await.expect("completed");
    let methods: Vec<_> = server.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "PUT", "POST"]);
}

#[tokio::test]
async fn an_upload_that_lacks_a_part_is_not_completed_but_aborted() {
    let server = Server::start(|request| Some(uploads(request)));
    let mut upload = store(&server).await.put_multipart(&path("k")).await.expect("begun");
    upload.put_part("good".into()).await.expect("sent");
    let error = upload.put_part("bad".into()).await.expect_err("refused");
    assert_eq!(classify(error, "").kind(), ErrorKind::StoreUnavailable);
    upload.complete().await.expect_err("a part is missing");
    upload.abort().await.expect("aborted");
    let requests = server.requests();
    let last = requests.last().unwrap();
    assert!(last.method == "DELETE" && last.target.contains("uploadId=u%201"), "{last:?}");
    assert_eq!(requests.iter().filter(|request| request.method == "POST").count(), 1, "only the beginning");
}

#[tokio::test]
async fn an_upload_that_is_gone_may_be_repeated() {
    let server = Server::start(|request| {
        let completion = request.method == "POST" && !request.target.contains("uploads");
        Some(if completion || request.method == "DELETE" { s3_error(404, "NoSuchUpload") } else { uploads(request) })
    });
    let mut upload = store(&server).await.put_multipart(&path("k")).await.expect("begun");
    upload.put_part("x".into()).await.expect("sent");
    let error = upload.complete().await.expect_err("gone");
    assert_eq!(classify(error, "").kind(), ErrorKind::StoreUnavailable);
    upload.abort().await.expect("nothing is left to abort");
}

const COPIED: &str = "<CopyObjectResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ETag>&quot;e&quot;</ETag>\
                      </CopyObjectResult>";

#[tokio::test]
async fn a_copy_happens_on_the_side_of_s3() {
    let server = Server::start(|_| Some(xml(COPIED)));
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    let (from, to) = (ObjectRef::new("from", "in/a b+ü%.csv"), ObjectRef::new("other", "out/a b"));
    stores.copy(&from, &to).await.expect("copied");
    let options = CopyOptions { mode: CopyMode::Create, ..CopyOptions::default() };
    store(&server).await.copy_opts(&path("a"), &path("b"), options).await.expect("copied");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("x-amz-copy-source"), Some("from/in/a%20b%2B%C3%BC%25.csv"));
    assert!(requests[0].target.starts_with("/other/out/a%20b"), "{}", requests[0].target);
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(requests[1].header("x-amz-copy-source"), Some("bucket/a"));
    assert_eq!(requests[1].header("if-none-match"), Some("*"));
}

#[tokio::test]
async fn a_copy_that_failed_after_its_answer_began_is_an_error() {
    let server = Server::start(|_| Some(Answer { status: 200, ..s3_error(500, "InternalError") }));
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    let error = stores.copy(&ObjectRef::new("from", "a"), &ObjectRef::new("other", "b")).await.expect_err("failed");
    assert!(error.kind().is_transient(), "{}: {}", error.kind(), error.report());
}

#[tokio::test]
async fn a_copy_without_its_source_says_which() {
    let server = Server::start(|_| Some(s3_error(404, "NoSuchKey")));
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    let error = stores.copy(&ObjectRef::new("from", "a"), &ObjectRef::new("other", "b")).await.expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(error.report().contains("at location a not found"), "{}", error.report());
}

const GIB: u64 = 1 << 30;

fn large_copies(request: &Request, size: u64, bad_part: Option<&str>) -> Answer {
    let target = &request.target;
    match request.method.as_str() {
        "HEAD" => Answer::new(200, "").with("content-length", size.to_string()).with("etag", "\"whole\""),
        "PUT" if !target.contains("partNumber") => s3_error(400, "InvalidRequest"),
        "PUT" if bad_part.is_some_and(|part| target.contains(part)) => s3_error(500, "InternalError"),
        "PUT" => xml("<CopyPartResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ETag>&quot;p&quot;</ETag>\
             </CopyPartResult>"),
        _ => uploads(request),
    }
}

#[tokio::test]
async fn an_object_too_large_for_one_copy_is_copied_in_parts() {
    let size = 5 * GIB + 1;
    let server = Server::start(move |request| Some(large_copies(request, size, None)));
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    stores.copy(&ObjectRef::new("from", "a b"), &ObjectRef::new("other", "b")).await.expect("copied");
    let requests = server.requests();
    let mut ranges: Vec<_> =
        requests.iter().filter_map(|request| request.header("x-amz-copy-source-range").map(str::to_owned)).collect();
    ranges.sort_unstable();
    assert_eq!(ranges.len(), 11);
    assert!(ranges.contains(&"bytes=0-536870911".to_owned()), "{ranges:?}");
    assert!(ranges.contains(&format!("bytes={}-{}", size - 1, size - 1)), "{ranges:?}");
    for request in requests.iter().filter(|request| request.target.contains("partNumber")) {
        assert_eq!(request.header("x-amz-copy-source"), Some("from/a%20b"));
        assert_eq!(request.header("x-amz-copy-source-if-match"), Some("\"whole\""));
    }
    assert_eq!(requests.last().unwrap().text().matches("<PartNumber>").count(), 11);
}

#[tokio::test]
async fn a_copy_in_parts_that_fails_leaves_no_upload_behind() {
    let server = Server::start(|request| Some(large_copies(request, 6 * GIB, Some("partNumber=3&"))));
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    let error = stores.copy(&ObjectRef::new("from", "a"), &ObjectRef::new("other", "b")).await.expect_err("failed");
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
    let requests = server.requests();
    assert_eq!(requests.last().unwrap().method, "DELETE");
    assert!(requests.iter().all(|request| request.method != "POST" || request.target.contains("uploads")));
}

#[tokio::test]
async fn an_invalid_copy_of_a_small_object_is_no_large_one() {
    let server = Server::start(|request| Some(large_copies(request, 7, None)));
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    let error = stores.copy(&ObjectRef::new("from", "a"), &ObjectRef::new("other", "b")).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.report().contains("InvalidRequest"), "{}", error.report());
}

#[tokio::test]
async fn a_name_that_no_bucket_has_is_refused_before_anything_is_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Server::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        None
    });
    let stores = S3Stores::new(sdk::s3_client(&config(&server).await));
    assert_eq!(stores.bucket("no bucket").expect_err("refused").kind(), ErrorKind::InvalidInput);
    let error = stores.copy(&ObjectRef::new("no/bucket", "a"), &ObjectRef::new("other", "b")).await;
    assert_eq!(error.expect_err("refused").kind(), ErrorKind::InvalidInput);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}
