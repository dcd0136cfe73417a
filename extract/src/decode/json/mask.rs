//! Masks personal data in the text of a record.

use super::{
    scan::{DEPTH_MAX, Fault, Scanner, Stops},
    string::unescape,
};

/// What stands for a masked value.
const MASK: &[u8] = b"\"***\"";

/// The record with the values at the paths replaced by `"***"`, wherever a key occurs more than once each of them.
///
/// Where a path does not lead on, because there is another value than an object or null on its way, that value is masked
/// as a whole; so is a record that is not well-formed JSON in UTF-8.
pub(crate) fn mask(record: &[u8], paths: &[&[String]]) -> Vec<u8> {
    let mut stops = Stops::default();
    stops.mark(record);
    let scan = Scanner::new(record, &stops, true);
    let mut masker = Masker { scan, out: Vec::with_capacity(record.len()), copied: 0 };
    let start = scan.space(0);
    let is_whole = |end| scan.space(end) == record.len();
    if std::str::from_utf8(record).is_err()
        || !scan.value(start, 0).is_ok_and(is_whole)
        || masker.value(start, paths, 0).is_err()
    {
        return MASK.to_vec();
    }
    masker.out.extend_from_slice(&record[masker.copied..]);
    masker.out
}

struct Masker<'a> {
    scan: Scanner<'a>,
    out: Vec<u8>,
    /// The bytes of the record that are in `out` already, masked or not.
    copied: usize,
}

impl Masker<'_> {
    /// Masks in the value at `at` what the paths, which begin there, lead to: the offset behind it.
    fn value(&mut self, at: usize, paths: &[&[String]], depth: usize) -> Result<usize, Fault> {
        let is_object = self.scan.at(at) == b'{';
        let is_array = self.scan.at(at) == b'[';
        if paths.is_empty() {
            return self.scan.value(at, depth);
        }
        let is_index = |path: &&[String]| path.first().is_some_and(|step| step.parse::<usize>().is_ok());
        let is_followed = is_object || (is_array && paths.iter().all(is_index));
        if depth >= DEPTH_MAX || !is_followed || paths.iter().any(|path| path.is_empty()) {
            let end = self.scan.value(at, depth)?;
            if self.scan.at(at) != b'n' || paths.iter().any(|path| path.is_empty()) {
                self.out.extend_from_slice(&self.scan.text[self.copied..at]);
                self.out.extend_from_slice(MASK);
                self.copied = end;
            }
            return Ok(end);
        }
        let mut at = self.scan.space(at + 1);
        if matches!(self.scan.at(at), b'}' | b']') {
            return Ok(at + 1);
        }
        for index in 0_usize.. {
            let name = if is_object {
                let (start, close, _, value) = self.scan.key(at)?;
                at = value;
                let mut name = Vec::new();
                unescape(&mut name, &self.scan.text[start..close]);
                name
            } else {
                index.to_string().into_bytes()
            };
            let inner: Vec<&[String]> = paths
                .iter()
                .filter_map(|path| path.split_first())
                .filter(|(step, _)| step.as_bytes() == name)
                .map(|(_, rest)| rest)
                .collect();
            let end = self.value(at, &inner, depth + 1)?;
            at = self.scan.space(end);
            if self.scan.at(at) != b',' {
                break;
            }
            at = self.scan.space(at + 1);
        }
        Ok(at + 1)
    }
}
