//! Zip archives byte by byte, honest and not (APPNOTE 4.3).

use super::compress;
use crate::source::compression::Compression;

#[derive(Clone)]
pub(super) struct ZipEntry {
    pub(super) name: Vec<u8>,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) crc32: u32,
    pub(super) size: u64,
    pub(super) packed: Vec<u8>,
    pub(super) zip64: bool,
    /// What the directory says where it differs from where the entry is.
    pub(super) offset: Option<u32>,
    /// What the local header says where it differs from the directory.
    pub(super) local_name: Option<Vec<u8>>,
}

impl ZipEntry {
    pub(super) fn new(name: impl AsRef<[u8]>, compression: Compression, content: &[u8]) -> Self {
        let method = match compression {
            Compression::None => 0,
            Compression::Deflate => 8,
            Compression::Bzip2 => 12,
            Compression::Zstd => 93,
            Compression::Gzip => panic!("no method of zip"),
        };
        Self {
            name: name.as_ref().to_vec(),
            method,
            flags: 0,
            crc32: crc32fast::hash(content),
            size: content.len() as u64,
            packed: compress(compression, content),
            zip64: false,
            offset: None,
            local_name: None,
        }
    }

    fn common(&self, local: bool, extra_bytes: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        // With a data descriptor (bit 3), the local header gives no sizes.
        let described = local && self.flags & 8 != 0;
        let (crc32, packed, size) = match (described, self.zip64) {
            (true, _) => (0, 0, 0),
            (false, true) => (self.crc32, u32::MAX, u32::MAX),
            (false, false) => (self.crc32, self.packed.len() as u32, self.size as u32),
        };
        let name = self.local_name.as_ref().filter(|_| local).unwrap_or(&self.name);
        bytes.extend(45_u16.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(crc32.to_le_bytes());
        bytes.extend(packed.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend(extra_bytes.to_le_bytes());
        bytes
    }

    fn local(&self) -> Vec<u8> {
        // An extra field that the directory does not have, as Info-ZIP writes them.
        let extra = b"UT\x05\x00\x01abcd";
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend(self.common(true, extra.len() as u16));
        bytes.extend(self.local_name.as_ref().unwrap_or(&self.name));
        bytes.extend(extra);
        bytes.extend(&self.packed);
        if self.flags & 8 != 0 {
            bytes.extend(b"PK\x07\x08");
            bytes.extend(self.crc32.to_le_bytes());
            bytes.extend((self.packed.len() as u32).to_le_bytes());
            bytes.extend((self.size as u32).to_le_bytes());
        }
        bytes
    }

    fn record(&self, offset: u32) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.zip64 {
            extra.extend([1, 0, 16, 0]);
            extra.extend(self.size.to_le_bytes());
            extra.extend((self.packed.len() as u64).to_le_bytes());
        }
        let mut bytes = b"PK\x01\x02\x2d\x00".to_vec();
        bytes.extend(self.common(false, extra.len() as u16));
        bytes.extend([0; 10]);
        bytes.extend(self.offset.unwrap_or(offset).to_le_bytes());
        bytes.extend(&self.name);
        bytes.extend(extra);
        bytes
    }
}

/// The archive of the entries; `directory_entries` is what its end says where it differs.
pub(super) fn zip(entries: &[ZipEntry], directory_entries: Option<u16>) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        directory.extend(entry.record(bytes.len() as u32));
        bytes.extend(entry.local());
    }
    let (start, size) = (bytes.len() as u64, directory.len() as u64);
    let count = directory_entries.unwrap_or(entries.len() as u16);
    bytes.extend(directory);
    if entries.iter().any(|entry| entry.zip64) {
        let end64 = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(u64::from(count).to_le_bytes());
        bytes.extend(u64::from(count).to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        bytes.extend(b"PK\x06\x07\x00\x00\x00\x00");
        bytes.extend(end64.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(b"PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00");
    } else {
        bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
        bytes.extend(count.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend((size as u32).to_le_bytes());
        bytes.extend((start as u32).to_le_bytes());
        bytes.extend([0, 0]);
    }
    bytes
}
