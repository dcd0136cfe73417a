//! What can still be read of a spec that is wrong.

use serde_json::Value;

/// The name and the glob of a spec that is wrong, where they can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Salvaged {
    pub(super) pipeline: Option<String>,
    pub(super) pattern: Option<String>,
}

impl Salvaged {
    /// Reads them from the document, or, where the text is no YAML, from the lines that hold them.
    pub(super) fn of(text: &str) -> Self {
        match serde_saphyr::from_str::<Value>(text) {
            Ok(document) => Self::of_document(&document),
            Err(_) => Self::of_lines(text),
        }
    }

    fn of_document(document: &Value) -> Self {
        let source = document.get("source").unwrap_or(document);
        let written = source.get("match");
        let pattern = written.map(|written| written.get("key").unwrap_or(written));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self { pipeline: document.get("pipeline").and_then(text), pattern: pattern.and_then(text) }
    }

    fn of_lines(text: &str) -> Self {
        let pipeline = text.lines().find_map(|line| scalar(line.strip_prefix("pipeline:")?));
        let written = text.match_indices("match:").map(|(at, word)| &text[at + word.len()..]);
        // The glob itself, or `key:` in braces or on one of the next lines.
        let pattern = written.map(str::trim_start).find_map(|rest| match rest.split_once("key:") {
            Some((before, rest)) if before.len() < 200 && is_opening(before) => scalar(rest),
            _ => scalar(rest),
        });
        Self { pipeline, pattern }
    }
}

/// Whether nothing but a brace and other keys of `match` stands there.
fn is_opening(before: &str) -> bool {
    let before = before.trim_start();
    before.is_empty()
        || before.starts_with('{')
        || ["min_bytes", "max_bytes", "suffix"].iter().any(|key| before.starts_with(key))
}

/// The plain or quoted text at the beginning.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim_start_matches([' ', '\t']);
    let value = match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].split([quote, '\n']).next()?,
        _ => text.split(['\n', ',', '}', '#']).next()?.trim_end(),
    };
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salvaged(text: &str) -> (Option<String>, Option<String>) {
        let Salvaged { pipeline, pattern } = Salvaged::of(text);
        (pipeline, pattern)
    }

    #[test]
    fn name_and_glob_survive_what_is_wrong_elsewhere() {
        for text in [
            "pipeline: one\nsource: { match: \"in/*.csv\" }\nsauce: 1\n",
            "pipeline: one\nsource:\n  match:\n    key: in/*.csv\n    min_byte: 5\n",
            "pipeline: one\nsource: { match: { key: 'in/*.csv', where: 5 } }\n",
            // No YAML: an open bracket, a tab, a key twice.
            "pipeline: one # first\nsource: { match: \"in/*.csv\" }\nschema: [\n",
            "pipeline: 'one'\nsource:\n\tmatch: in/*.csv\n",
            "pipeline: one\nsource:\n  match:\n    key: in/*.csv # all\n    suffix: [\n",
            "pipeline: one\nsource: { match: { min_bytes: 1, key: in/*.csv, suffix: [ }\n",
            "pipeline: one\nsource: { match: in/*.csv }\nschema: []\nschema: []\n",
            // A `key` of something else.
            "pipeline: one\nsource: { match: in/*.csv }\nload: { dedupe: { key: [a], keep: last } }\nschema: [\n",
        ] {
            assert_eq!(salvaged(text), (Some("one".into()), Some("in/*.csv".into())), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_guessed() {
        assert_eq!(salvaged("pipeline: two\nsauce: {}\n"), (Some("two".into()), None));
        assert_eq!(salvaged("{{{"), (None, None));
        assert_eq!(salvaged(""), (None, None));
        assert_eq!(salvaged("pipeline:\nmatch:\n"), (None, None));
        assert_eq!(salvaged("pipeline: [a\nsource: { match: [in/*] }\n").1, Some("[in/*]".into()));
    }
}
