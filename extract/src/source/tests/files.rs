use proptest::prelude::*;
use stepwell_pipeline::{
    ErrorKind, StageError,
    run::Source,
    spec::Format,
    stage::StageContext,
    store::{self, ObjectRef},
};

use super::{compress, landed, lines, zip};
use crate::source::{Compression, Files, Text, encoding};

async fn open(context: &StageContext, source: &Source, label: Option<&str>) -> Result<Text, StageError> {
    let mut files = Files::open(context, source).await?;
    let file = files.next().await?.expect("has a file");
    assert!(files.next().await?.is_none());
    file.text(label).await
}

async fn rest(text: &mut Text) -> Result<Vec<u8>, StageError> {
    let mut whole = Vec::new();
    while let Some(piece) = text.next().await? {
        assert!(!piece.is_empty() && piece.len() <= 1024 * 1024);
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Every way in which a text may be packed.
fn packed(content: &[u8]) -> Vec<Vec<u8>> {
    let deflated = zip::ZipEntry::new("a.csv", Compression::Deflate, content);
    let stored = zip::ZipEntry::new("a.csv", Compression::None, content);
    let mut all: Vec<_> = [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Bzip2]
        .into_iter()
        .map(|compression| compress(compression, content))
        .collect();
    all.extend([zip::zip(&[deflated], None), zip::zip(&[stored], None)]);
    all
}

#[tokio::test]
async fn large_objects_are_read_whole_and_counted() {
    let content = lines(13_000_000);
    for bytes in packed(&content) {
        let size = bytes.len() as u64;
        let (context, source) = landed("a", bytes).await;
        let mut text = open(&context, &source, None).await.expect("opens");
        assert!(rest(&mut text).await.expect("reads") == content);
        assert!(text.bytes_read() <= size && text.bytes_read() > size - 200);
        for skipped in [1, 70_000, 4_194_304, 12_999_999, content.len()] {
            let mut text = open(&context, &source, None).await.expect("opens");
            text.skip(skipped as u64).await.expect("skips");
            assert!(rest(&mut text).await.expect("reads") == content[skipped..], "{skipped}");
        }
    }
}

#[tokio::test]
async fn skipping_is_reading_and_discarding_at_every_byte() {
    let content = "id,näme\n1,größe\n2,€\n3,😀\n".repeat(3);
    for (label, mark) in
        [("utf-8", ""), ("utf-8", "\u{feff}"), ("utf-16le", ""), ("utf-16be", "\u{feff}"), ("gb18030", "")]
    {
        let charset = crate::source::charset::detect(encoding(label).ok(), b"").0;
        let original = charset.encode(format!("{mark}{content}").as_bytes());
        for bytes in packed(&original) {
            let (context, source) = landed("a", bytes).await;
            for skipped in 0..=content.len() + 1 {
                let mut text = open(&context, &source, Some(label)).await.expect("opens");
                text.skip(skipped as u64).await.expect("skips");
                let expected = content.as_bytes().get(skipped..).unwrap_or_default();
                assert_eq!(rest(&mut text).await.expect("reads"), expected, "{label} {mark:?} {skipped}");
                assert_eq!(text.charset(), charset);
                assert_eq!(text.encode(content.as_bytes()).len() as u64, text.original_len(content.as_bytes()));
                assert_eq!(text.byte_order_mark_bytes() + text.original_len(content.as_bytes()), original.len() as u64);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_objects_never_panic(
        start in prop::sample::select(vec![&b"PK\x03\x04"[..], b"PK\x05\x06", b"\x1f\x8b\x08", b"BZh91AY&SY", b"\xff\xfe", b""]),
        bytes in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (context, source) = landed("a", [start, &bytes].concat()).await;
            if let Ok(mut text) = open(&context, &source, None).await {
                let _ = rest(&mut text).await;
            }
        });
    }
}

#[tokio::test]
async fn peeking_loses_nothing() {
    let content = lines(600_000);
    for bytes in packed(&content) {
        let (context, source) = landed("a", bytes).await;
        let mut file = Files::open(&context, &source).await.expect("opens").next().await.expect("opens").expect("one");
        for bytes in [3, 300_000, 100, 1_000_000] {
            let start = file.peek(bytes).await.expect("peeks");
            assert!(start.len() >= bytes.min(content.len()) && content.starts_with(&start));
        }
        let mut body = file.into_bytes();
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().await.expect("reads") {
            whole.extend_from_slice(&chunk);
        }
        assert!(whole == content);
    }
}

#[tokio::test]
async fn formats_are_told_from_what_is_packed() {
    for bytes in packed(b"a\tb\n1\t2\n") {
        let (context, source) = landed("table.tsv.gz", bytes).await;
        let mut file = Files::open(&context, &source).await.expect("opens").next().await.expect("opens").expect("one");
        let expected = if file.name.is_some() { Format::Csv } else { Format::Tsv };
        assert_eq!(file.plain().is_some(), file.compression() == Compression::None && file.name.is_none());
        assert_eq!(file.format(None, None).await.expect("is told"), expected);
        assert_eq!(file.format(Some(Format::Tsv), None).await.expect("is told"), Format::Tsv);
    }
    let utf16: Vec<u8> = "{\"a\": 1}\n{\"a\": 2}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (context, source) = landed("a", utf16).await;
    let mut file = Files::open(&context, &source).await.expect("opens").next().await.expect("opens").expect("one");
    assert_eq!(file.format(None, Some("utf-16")).await.expect("is told"), Format::Ndjson);
    let error = file.format(None, None).await.expect_err("has NULs");
    assert!(error.to_string().contains("encoding: utf-16le"), "{error}");
    let error = file.format(None, Some("utf-61")).await.expect_err("is no encoding");
    assert_eq!(error.kind(), ErrorKind::InvalidSpec);
}

#[tokio::test]
async fn what_is_packed_otherwise_is_refused() {
    let (context, source) = landed("a.csv.xz", &b"\xfd7zXZ\x00\x00\x04"[..]).await;
    let error = open(&context, &source, None).await.map(drop).expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
    assert!(error.to_string().contains("xz data, which is not read"), "{error}");
}

#[tokio::test]
async fn a_replaced_object_is_noticed_wherever_it_is_read() {
    let content = lines(9_000_000);
    for bytes in packed(&content) {
        let (context, source) = landed("a", bytes).await;
        let mut text = open(&context, &source, None).await.expect("opens");
        store::put(&*context.stores, &ObjectRef::new("landing", "a"), "new").await.expect("is written");
        let read = rest(&mut text).await;
        // What was small enough to be fetched before is the pinned version and right.
        match read {
            Ok(read) => assert!(read == content && source.size < 3 * 4 * 1024 * 1024),
            Err(error) => assert_eq!(error.kind(), ErrorKind::SourceChanged),
        }
        let error = Files::open(&context, &source).await.map(drop).expect_err("is changed");
        assert_eq!(error.kind(), ErrorKind::SourceChanged);
    }
}

#[test]
fn dropping_the_text_ends_its_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let content = lines(20_000_000);
    runtime.block_on(async {
        for bytes in packed(&content) {
            let (context, source) = landed("a", bytes).await;
            let mut text = open(&context, &source, None).await.expect("opens");
            assert!(text.next().await.expect("reads").is_some());
        }
    });
    // Waits for the threads: would hang if one of them went on waiting for its reader.
    drop(runtime);
}
