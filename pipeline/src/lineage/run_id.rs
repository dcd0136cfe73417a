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
        // SHA-256 by Python's hashlib, its first 16 bytes, version and variant set by hand.
        for (name, expected) in [
            ("a", "d7ccc096-997c-8882-a5bd-4f7629dba331"),
            ("b", "7906fc38-f0a9-8568-9bc2-6c1bc6c8c2b7"),
            ("c", "08003471-54b6-8078-a1ea-8117ec508020"),
        ] {
            assert_eq!(run_uuid(&format!("arn:aws:states:eu-central-1:1:execution:etl:{name}")), expected);
        }
    }
}
