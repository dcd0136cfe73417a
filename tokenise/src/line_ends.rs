use memchr::memchr_iter;

/// Counts line ends: LF, CRLF and lone CR are one each.
///
/// Counts of several pieces of a text add up as long as no CRLF is cut; what [`Tokeniser::index`] consumes never ends
/// within one.
///
/// [`Tokeniser::index`]: crate::Tokeniser::index
#[must_use]
pub fn line_ends(bytes: &[u8]) -> u64 {
    let line_feeds = memchr_iter(b'\n', bytes).count();
    let lone_returns = memchr_iter(b'\r', bytes).filter(|position| bytes.get(position + 1) != Some(&b'\n')).count();
    (line_feeds + lone_returns) as u64
}
