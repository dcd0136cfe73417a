#![allow(clippy::expect_used, reason = "tests fail by panicking")]

use std::io::Write;

use futures::stream;

use super::*;
use crate::decode::typed::record_json;

const SCHEMA: &str = r#"{"type":"record","name":"person","namespace":"org.example","fields":[
    {"name":"id","type":"long"},
    {"name":"name","type":["null","string"]},
    {"name":"born","type":{"type":"int","logicalType":"date"}},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"home","type":{"type":"record","name":"address","fields":[{"name":"city","type":"string"}]}},
    {"name":"work","type":["null","address"]},
    {"name":"colour","type":{"type":"enum","name":"colour","symbols":["red","green"]}},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"amounts","type":{"type":"map","values":"double"}}
]}"#;
const SYNC: [u8; 16] = *b"0123456789abcdef";

fn text(text: &str, out: &mut Vec<u8>) {
    frames::write_long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

fn person(id: i64) -> Vec<u8> {
    let mut out = Vec::new();
    frames::write_long(id, &mut out);
    if id % 3 == 0 {
        frames::write_long(0, &mut out);
    } else {
        frames::write_long(1, &mut out);
        text(&format!("name {id}"), &mut out);
    }
    frames::write_long(id, &mut out);
    frames::write_long(1, &mut out);
    text("tag", &mut out);
    frames::write_long(0, &mut out);
    text("Köln", &mut out);
    frames::write_long(0, &mut out);
    frames::write_long(id % 2, &mut out);
    frames::write_long(2, &mut out);
    out.extend([0x01, 0x2c]);
    frames::write_long(id * 1_000_001, &mut out);
    frames::write_long(1, &mut out);
    text("eur", &mut out);
    out.extend(1.5_f64.to_le_bytes());
    frames::write_long(0, &mut out);
    out
}

fn expected(id: i64) -> String {
    let name = if id % 3 == 0 { "null".to_owned() } else { format!(r#""name {id}""#) };
    let colour = ["red", "green"][id as usize % 2];
    format!(
        r#"{{"id":{id},"name":{name},"born":"1970-01-{:02}","tags":["tag"],"home":{{"city":"Köln"}},"work":null,"colour":"{colour}","price":3.00,"at":"1970-01-01T00:00:{id:02}{}+00:00","amounts":{{"eur":1.5}}}}"#,
        id + 1,
        if id == 0 { String::new() } else { format!(".{id:06}") },
    )
}

fn compress(codec: &str, data: &[u8]) -> Vec<u8> {
    match codec {
        "deflate" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(data).expect("in memory");
            encoder.finish().expect("in memory")
        }
        "zstandard" => zstd::encode_all(data, 3).expect("in memory"),
        "snappy" => {
            let mut crc = flate2::Crc::new();
            crc.update(data);
            let mut block = snap::raw::Encoder::new().compress_vec(data).expect("in memory");
            block.extend(crc.sum().to_be_bytes());
            block
        }
        _ => data.to_vec(),
    }
}

fn header(schema: &str, codec: &str) -> Vec<u8> {
    let mut file = b"Obj\x01".to_vec();
    frames::write_long(2, &mut file);
    [("avro.schema", schema), ("avro.codec", codec)].iter().for_each(|(key, value)| {
        text(key, &mut file);
        text(value, &mut file);
    });
    frames::write_long(0, &mut file);
    file.extend(SYNC);
    file
}

fn block(codec: &str, records: i64, data: &[u8], file: &mut Vec<u8>) {
    let data = compress(codec, data);
    frames::write_long(records, file);
    frames::write_long(data.len() as i64, file);
    file.extend(data);
    file.extend(SYNC);
}

/// Persons in blocks of three.
fn file(codec: &str, persons: i64) -> Vec<u8> {
    let mut file = header(SCHEMA, codec);
    for start in (0..persons).step_by(3) {
        let ids = start..(start + 3).min(persons);
        let data: Vec<u8> = ids.clone().flat_map(person).collect();
        block(codec, ids.end - ids.start, &data, &mut file);
    }
    file
}

async fn read(file: &[u8], first_record: u64, chunk_bytes: usize) -> Result<Vec<String>, StageError> {
    let chunks: Vec<_> = file.chunks(chunk_bytes).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    let file = AvroFile::open("s3://landing/in/people.avro", stream::iter(chunks)).await?;
    let columns: Vec<usize> = (0..file.schema().fields().len()).collect();
    let mut blocks = file.read(&columns, first_record);
    let mut lines = Vec::new();
    while let Some(block) = blocks.next().await? {
        assert_eq!(block.first_record, first_record + lines.len() as u64);
        let line = |row| String::from_utf8(record_json(&block.batch, row, &[])).expect("UTF-8");
        lines.extend((0..block.batch.num_rows()).map(line));
    }
    Ok(lines)
}

#[tokio::test]
async fn every_codec_chunking_and_resumption_gives_the_same_records() {
    let whole: Vec<String> = (0..10).map(expected).collect();
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let file = file(codec, 10);
        for chunk_bytes in [1, 7, 100, 100_000] {
            assert_eq!(read(&file, 0, chunk_bytes).await.expect("readable"), whole, "{codec} in {chunk_bytes}s");
        }
        for first in 0..=10 {
            assert_eq!(
                read(&file, first, 50).await.expect("readable"),
                whole[first as usize..],
                "{codec} from {first}"
            );
        }
    }
}

#[tokio::test]
async fn a_cut_file_is_told_unless_it_is_cut_between_blocks() {
    let file = file("deflate", 10);
    let mut whole = 0;
    for length in 0..file.len() {
        match read(&file[..length], 0, 1000).await {
            Ok(lines) => {
                assert_eq!(lines.len() % 3, 0);
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnreadableSource, "{length}: {}", error.report()),
        }
    }
    assert_eq!(whole, 4, "after the header and after each of three blocks");
}

#[tokio::test]
async fn flipped_bits_give_records_or_a_named_error() {
    for codec in ["null", "snappy"] {
        let file = file(codec, 6);
        for position in 0..file.len() {
            let mut flipped = file.clone();
            flipped[position] ^= 1 << (position % 8);
            if let Err(error) = read(&flipped, 0, 1000).await {
                assert_eq!(error.kind(), ErrorKind::UnreadableSource, "byte {position}: {}", error.report());
            }
        }
    }
}

#[tokio::test]
async fn broken_blocks_are_named_by_their_offset() {
    let start = header(SCHEMA, "null").len();
    let cases: [(&str, i64, Vec<u8>); 4] = [
        ("bytes left over", 1, [person(1), vec![0; 3]].concat()),
        ("a record too few", 2, person(1)),
        ("a record too many", 1, [person(1), person(2)].concat()),
        ("more records than bytes", i64::MAX, person(1)),
    ];
    for (case, records, data) in cases {
        let mut file = header(SCHEMA, "null");
        block("null", records, &data, &mut file);
        let error = read(&file, 0, 1000).await.expect_err(case);
        assert_eq!(error.kind(), ErrorKind::UnreadableSource, "{case}");
        assert!(error.to_string().contains(&format!("at byte {start}")), "{case}: {error}");
    }
}

#[tokio::test]
async fn a_block_that_decompresses_to_too_much_is_refused() {
    for codec in ["deflate", "zstandard", "snappy"] {
        let mut file = header(r#"{"type":"record","name":"r","fields":[{"name":"text","type":"bytes"}]}"#, codec);
        let mut data = Vec::new();
        frames::write_long(70 * 1024 * 1024, &mut data);
        data.resize(data.len() + 70 * 1024 * 1024, 0);
        block(codec, 1, &data, &mut file);
        let error = read(&file, 0, 100_000).await.expect_err("too large");
        assert!(error.to_string().contains("smaller blocks"), "{codec}: {error}");
    }
}

#[tokio::test]
async fn foreign_and_strange_files_are_refused() {
    let cases = [
        ("id,name\n1,a\n".as_bytes().to_vec(), "is no Avro object container file"),
        (header(SCHEMA, "lzma"), "is compressed with `lzma`"),
        (header(r#""long""#, "null"), "does not consist of records"),
        (header(r#"{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}"#, "null"), "schema"),
        (header("{", "null"), "schema"),
    ];
    for (file, expected) in cases {
        let error = read(&file, 0, 1000).await.expect_err(expected);
        assert_eq!(error.kind(), ErrorKind::UnreadableSource, "{expected}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
