//! A definition as a tree whose every value knows where it stands in the text.

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged, parse_to_ast};

/// Stands at the beginning of a text that was a placeholder outside quotes; JSON texts of people do not have it.
const PLACEHOLDER: char = '\u{7f}';

/// A value and the byte at which it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Field>),
    /// `${name}` where a value is expected; it may become anything.
    Placeholder,
}

/// A field of an object; of two with the same name both are there.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) value: Node,
}

/// Why a text is no JSON.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

impl Node {
    /// The tree of a definition, whose placeholders need not be filled in.
    pub(super) fn read(text: &str) -> Result<Self, Malformed> {
        let text = quote_placeholders(text);
        // First by the strict and depth-limited parser; the other one knows positions, and forgives much.
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
            return Err(Malformed { line: error.line(), column: error.column(), message });
        }
        let parsed = parse_to_ast(&text, &CollectOptions::default(), &ParseOptions::default());
        match parsed.map(|parsed| parsed.value) {
            Ok(Some(value)) => Ok(Self::convert(value)),
            Ok(None) => Err(Malformed { line: 1, column: 1, message: "the text is empty".to_owned() }),
            Err(error) => Err(Malformed { line: 1, column: 1, message: error.to_string() }),
        }
    }

    fn convert(value: ast::Value<'_>) -> Self {
        let at = value.range().start;
        let kind = match value {
            ast::Value::NullKeyword(_) => Kind::Null,
            ast::Value::BooleanLit(value) => Kind::Bool(value.value),
            ast::Value::NumberLit(value) => Kind::Number(value.value.parse().unwrap_or(f64::NAN)),
            ast::Value::StringLit(value) if value.value.starts_with(PLACEHOLDER) => Kind::Placeholder,
            ast::Value::StringLit(value) => Kind::Text(value.value.into_owned()),
            ast::Value::Array(array) => Kind::Array(array.elements.into_iter().map(Self::convert).collect()),
            ast::Value::Object(object) => Kind::Object(
                object
                    .properties
                    .into_iter()
                    .map(|property| Field {
                        at: property.range.start,
                        name: property.name.into_string(),
                        value: Self::convert(property.value),
                    })
                    .collect(),
            ),
        };
        Self { kind, at }
    }

    /// The fields of an object, none of anything else.
    pub(super) fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Object(fields) => fields,
            _ => &[],
        }
    }

    /// The items of an array, none of anything else.
    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Array(items) => items,
            _ => &[],
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields().iter().find(|field| field.name == name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.field(name).map(|field| &field.value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a field whose value is a text without placeholders.
    pub(super) fn fixed(&self, name: &str) -> Option<&str> {
        self.get(name)?.text().filter(|text| !text.contains("${"))
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)?.kind {
            Kind::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Whether only the deployment tells what the value is.
    pub(super) fn is_open(&self) -> bool {
        match &self.kind {
            Kind::Placeholder => true,
            Kind::Text(text) => text.contains("${"),
            _ => false,
        }
    }

    /// What kind of JSON value it is, in words.
    pub(super) fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::Array(_) => "an array",
            Kind::Object(_) => "an object",
            Kind::Placeholder => "a placeholder",
        }
    }

    /// Calls `see` with each text in the value, field names apart.
    pub(super) fn each_text<'a>(&'a self, see: &mut impl FnMut(&'a str)) {
        match &self.kind {
            Kind::Text(text) => see(text),
            Kind::Array(items) => items.iter().for_each(|item| item.each_text(see)),
            Kind::Object(fields) => fields.iter().for_each(|field| field.value.each_text(see)),
            _ => {}
        }
    }

    /// Whether a text in the value has `part` in it.
    pub(super) fn mentions(&self, part: &str) -> bool {
        let mut found = false;
        self.each_text(&mut |text| found |= text.contains(part));
        found
    }
}

/// The text with each `${name}` outside quotes made a JSON text of the same length, so that positions stay.
fn quote_placeholders(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut in_text = false;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '\\' if in_text => rest.chars().take(2).map(char::len_utf8).sum(),
            '"' => {
                in_text = !in_text;
                1
            }
            '$' if !in_text && rest.starts_with("${") => {
                let name = rest.split_once('}').map(|(name, _)| name).filter(|name| is_name(&name[2..]));
                if let Some(name) = name {
                    quoted.push('"');
                    quoted.push(PLACEHOLDER);
                    quoted.push_str(&name[2..]);
                    quoted.push('"');
                    rest = &rest[name.len() + 1..];
                    continue;
                }
                1
            }
            other => other.len_utf8(),
        };
        quoted.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    quoted
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.:".contains(c))
}

/// Finds lines and columns, both counted from 1; columns in characters.
pub(super) struct Positions<'a> {
    text: &'a str,
}

impl<'a> Positions<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text) }
    }

    pub(super) fn find(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
