//! Zip archives as they should not be written, too.

/// A zip archive of stored entries.
pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = archive.len() as u32;
        let bytes = content.len() as u32;
        let mut header = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        header.extend(crc32fast::hash(content).to_le_bytes());
        header.extend([bytes.to_le_bytes(), bytes.to_le_bytes()].concat());
        header.extend((name.len() as u32).to_le_bytes());
        archive.extend([b"PK\x03\x04", &header[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\0", &header[..], &[0; 10], &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, start) = ((entries.len() as u16).to_le_bytes(), (archive.len() as u32).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    archive.extend([&directory[..], b"PK\x05\x06\0\0\0\0", &count, &count, &size, &start, b"\0\0"].concat());
    archive
}
