//! Which pipelines get an object.

use std::io::Write;

use serde_json::json;
use stepwell_pipeline::ErrorKind;

use super::world::{World, bridge, landed, spec};

/// The pipelines that a new object in the landing bucket starts; nothing where none wants it, with the reasons.
async fn started(specs: &[(&str, String)], key: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let world = World::of(specs).await;
    world.put("landing", key, bytes).await;
    match world.handle(landed(key)).await {
        Ok(_) => Ok(world.pipelines()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NoPipeline, "{}", error.report());
            assert_eq!(world.pipelines(), [""; 0]);
            Err(error.report())
        }
    }
}

#[tokio::test]
async fn sizes_and_suffixes_choose_among_pipelines() {
    let specs = [
        ("small", spec("small", "match: { key: 'in/*', max_bytes: 9 }")),
        ("large", spec("large", "match: { key: 'in/*', min_bytes: 10 }")),
        ("json", spec("json", "match: { key: 'in/*', suffix: [.json, .json.gz] }")),
    ];
    for (key, bytes, pipelines) in [
        ("in/a.csv", 9, vec!["small"]),
        ("in/a.csv", 10, vec!["large"]),
        ("in/a.json", 1, vec!["json", "small"]),
        ("in/a.json.gz", 10, vec!["json", "large"]),
    ] {
        assert_eq!(started(&specs, key, &vec![b'a'; bytes]).await.unwrap(), pipelines, "{key} {bytes}");
        // Told by the event, the size is believed: nobody looks.
        let world = World::of(&specs).await;
        let mut event = bridge(key);
        event["detail"]["object"]["size"] = json!(bytes);
        world.handle(event).await.unwrap();
        assert_eq!(world.pipelines(), pipelines, "{key} {bytes}");
    }
    let reasons = started(&specs[1..2], "in/a.csv", b"a").await.unwrap_err();
    let expected =
        "no pipeline wants s3://landing/in/a.csv, whose key fits: `large`: it has 1 bytes, and `min_bytes` is 10";
    assert_eq!(reasons, expected);
    let nearest = started(&specs[2..], "in/a.csv", b"a").await.unwrap_err();
    assert_eq!(nearest, "no pipeline's `match` fits the key in/a.csv; the nearest is `in/*`");
}

fn by_content() -> [(&'static str, String); 4] {
    [
        ("orders", spec("orders", "match: { key: 'in/*', where: { type: orders } }")),
        ("eu", spec("eu", "match: { key: 'in/*', where: { type: orders, meta.region: [EU, UK] } }")),
        ("refunds", spec("refunds", "match: { key: 'in/*', where: { type: refunds, version: 2 } }")),
        ("archive", spec("archive", "match: 'in/*'")),
    ]
}

#[tokio::test]
async fn the_first_record_chooses_among_pipelines() {
    let long = format!(r#"{{"text": "{}", "type": "orders"}}"#, "x".repeat(200_000));
    for (key, text, pipelines) in [
        ("in/a.json", r#"[{"type": "orders"}, {"type": "refunds", "version": 2}]"#, vec!["archive", "orders"]),
        ("in/a.json", r#"{"type": "orders", "meta": {"region": "UK"}}"#, vec!["archive", "eu", "orders"]),
        ("in/a.ndjson", "{\"type\": \"refunds\", \"version\": 2.0}\n{", vec!["archive", "refunds"]),
        ("in/a.ndjson", "{\"type\": \"refunds\", \"version\": \"2\"}\n{", vec!["archive"]),
        ("in/a.csv", "id,type,version\n1,refunds,2\n2,orders,2\n", vec!["archive", "refunds"]),
        ("in/a.tsv", "type\tmeta.region\norders\tEU\n", vec!["archive", "eu", "orders"]),
        ("in/a.json", "{\"type\": ", vec!["archive"]),
        ("in/a.parquet", "PAR1....PAR1", vec!["archive"]),
        ("in/long.json", &long, vec!["archive", "orders"]),
    ] {
        assert_eq!(started(&by_content(), key, text.as_bytes()).await.unwrap(), pipelines, "{key} {text:.80}");
    }
}

#[tokio::test]
async fn large_and_compressed_objects_are_looked_into_by_their_first_bytes() {
    let text = format!("{}\n", r#"{"type": "orders"}"#).repeat(300_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for bytes in [text.as_bytes(), &gzip, &zstd] {
        assert_eq!(started(&by_content(), "in/a.ndjson", bytes).await.unwrap(), ["archive", "orders"]);
    }
    let endless = format!(r#"{{"type": "orders", "text": "{}"}}"#, "x".repeat(2_000_000));
    let reasons = started(&by_content()[..1], "in/a.json", endless.as_bytes()).await.unwrap_err();
    assert!(reasons.contains("`orders`: its first record does not end within 1048576 bytes"), "{reasons}");
}

#[tokio::test]
async fn what_no_pipeline_wants_is_told_with_the_reasons_and_without_the_values() {
    let text = br#"{"type": "secret", "version": 2}"#;
    let reasons = started(&by_content()[..3], "in/a.json", text).await.unwrap_err();
    for (name, field) in [("orders", "type"), ("eu", "meta.region"), ("refunds", "type")] {
        let reason = format!("`{name}`: `{field}` of its first record is nothing that `where` asks for");
        assert!(reasons.contains(&reason), "{reasons}");
    }
    assert!(!reasons.contains("secret"), "{reasons}");
    let reasons = started(&by_content()[..1], "in/a.json", b"[]").await.unwrap_err();
    assert!(reasons.ends_with("`orders`: its first record cannot be read: there is none"), "{reasons}");
}

#[tokio::test]
async fn objects_that_are_gone_replaced_or_empty_start_nothing() {
    let world = World::of(&by_content()).await;
    assert_eq!(world.handle(landed("in/gone.json")).await.unwrap(), json!({"executions": []}));
    world.put("landing", "in/empty.json", b"").await;
    assert_eq!(world.handle(landed("in/empty.json")).await.unwrap(), json!({"executions": []}));
    world.put("landing", "in/a.json", br#"{"type": "orders"}"#).await;
    let mut older = landed("in/a.json");
    older["detail"]["object"]["etag"] = json!("another");
    assert_eq!(world.handle(older).await.unwrap(), json!({"executions": []}));
    assert_eq!(world.pipelines(), [""; 0]);
    // An object that nobody needs to look at is left to its execution.
    let world = World::of(&by_content()[3..]).await;
    world.handle(bridge("in/gone.json")).await.unwrap();
    assert_eq!(world.pipelines(), ["archive"]);
}
