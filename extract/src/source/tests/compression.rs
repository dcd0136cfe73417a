use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use stepwell_pipeline::{ErrorKind, StageError};

use super::{compress, lines, squeeze};
use crate::source::compression::{Claim, Compression, Input, Meter, decompress};

const ALL: [Compression; 3] = [Compression::Gzip, Compression::Zstd, Compression::Bzip2];

/// Decompresses bytes that come in chunks of the given sizes, over and over.
fn unpack(compression: Compression, packed: &[u8], chunks: &[usize]) -> Result<Vec<u8>, StageError> {
    let packed = Bytes::copy_from_slice(packed);
    let mut sizes = chunks.iter().copied().cycle();
    let mut offset = 0;
    let next = move || {
        let end = packed.len().min(offset + sizes.next().unwrap_or(packed.len()).max(1));
        let chunk = packed.slice(offset..end);
        offset = end;
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    };
    let mut content = Vec::new();
    let input = Input::new(next, Arc::<Meter>::default(), "s3://b/k".into());
    decompress(compression, None, input, |chunk| {
        content.extend_from_slice(&chunk);
        true
    })?;
    Ok(content)
}

fn error(result: Result<Vec<u8>, StageError>) -> String {
    let error = result.expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
    error.to_string()
}

fn compressions() -> impl Strategy<Value = Compression> {
    prop::sample::select(ALL.to_vec())
}

proptest! {
    #[test]
    fn any_streams_in_any_chunks_give_the_content(
        compression in compressions(),
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..5),
        chunks in prop::collection::vec(1_usize..2000, 1..5),
        padding in 0_usize..600,
    ) {
        let mut packed: Vec<u8> = contents.iter().flat_map(|content| compress(compression, content)).collect();
        if compression == Compression::Gzip {
            packed.resize(packed.len() + padding, 0);
        }
        prop_assert_eq!(unpack(compression, &packed, &chunks).expect("unpacks"), contents.concat());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        compression in compressions(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
    ) {
        let start = compress(compression, b"a,b\n1,2\n");
        let mut packed = start[..cut.index(start.len())].to_vec();
        packed.extend(bytes);
        let _ = unpack(compression, &packed, &[7]);
    }
}

#[test]
fn contents_of_many_chunks_are_whole() {
    let content = lines(3_000_000);
    for compression in ALL {
        let packed = compress(compression, &content);
        assert!(unpack(compression, &packed, &[65_536]).expect("unpacks") == content, "{compression:?}");
        assert_eq!(Compression::detect(&packed), compression);
    }
}

#[test]
fn truncated_data_are_an_error_at_every_byte() {
    let content = lines(2000);
    for compression in ALL {
        let packed = compress(compression, &content);
        for end in 1..packed.len() {
            let message = error(unpack(compression, &packed[..end], &[100]));
            assert!(message.contains("truncated") && message.contains(compression.name()), "{end}: {message}");
        }
    }
}

#[test]
fn truncated_later_streams_are_an_error_at_every_byte() {
    let content = lines(300);
    for compression in ALL {
        let one = compress(compression, &content);
        let two = [one.clone(), one.clone()].concat();
        for end in one.len() + 1..two.len() {
            error(unpack(compression, &two[..end], &[50]));
        }
        assert_eq!(unpack(compression, &one, &[50]).expect("unpacks"), content);
    }
}

#[test]
fn flipped_bits_are_an_error_or_change_nothing() {
    let content = lines(1500);
    for compression in ALL {
        let packed = compress(compression, &content);
        let mut errors = 0;
        for at in 0..packed.len() * 8 {
            let mut damaged = packed.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            match unpack(compression, &damaged, &[4096]) {
                Ok(unpacked) => assert!(unpacked == content, "{compression:?}: bit {at} is lost silently"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::UnreadableSource);
                    errors += 1;
                }
            }
        }
        assert!(errors > packed.len() * 7, "{compression:?}: {errors} errors of {} bits", packed.len() * 8);
    }
}

#[test]
fn what_follows_the_data_is_named() {
    for compression in ALL {
        let packed = compress(compression, b"a,b\n1,2\n");
        for garbage in [&b"\n"[..], b"garbage", b"\x00\x00\x00garbage", b"PK\x03\x04"] {
            let message = error(unpack(compression, &[&packed, garbage].concat(), &[5]));
            assert!(message.contains("goes on with something else"), "{message}");
        }
    }
    let gzip = compress(Compression::Gzip, b"a\n");
    let message = error(unpack(Compression::Gzip, &[&gzip[..], b"\x1fabcdefghijklmnop"].concat(), &[500]));
    assert!(message.contains("goes on with something else"), "{message}");
    let message = error(unpack(Compression::Gzip, &[&gzip[..], &[0; 4], &gzip].concat(), &[500]));
    assert!(message.contains("goes on with something else"), "{message}");
}

#[test]
fn skippable_zstd_frames_are_skipped() {
    let frame = compress(Compression::Zstd, b"a\n");
    let packed = [b"\x52\x2a\x4d\x18\x03\x00\x00\x00abc", &frame[..], b"\x50\x2a\x4d\x18\x00\x00\x00\x00", &frame];
    assert_eq!(Compression::detect(packed[0]), Compression::Zstd);
    assert_eq!(unpack(Compression::Zstd, &packed.concat(), &[3]).expect("unpacks"), b"a\na\n");
}

#[test]
fn zstd_windows_beyond_the_memory_cap_are_refused() {
    let packed = |window_log| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("compresses");
        encoder.window_log(window_log).expect("is a window");
        std::io::Write::write_all(&mut encoder, &lines(1000)).expect("compresses");
        encoder.finish().expect("compresses")
    };
    assert_eq!(unpack(Compression::Zstd, &packed(25), &[4096]).expect("unpacks"), lines(1000));
    let message = error(unpack(Compression::Zstd, &packed(26), &[4096]));
    assert!(message.contains("window of more than 32 MiB"), "{message}");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let record = b"1,2,3,4,5,6,7,8\n".repeat(4096);
    let content = record.repeat(200 * 1024 * 1024 / record.len());
    for compression in [Compression::Gzip, Compression::Zstd] {
        let packed = squeeze(compression, &content);
        let mut unpacked = 0;
        let mut once = Some(Bytes::from(packed));
        let input = Input::new(move || Ok(once.take()), Arc::<Meter>::default(), "s3://b/k".into());
        let result = decompress(compression, None, input, |chunk| {
            unpacked += chunk.len();
            true
        });
        let message = error(result.map(|()| Vec::new()));
        assert!(message.contains("decompression bombs"), "{message}");
        assert!(unpacked <= 128 * 1024 * 1024);
    }
    let harmless = squeeze(Compression::Gzip, &content[..1024 * 1024]);
    assert!(harmless.len() * 100 < 1024 * 1024);
    assert_eq!(unpack(Compression::Gzip, &harmless, &[4096]).expect("unpacks").len(), 1024 * 1024);
}

#[test]
fn claims_are_verified() {
    let content = lines(1000);
    let packed = Bytes::from(compress(Compression::Deflate, &content));
    let unpack = |claim| {
        let mut once = Some(packed.clone());
        let input = Input::new(move || Ok(once.take()), Arc::<Meter>::default(), "`a`".into());
        decompress(Compression::Deflate, Some(claim), input, |_| true).map_err(|error| error.to_string())
    };
    let claim = Claim { size: content.len() as u64, crc32: crc32fast::hash(&content) };
    assert_eq!(unpack(claim), Ok(()));
    assert!(unpack(Claim { size: claim.size + 1, ..claim }).expect_err("differs").contains("bytes that it says"));
    assert!(unpack(Claim { size: claim.size - 1, ..claim }).expect_err("differs").contains("holds more than"));
    assert!(unpack(Claim { crc32: !claim.crc32, ..claim }).expect_err("differs").contains("checksum"));
}

#[test]
fn nothing_more_is_read_when_nobody_wants_it() {
    let packed = Bytes::from(compress(Compression::Gzip, &lines(2_000_000)));
    let meter = Arc::<Meter>::default();
    let mut offset = 0;
    let next = || {
        let chunk = packed.slice(offset..packed.len().min(offset + 1000));
        offset += chunk.len();
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    };
    decompress(Compression::Gzip, None, Input::new(next, meter.clone(), "k".into()), |_| false).expect("stops");
    assert!(meter.bytes_read() < packed.len() as u64 / 2);
}

#[test]
fn errors_of_the_input_keep_their_kind() {
    for compression in ALL {
        let mut once = Some(Bytes::from(compress(compression, &lines(5000)).split_off(0)).slice(..40));
        let next = move || match once.take() {
            Some(chunk) => Ok(Some(chunk)),
            None => Err(StageError::new(ErrorKind::SourceChanged, "changed")),
        };
        let input = Input::new(next, Arc::<Meter>::default(), "k".into());
        let error = decompress(compression, None, input, |_| true).expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{compression:?}");
    }
}

#[test]
fn headers_that_resemble_magic_numbers_are_text() {
    for start in [&b"BZh9,name\n"[..], b"BZ", b"P*M", b"(\xb5/", b"", b"\x1f\x8b\x07"] {
        assert_eq!(Compression::detect(start), Compression::None);
    }
}
