#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod archive;
mod charset;
mod compression;
mod files;
mod sniff;
mod zip;

use std::{io::Write, sync::Arc};

use stepwell_pipeline::{
    progress::Unwatched,
    run::Source,
    stage::{Buckets, StageContext},
    store::{self, MemoryStores, ObjectRef},
};

use super::compression::Compression;

/// A context whose landing bucket holds one object, and the object, pinned.
pub(super) async fn landed(key: &str, bytes: impl Into<bytes::Bytes>) -> (StageContext, Source) {
    let buckets = Buckets { landing: "landing".into(), work: "work".into(), lake: "lake".into() };
    let context = StageContext::new(Arc::new(MemoryStores::default()), buckets, Arc::new(Unwatched));
    let object = ObjectRef::new("landing", key);
    store::put(&*context.stores, &object, bytes).await.expect("is written");
    let meta = store::head(&*context.stores, &object).await.expect("is there").expect("is there");
    let source = Source {
        bucket: object.bucket,
        key: object.key,
        version: None,
        etag: meta.e_tag.expect("has an etag"),
        size: meta.size,
        modified_ms: 0,
        sequencer: None,
    };
    (context, source)
}

pub(super) fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    match compression {
        Compression::None => packed.extend_from_slice(bytes),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::fast());
            encoder.write_all(bytes).expect("compresses");
            encoder.finish().expect("compresses");
        }
        Compression::Deflate => {
            let mut encoder = flate2::write::DeflateEncoder::new(&mut packed, flate2::Compression::fast());
            encoder.write_all(bytes).expect("compresses");
            encoder.finish().expect("compresses");
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(&mut packed, 3).expect("compresses");
            encoder.include_checksum(true).expect("compresses");
            encoder.write_all(bytes).expect("compresses");
            encoder.finish().expect("compresses");
        }
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(&mut packed, bzip2::Compression::fast());
            encoder.write_all(bytes).expect("compresses");
            encoder.finish().expect("compresses");
        }
    }
    packed
}

/// Compresses as bombs are.
pub(super) fn squeeze(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    let mut packed = Vec::new();
    match compression {
        Compression::Gzip => flate2::write::GzEncoder::new(&mut packed, level).write_all(bytes),
        Compression::Deflate => flate2::write::DeflateEncoder::new(&mut packed, level).write_all(bytes),
        _ => return compress(compression, bytes),
    }
    .expect("compresses");
    packed
}

/// Lines that look like data, a little over `bytes`.
pub(super) fn lines(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 64);
    let mut number = 1_u64;
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(text, "{},{:.2},some comment {}", number >> 40, (number >> 20 & 0xffff) as f64, number % 97)
            .expect("is written");
    }
    text
}
