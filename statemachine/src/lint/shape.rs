//! Shapes: what is known of a JSON value before any execution.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    document::{Kind, Node},
    path::{Path, Step},
};

/// Beyond this depth nothing is known, so that loops which wrap their data come to an end.
const DEPTH: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Any,
    /// No object and no array; its value where it is known.
    Scalar(Option<Value>),
    Array,
    Object(Object),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object {
    pub(super) fields: BTreeMap<String, Shape>,
    /// There may be other fields.
    pub(super) open: bool,
    /// It is what a Catch was given: the error and its cause.
    pub(super) error: bool,
}

/// What a path finds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    There(Shape),
    /// It may or may not be there.
    Unknown,
    /// It is not there, in any execution.
    Missing,
}

impl Shape {
    /// An object of these fields and no others, whose values are not known.
    pub(super) fn of(names: &[&str]) -> Self {
        let fields = names.iter().map(|name| ((*name).to_owned(), Self::Any)).collect();
        Self::Object(Object { fields, ..Object::default() })
    }

    /// What a Catch is given: "Error output", <https://states-language.net/#errors>.
    pub(super) fn error() -> Self {
        let text = || Self::Scalar(None);
        let fields = BTreeMap::from([("Error".to_owned(), text()), ("Cause".to_owned(), text())]);
        Self::Object(Object { fields, open: false, error: true })
    }

    /// The shape of a value that is written in the definition.
    pub(super) fn literal(node: &Node) -> Self {
        match &node.kind {
            _ if node.is_open() => {
                if node.text().is_some() {
                    Self::Scalar(None)
                } else {
                    Self::Any
                }
            }
            Kind::Placeholder => Self::Any,
            Kind::Null => Self::Scalar(Some(Value::Null)),
            Kind::Bool(value) => Self::Scalar(Some(Value::from(*value))),
            Kind::Number(value) => Self::Scalar(Some(Value::from(*value))),
            Kind::Text(value) => Self::Scalar(Some(Value::from(value.as_str()))),
            Kind::Array(_) => Self::Array,
            Kind::Object(fields) => {
                let fields = fields.iter().map(|field| (field.name.clone(), Self::literal(&field.value)));
                Self::Object(Object { fields: fields.collect(), ..Object::default() })
            }
        }
    }

    pub(super) fn look(&self, path: &Path) -> Look {
        if path.selects {
            return Look::Unknown;
        }
        let mut shape = self;
        for step in &path.steps {
            shape = match (shape, step) {
                (Self::Any, _) | (Self::Array, Step::Index) => return Look::Unknown,
                (Self::Object(object), Step::Field(name)) => match object.fields.get(name) {
                    Some(field) => field,
                    None if object.open => return Look::Unknown,
                    None => return Look::Missing,
                },
                _ => return Look::Missing,
            };
        }
        match shape {
            Self::Any => Look::Unknown,
            known => Look::There(known.clone()),
        }
    }

    /// The shape with `value` at the steps; nothing is known where that cannot be.
    pub(super) fn place(self, steps: &[Step], value: Self) -> Self {
        let Some((first, rest)) = steps.split_first() else { return value };
        let Step::Field(name) = first else { return Self::Any };
        let mut object = match self {
            Self::Any => Object { open: true, ..Object::default() },
            Self::Object(object) => object,
            Self::Scalar(_) | Self::Array => return Self::Any,
        };
        let unknown = if object.open { Self::Any } else { Self::Object(Object::default()) };
        let inner = object.fields.remove(name).unwrap_or(unknown);
        object.fields.insert(name.clone(), inner.place(rest, value));
        Self::Object(object)
    }

    /// The shape without what is deeper than can be followed.
    pub(super) fn pruned(self) -> Self {
        self.prune(DEPTH)
    }

    fn prune(self, depth: usize) -> Self {
        match self {
            Self::Object(_) if depth == 0 => Self::Any,
            Self::Object(mut object) => {
                object.fields = object.fields.into_iter().map(|(name, field)| (name, field.prune(depth - 1))).collect();
                Self::Object(object)
            }
            other => other,
        }
    }

    /// Where in the value what a Catch was given is, as a path.
    pub(super) fn error_place(&self) -> Option<String> {
        let Self::Object(object) = self else { return None };
        if object.error {
            return Some("$".to_owned());
        }
        object.fields.iter().find_map(|(name, field)| {
            let place = field.error_place()?;
            Some(format!("$.{name}{}", &place[1..]))
        })
    }
}
