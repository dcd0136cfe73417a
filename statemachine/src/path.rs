//! Paths: the one way in which the definition names a part of its data.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// What a path begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `$`: the data that the field applies to.
    Data,
    /// `$$`: the context object.
    Context,
}

/// A path that can only name one value: `$` or `$$`, then field names of letters, digits, `_` and `-`.
///
/// The language knows more (brackets, indices, escapes, filters); those are refused when the definition is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    root: Root,
    fields: Vec<String>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a path of the form `$.field.field` or `$$.field.field`")]
pub struct PathError(String);

impl Path {
    /// `$`, the whole of the data.
    pub fn whole() -> Self {
        Self { root: Root::Data, fields: Vec::new() }
    }

    /// What the path begins at.
    pub fn root(&self) -> Root {
        self.root
    }

    /// The value that the path names, `None` where there is none.
    pub fn find<'a>(&self, data: &'a Value, context: &'a Value) -> Option<&'a Value> {
        let start = match self.root {
            Root::Data => data,
            Root::Context => context,
        };
        self.fields.iter().try_fold(start, |value, field| value.as_object()?.get(field))
    }

    /// The data with `value` at the path, fields on the way created as needed; `None` where something on the way
    /// is not an object.
    ///
    /// "Using InputPath, Parameters, ResultSelector, ResultPath and OutputPath",
    /// <https://states-language.net/#filters>.
    pub fn place(&self, mut data: Value, value: Value) -> Option<Value> {
        let Some((last, way)) = self.fields.split_last() else {
            return Some(value);
        };
        let mut object = data.as_object_mut()?;
        for field in way {
            object = object.entry(field).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
        }
        object.insert(last.clone(), value);
        Some(data)
    }
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (root, rest) = match (text.strip_prefix("$$"), text.strip_prefix('$')) {
            (Some(rest), _) => (Root::Context, rest),
            (None, Some(rest)) => (Root::Data, rest),
            (None, None) => return Err(PathError(text.to_owned())),
        };
        let mut fields = rest.split('.');
        let is_name =
            |field: &str| !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        // What stands before the first dot belongs to no field.
        if fields.next() != Some("") || !fields.clone().all(is_name) {
            return Err(PathError(text.to_owned()));
        }
        Ok(Self { root, fields: fields.map(str::to_owned).collect() })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.root {
            Root::Data => "$",
            Root::Context => "$$",
        })?;
        self.fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The value of `InputPath` and `OutputPath`: `$` where the field is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// What the path names goes on.
    At(Path),
    /// `null`: an empty object goes on.
    Nothing,
}

impl Default for Filter {
    fn default() -> Self {
        Self::At(Path::whole())
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Path>::deserialize(deserializer)?.map_or(Self::Nothing, Self::At))
    }
}

/// The value of `ResultPath`: `$` where the field is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The result goes to that place of the state's input.
    At(Path),
    /// `null`: the result is dropped and the state's input goes on.
    Dropped,
}

impl Default for Placement {
    fn default() -> Self {
        Self::At(Path::whole())
    }
}

impl<'de> Deserialize<'de> for Placement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Option::<Path>::deserialize(deserializer)? {
            None => Ok(Self::Dropped),
            Some(path) if path.root == Root::Data => Ok(Self::At(path)),
            Some(path) => Err(de::Error::custom(format!("`{path}` would write into the context object"))),
        }
    }
}
