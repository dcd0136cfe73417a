//! Takes apart JSON text without making numbers of numbers, so that decimals stay exact.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A JSON value as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// The value that a text is; `None`, if it is no JSON, or nested beyond 128 levels.
    pub(super) fn new(text: &'a [u8]) -> Option<Self> {
        std::str::from_utf8(text).ok()?;
        serde_json::from_slice::<IgnoredAny>(text).ok()?;
        Some(Self(text.trim_ascii()))
    }

    /// Whether it is `null`.
    pub(super) fn is_null(self) -> bool {
        self.0 == b"null"
    }

    /// What stands for a scalar: a string's text, anything else as it is written. `None`, if a string has half a
    /// surrogate pair.
    pub(super) fn text(self) -> Option<Cow<'a, [u8]>> {
        match self.0 {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Some(Cow::Borrowed(inner)),
            [b'"', ..] => serde_json::from_slice::<String>(self.0).ok().map(|text| Cow::Owned(text.into_bytes())),
            other => Some(Cow::Borrowed(other)),
        }
    }

    /// The items of an array; `None`, if it is none.
    pub(super) fn items(self) -> Option<impl Iterator<Item = Json<'a>>> {
        let inner = self.0.strip_prefix(b"[")?.strip_suffix(b"]")?;
        let mut rest = inner.trim_ascii();
        Some(std::iter::from_fn(move || (!rest.is_empty()).then(|| next_value(&mut rest))))
    }

    /// The names and values of an object; `None`, if it is none.
    pub(super) fn members(self) -> Option<impl Iterator<Item = (Json<'a>, Json<'a>)>> {
        let inner = self.0.strip_prefix(b"{")?.strip_suffix(b"}")?;
        let mut rest = inner.trim_ascii();
        Some(std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| {
                let name = next_value(&mut rest);
                (name, next_value(&mut rest))
            })
        }))
    }
}

/// Takes a value, and the comma or colon behind it, from text that is known to be well-formed.
fn next_value<'a>(rest: &mut &'a [u8]) -> Json<'a> {
    let text = rest.trim_ascii_start();
    let end = value_end(text);
    let behind = text[end..].trim_ascii_start();
    *rest = behind.get(1..).unwrap_or_default().trim_ascii_start();
    Json(text[..end].trim_ascii_end())
}

/// Where the value at the beginning of a text ends.
fn value_end(text: &[u8]) -> usize {
    let (mut depth, mut in_string, mut is_escaped) = (0_u32, false, false);
    for (at, byte) in text.iter().enumerate() {
        if in_string {
            in_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::new(text.as_bytes()).expect("JSON")
    }

    #[test]
    fn takes_apart_what_is_nested_and_quoted() {
        let items: Vec<_> =
            json(r#" [1.50 , "a,\"]\\", [2,[3]], {"a":{"b":[]}} ,null] "#).items().expect("a list").collect();
        let expected = ["1.50", r#""a,\"]\\""#, "[2,[3]]", r#"{"a":{"b":[]}}"#, "null"];
        assert_eq!(items, expected.map(|text| Json(text.as_bytes())));
        assert_eq!(items[1].text().as_deref(), Some(&br#"a,"]\"#[..]));
        let members: Vec<_> = json(r#"{ "a:b" : {"c":1} , "d":"e" }"#).members().expect("an object").collect();
        let expected = [(r#""a:b""#, r#"{"c":1}"#), (r#""d""#, r#""e""#)];
        assert_eq!(members, expected.map(|(name, value)| (Json(name.as_bytes()), Json(value.as_bytes()))));
        assert_eq!(json("[ ]").items().expect("a list").count(), 0);
        assert_eq!(json("{}").members().expect("an object").count(), 0);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "[1,]", "{a:1}", "[1]]", "\u{1}", "[01]", &"[".repeat(1000), "\"\n\""] {
            assert_eq!(Json::new(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Json::new(b"\"\xff\""), None);
    }
}
