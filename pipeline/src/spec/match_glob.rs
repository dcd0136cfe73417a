use globset::{GlobBuilder, GlobMatcher};

/// What `match` says of keys, compiled.
#[derive(Clone, Debug)]
pub struct MatchGlob {
    pattern: String,
    matcher: GlobMatcher,
    /// What a key must end in one of, where there are any.
    suffixes: Vec<String>,
}

impl MatchGlob {
    /// Compiles a glob: `*` and `?` stay within a segment, `**` crosses segments.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("`{pattern}` is no glob: {}", error.kind()))?;
        Ok(Self { pattern: pattern.to_owned(), matcher: glob.compile_matcher(), suffixes: Vec::new() })
    }

    /// The same glob for keys alone that end in one of these; in any, where there are none.
    #[must_use]
    pub fn with_suffixes(self, suffixes: Vec<String>) -> Self {
        Self { suffixes, ..self }
    }

    /// Whether a decoded key fits.
    pub fn fits(&self, key: &str) -> bool {
        let has_suffix = self.suffixes.is_empty() || self.suffixes.iter().any(|suffix| key.ends_with(suffix));
        has_suffix && self.matcher.is_match(key)
    }

    /// The pattern as written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What every fitting key begins with.
    pub fn literal_prefix(&self) -> &str {
        let end = self.pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(self.pattern.len());
        &self.pattern[..end]
    }

    /// The folder that every fitting key is in; empty or ends in `/`.
    pub fn folder(&self) -> &str {
        let prefix = self.literal_prefix();
        &prefix[..prefix.rfind('/').map_or(0, |slash| slash + 1)]
    }

    /// Whether some key that begins with `prefix` might fit. Errs towards yes.
    pub fn may_fit_below(&self, prefix: &str) -> bool {
        let literal = self.literal_prefix();
        literal.starts_with(prefix) || prefix.starts_with(literal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_segment() {
        let glob = MatchGlob::new("flights/*.csv*").expect("a glob");
        assert!(glob.fits("flights/2013 ü+.csv"));
        assert!(!glob.fits("flights/2013/01.csv"));
        assert!(MatchGlob::new("flights/**/*.csv").expect("a glob").fits("flights/2013/01.csv"));
    }

    #[test]
    fn one_of_the_suffixes_ends_the_key() {
        let glob = MatchGlob::new("in/*").expect("a glob").with_suffixes(vec![".json".into(), ".json.gz".into()]);
        assert!(glob.fits("in/a.json") && glob.fits("in/a.json.gz"));
        assert!(!glob.fits("in/a.csv") && !glob.fits("out/a.json"));
    }

    #[test]
    fn a_prefix_that_the_glob_could_reach_is_seen() {
        let glob = MatchGlob::new("flights/*.csv").expect("a glob");
        assert!(glob.may_fit_below("flights/out/"));
        assert!(glob.may_fit_below(""));
        assert!(!glob.may_fit_below("flight-table/"));
        assert!(MatchGlob::new("**/*.csv").expect("a glob").may_fit_below("anything/"));
    }
}
