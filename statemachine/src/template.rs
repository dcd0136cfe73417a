//! Payload templates: objects whose fields with names in `.$` are filled in from data and context.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::path::Path;

/// A payload template, the value of `Parameters` and of the `Payload` in it.
///
/// "Payload Template", <https://states-language.net/#payload-template>.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// A value that goes into the payload as it is.
    Literal(Value),
    /// The value that a path names.
    Path(Path),
    /// An object, field by field.
    Object(Vec<(String, Template)>),
    /// An array, item by item.
    Array(Vec<Template>),
}

impl Template {
    /// The payload, or the first path that names nothing.
    ///
    /// # Errors
    /// The path in question; the state that wanted it fails with `States.Runtime`.
    pub fn fill<'a>(&'a self, data: &Value, context: &Value) -> Result<Value, &'a Path> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Path(path) => path.find(data, context).cloned().ok_or(path),
            Self::Object(fields) => fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), field.fill(data, context)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            Self::Array(items) => items.iter().map(|item| item.fill(data, context)).collect(),
        }
    }

    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => {
                let mut read: Vec<(String, Self)> = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    let (name, field) = match name.strip_suffix(".$") {
                        Some(stripped) => (stripped.to_owned(), Self::read_path(&name, &value)?),
                        None => (name, Self::read(value)?),
                    };
                    if read.iter().any(|(other, _)| *other == name) {
                        return Err(format!("`{name}` and `{name}.$` name the same field"));
                    }
                    read.push((name, field));
                }
                Ok(Self::Object(read))
            }
            Value::Array(items) => Ok(Self::Array(items.into_iter().map(Self::read).collect::<Result<_, _>>()?)),
            scalar => Ok(Self::Literal(scalar)),
        }
    }

    fn read_path(name: &str, value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if text.starts_with('$') => text.parse().map(Self::Path).map_err(|error| error.to_string()),
            Some(text) => Err(format!("`{name}`: the intrinsic function `{text}` is not implemented")),
            None => Err(format!("`{name}` must be a path, not `{value}`")),
        }
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
