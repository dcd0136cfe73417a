use sha2::{Digest, Sha256};

/// The id of an execution as a run of OpenLineage, which must be a UUID: always the same for the same execution.
///
/// It is of version 8, made of a SHA-256 (RFC 9562, section 5.8 and appendix B.2); version 5 would be of the same kind,
/// but of SHA-1.
pub fn run_uuid(execution_id: &str) -> String {
    let hash = Sha256::new().chain_update(b"stepwell execution ").chain_update(execution_id.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let number = u128::from_be_bytes(bytes);
    let digits = format!("{number:032x}");
    let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_8_and_hang_on_the_execution_alone() {
        let id = run_uuid("arn:aws:states:eu-central-1:1:execution:etl:a");
        assert_eq!(id, run_uuid("arn:aws:states:eu-central-1:1:execution:etl:a"));
        assert_ne!(id, run_uuid("arn:aws:states:eu-central-1:1:execution:etl:b"));
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "8");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        assert!(id.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit()));
    }
}
