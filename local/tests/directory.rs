//! A directory as buckets: what the stages rely on holds here as it does on S3.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf};

use bytes::Bytes;
use futures::TryStreamExt;
use stepwell_local::directory::DirectoryStores;
use stepwell_pipeline::{
    ErrorKind,
    store::{self, ObjectRef, Stores},
};

fn stores(test: &str) -> (DirectoryStores, PathBuf) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("directory-{test}"));
    let _ = fs::remove_dir_all(&directory);
    (DirectoryStores::open(&directory, &["one", "two"]).expect("a directory"), directory)
}

async fn etag(stores: &DirectoryStores, object: &ObjectRef) -> Option<String> {
    store::head(stores, object).await.unwrap().and_then(|meta| meta.e_tag)
}

#[tokio::test]
async fn a_conditional_write_needs_what_was_seen() {
    let (stores, _) = stores("conditional");
    let object = ObjectRef::new("one", "a/b.json");
    let write = async |content: &'static str, seen: Option<String>| {
        store::put_if(&stores, &object, Bytes::from_static(content.as_bytes()), seen).await.unwrap()
    };
    assert!(!write("too soon", Some("seen in a dream".into())).await);
    assert!(write("first", None).await);
    assert!(!write("again", None).await);
    let first = etag(&stores, &object).await;
    assert!(write("second", first.clone()).await);
    assert!(!write("late", first).await);
    let (content, _) = store::get(&stores, &object).await.unwrap().unwrap();
    assert_eq!(content, "second");
}

#[tokio::test]
async fn of_rival_replacements_one_wins() {
    let (stores, _) = stores("rivals");
    let object = ObjectRef::new("one", "counter");
    assert!(store::put_if(&stores, &object, Bytes::from_static(b"0"), None).await.unwrap());
    let seen = etag(&stores, &object).await;
    let mut rivals = tokio::task::JoinSet::new();
    for rival in 0..16 {
        let (stores, object, seen) = (stores.clone(), object.clone(), seen.clone());
        rivals.spawn(async move { store::put_if(&stores, &object, rival.to_string().into(), seen).await.unwrap() });
    }
    assert_eq!(rivals.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn odd_keys_are_files_of_that_name_and_are_copied_across_buckets() {
    let (stores, directory) = stores("keys");
    for key in ["in/a b+c.csv", "in/Łódź #1.csv", "in/100%.csv", "in/a=1/~x[1].csv"] {
        let object = ObjectRef::new("one", key);
        store::put(&stores, &object, key.to_owned()).await.unwrap();
        assert_eq!(fs::read_to_string(directory.join("one").join(key)).unwrap(), key);
        let copy = ObjectRef::new("two", key);
        stores.copy(&object, &copy).await.unwrap();
        assert_eq!(store::get(&stores, &copy).await.unwrap().unwrap().0, key);
    }
    let listed: Vec<_> = stores.bucket("two").unwrap().list(None).try_collect().await.unwrap();
    assert_eq!(listed.len(), 4, "{listed:?}");
}

#[tokio::test]
async fn what_is_not_there_is_told_by_kind() {
    let (stores, _) = stores("missing");
    assert_eq!(stores.bucket("three").unwrap_err().kind(), ErrorKind::SourceMissing);
    assert_eq!(stores.bucket("../one").unwrap_err().kind(), ErrorKind::SourceMissing);
    let (from, to) = (ObjectRef::new("one", "none"), ObjectRef::new("two", "none"));
    assert_eq!(stores.copy(&from, &to).await.unwrap_err().kind(), ErrorKind::SourceMissing);
    assert_eq!(store::get(&stores, &from).await.unwrap(), None);
    assert_eq!(
        store::put(&stores, &ObjectRef::new("one", "/a"), "x").await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn a_copy_shares_the_file_and_keeps_what_replaces_it_apart() {
    let (stores, folder) = stores("links");
    let (from, to) = (ObjectRef::new("one", "a"), ObjectRef::new("two", "t/a"));
    store::put(&stores, &from, "one").await.expect("is written");
    for _ in 0..2 {
        stores.copy(&from, &to).await.expect("is copied, again too");
    }
    let names: Vec<_> = fs::read_dir(folder.join("two/t")).expect("a folder").flatten().collect();
    assert_eq!(names.len(), 1, "nothing unfinished stays: {names:?}");
    store::put(&stores, &from, "two").await.expect("is replaced");
    let kept = fs::read(folder.join("two/t/a")).expect("is there");
    assert_eq!(kept, b"one", "what replaces one name leaves the other");
}
