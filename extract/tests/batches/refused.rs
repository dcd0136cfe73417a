//! Batches that are not loaded, and what the refusal says.

use stepwell_extract::extract;
use stepwell_pipeline::{
    ErrorKind, StageError,
    batch::BatchList,
    request::RunRequest,
    run::Source,
    store::{self, ObjectRef},
};

use crate::support::{context, gzip, list, member, run};

fn refusal(result: Result<impl std::fmt::Debug, StageError>, kind: ErrorKind, words: &[&str]) {
    let error = result.expect_err("refused");
    let report = error.report();
    assert_eq!(error.kind(), kind, "{report}");
    for word in words {
        assert!(report.contains(word), "{report} lacks {word}");
    }
}

#[tokio::test]
async fn a_member_that_is_gone_or_another_fails_the_run_and_is_named() {
    for (gone, kind, words) in [
        (true, ErrorKind::SourceMissing, ["s3://landing/in/b.csv is gone", "list the batch anew"]),
        (false, ErrorKind::SourceChanged, ["s3://landing/in/b.csv was replaced after", "list the batch anew"]),
    ] {
        let context = context();
        let mut members = Vec::new();
        for key in ["in/a.csv", "in/b.csv", "in/c.csv"] {
            members.push(member(&context, key, "id\n1\n").await);
        }
        let request = list(&context, 0, members).await;
        let object = ObjectRef::new("landing", "in/b.csv");
        if gone {
            store::delete(&*context.stores, &object).await.unwrap();
        } else {
            store::put(&*context.stores, &object, "id\n2\n").await.unwrap();
        }
        refusal(extract(&context, request).await, kind, &words);
    }
}

#[tokio::test]
async fn a_member_that_cannot_be_read_is_named() {
    let good = ("in/a.csv", b"id,item\n1,a\n".to_vec());
    for (bytes, kind, word) in [
        (b"idd,item\n1,a\n".to_vec(), ErrorKind::SchemaMismatch, "the header of s3://landing/in/b.csv does not fit"),
        (gzip(b"id\n1\n")[..20].to_vec(), ErrorKind::UnreadableSource, "s3://landing/in/b.csv"),
        (gzip(&gzip(b"id\n1\n")), ErrorKind::UnreadableSource, "s3://landing/in/b.csv holds another compressed file"),
        (b"PK\x03\x04".repeat(20), ErrorKind::UnreadableSource, "s3://landing/in/b.csv"),
    ] {
        let (_, result) = run(&[good.clone(), ("in/b.csv", bytes)]).await;
        refusal(result, kind, &[word]);
    }
}

#[tokio::test]
async fn too_many_rejects_name_the_member_of_the_first() {
    let bad = b"id,item\nx,a\n".to_vec();
    let (_, result) = run(&[("in/a.csv", bad.clone()), ("in/b.csv", bad)]).await;
    refusal(result, ErrorKind::TooManyRejects, &["first on line 2 of s3://landing/in/a.csv"]);
}

#[tokio::test]
async fn a_list_that_is_none_is_refused() {
    let context = context();
    let one = member(&context, "in/1.csv", "id\n1\n").await;
    let unpinned = Source { etag: "\"\"".into(), ..one.clone() };
    let beyond = Source { key: "in//1.csv".into(), ..one.clone() };
    for (members, word) in [
        (vec![one.clone(), one.clone()], "names s3://landing/in/1.csv twice"),
        (vec![unpinned], "does not pin its member s3://landing/in/1.csv"),
        (vec![beyond], "in//1.csv"),
    ] {
        let request = list(&context, 0, members).await;
        refusal(extract(&context, request).await, ErrorKind::InvalidInput, &[word]);
    }
    let request = list(&context, 0, vec![one]).await;
    let other = RunRequest { pipeline: Some("sales".into()), ..request.clone() };
    refusal(extract(&context, other).await, ErrorKind::InvalidInput, &["of the pipeline `orders`", "says `sales`"]);
    let stale = RunRequest { etag: Some("another".into()), ..request.clone() };
    refusal(extract(&context, stale).await, ErrorKind::SourceChanged, &[&request.key]);
    let object = ObjectRef::new("work", BatchList::key("orders", "2026-11-20"));
    store::put(&*context.stores, &object, "{\"pipeline\": \"orders\"}").await.unwrap();
    refusal(extract(&context, request.clone()).await, ErrorKind::InvalidInput, &["is no list of a batch", "revision"]);
    store::delete(&*context.stores, &object).await.unwrap();
    refusal(extract(&context, request).await, ErrorKind::SourceMissing, &[&object.to_string()]);
}
