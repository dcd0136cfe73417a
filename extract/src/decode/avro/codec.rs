use std::io::Read;

/// What a block may take when it is decompressed.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The CRC-32 of the decompressed bytes that follows a block in Snappy.
const CHECKSUM_BYTES: usize = 4;

/// How the blocks of a file are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    /// The codec of a name in a file's header; none: `null`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "null" => Self::Null,
            "deflate" => Self::Deflate,
            "snappy" => Self::Snappy,
            "zstandard" => Self::Zstandard,
            _ => return None,
        })
    }

    /// Appends a block's decompressed bytes.
    pub(super) fn decompress(self, data: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Null => {
                out.extend_from_slice(data);
                Ok(())
            }
            Self::Deflate => bounded(flate2::read::DeflateDecoder::new(data), out),
            Self::Zstandard => bounded(zstd::Decoder::with_buffer(data).map_err(|error| error.to_string())?, out),
            Self::Snappy => snappy(data, out),
        }
    }
}

fn bounded(decoder: impl Read, out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    decoder.take(BLOCK_BYTES_MAX as u64 + 1).read_to_end(out).map_err(|error| error.to_string())?;
    match out.len() - start > BLOCK_BYTES_MAX {
        true => Err(too_large()),
        false => Ok(()),
    }
}

fn too_large() -> String {
    format!(
        "it decompresses to more than the {BLOCK_BYTES_MAX} bytes that are allowed; write the file with smaller blocks"
    )
}

fn snappy(data: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let Some((data, checksum)) = data.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err("it is shorter than its checksum".into());
    };
    let bytes = snap::raw::decompress_len(data).map_err(|error| error.to_string())?;
    if bytes > BLOCK_BYTES_MAX {
        return Err(too_large());
    }
    let start = out.len();
    out.resize(start + bytes, 0);
    snap::raw::Decoder::new().decompress(data, &mut out[start..]).map_err(|error| error.to_string())?;
    let mut crc = flate2::Crc::new();
    crc.update(&out[start..]);
    match crc.sum() == u32::from_be_bytes(*checksum) {
        true => Ok(()),
        false => Err("its checksum is another".into()),
    }
}
