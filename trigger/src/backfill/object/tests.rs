use chrono::TimeDelta;

use super::*;
use crate::backfill::tests::{SPEC, World, spec, state};

fn meta(key: &str, size: u64, last_modified: DateTime<Utc>) -> ObjectMeta {
    ObjectMeta { location: key.into(), last_modified, size, e_tag: None, version: None }
}

#[test]
fn an_object_is_passed_over_by_its_key_its_size_or_its_time() {
    let (world, spec) = (World::new(), spec(SPEC));
    let (from, to) = ("2026-01-30T00:00:00Z", "2026-01-31T00:00:00Z");
    let state = Backfill { from: Some(from.into()), to: Some(to.into()), ..state() };
    let objects = Objects::new(&world.ports, &spec, &state).expect("valid");
    let [from, to] = [from, to].map(|text| moment(text).expect("a moment"));
    let ms = TimeDelta::milliseconds(1);
    for (key, size, modified, fate) in [
        ("in/a.csv", 1, from, None),
        ("in/a.csv", 1, from - ms, Some(Fate::Outside)),
        ("in/a.csv", 1, to - ms, None),
        ("in/a.csv", 1, to, Some(Fate::Outside)),
        ("in/a.csv", 0, to, Some(Fate::Empty)),
        ("in/a.txt", 0, to, Some(Fate::Unfit)),
    ] {
        assert_eq!(objects.passed_over(&meta(key, size, modified)), fate, "{key}, {size} bytes, {modified}");
    }
}

/// As S3 lists them, and `object_store` does not: by any beginning of a key.
#[tokio::test]
async fn a_listing_has_the_keys_that_begin_with_the_prefix_after_the_position() {
    let (world, spec) = (World::new(), spec(SPEC));
    let keys = ["a/1", "in", "in-2", "in/20", "in/2013/1", "in/2013/2", "in/2014/1", "in/3", "z"];
    for key in keys {
        world.put("landing", key, "1").await;
    }
    for (prefix, after, expected) in [
        ("", None, &keys[..]),
        ("", Some("in/3"), &["z"]),
        ("in", None, &["in", "in-2", "in/20", "in/2013/1", "in/2013/2", "in/2014/1", "in/3"]),
        ("in/", None, &["in/20", "in/2013/1", "in/2013/2", "in/2014/1", "in/3"]),
        ("in/20", None, &["in/20", "in/2013/1", "in/2013/2", "in/2014/1"]),
        ("in/20", Some("in/20"), &["in/2013/1", "in/2013/2", "in/2014/1"]),
        ("in/2013/", None, &["in/2013/1", "in/2013/2"]),
        ("in/2013/", Some("in/2013/1"), &["in/2013/2"]),
        ("in/2013/2", Some("in/2013/2"), &[]),
        ("in/4", None, &[]),
    ] {
        let state = Backfill { prefix: prefix.into(), ..state() };
        let objects = Objects::new(&world.ports, &spec, &state).expect("valid");
        let mut listing = objects.after(after).await.expect("listed");
        let mut listed = Vec::new();
        loop {
            let batch = listing.take(&objects, 2).await.expect("listed");
            listed.extend(batch.iter().map(|meta| meta.location.to_string()));
            // A batch that is not full is the last.
            assert!(batch.len() <= 2, "{prefix}: {batch:?}");
            if batch.len() < 2 {
                break;
            }
        }
        assert_eq!(listed, expected, "{prefix} after {after:?}");
    }
}

/// A batch would not replace what an object's own run loaded, but add to it.
#[tokio::test]
async fn what_was_loaded_before_the_pipeline_gathered_is_not_gathered() {
    let world = World::new();
    let gathering = spec(&SPEC.replace("csv\" }", "csv\", batch: {} }"));
    for (key, text) in [("in/1.csv", "a\n1\n"), ("in/2.csv", "a\n2\n")] {
        world.put("landing", key, text).await;
    }
    world.commit("in/1.csv", &spec(SPEC)).await;
    for again in [false, true] {
        let objects = Objects::new(&world.ports, &gathering, &Backfill { again, ..state() }).expect("valid");
        let metas = objects.after(None).await.expect("listed").take(&objects, 9).await.expect("listed");
        let mut fates = Vec::new();
        for meta in &metas {
            fates.push(objects.settled(meta).await.expect("looked at"));
        }
        assert_eq!(fates, [Some(Fate::Committed), None], "again: {again}");
    }
}
