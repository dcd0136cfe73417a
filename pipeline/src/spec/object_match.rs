use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

/// Which objects a pipeline takes, as written: a glob on the key alone, or with further conditions, all of which hold.
#[derive(Clone, Debug)]
pub struct MatchSpec {
    /// A glob on the object's key: `*` stays within a segment, `**` crosses segments.
    pub key: Spanned<String>,
    /// The fewest bytes that an object may have.
    pub min_bytes: Option<Spanned<u64>>,
    /// The most bytes that an object may have.
    pub max_bytes: Option<Spanned<u64>>,
    /// What the key ends in one of.
    pub suffix: Option<Spanned<Vec<String>>>,
    /// The values that fields of the first record have, by name.
    pub r#where: Option<Spanned<BTreeMap<String, Spanned<FieldValues>>>>,
}

impl<'de> Deserialize<'de> for MatchSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Spanned::<Form>::deserialize(deserializer)?;
        Ok(match form.value {
            Form::Glob(glob) => Self {
                key: Spanned::new(glob, form.referenced, form.defined),
                min_bytes: None,
                max_bytes: None,
                suffix: None,
                r#where: None,
            },
            Form::Conditions(written) => {
                let Conditions { key, min_bytes, max_bytes, suffix, r#where } = *written;
                Self { key, min_bytes, max_bytes, suffix, r#where }
            }
        })
    }
}

/// The two ways to write `match`. Told apart here, since `untagged` would lose the lines.
enum Form {
    Glob(String),
    Conditions(Box<Conditions>),
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FormVisitor;

        impl<'de> Visitor<'de> for FormVisitor {
            type Value = Form;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a glob such as \"in/*.csv\", or a mapping with `key` and further conditions")
            }

            fn visit_str<E: Error>(self, glob: &str) -> Result<Form, E> {
                Ok(Form::Glob(glob.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Form, A::Error> {
                Conditions::deserialize(MapAccessDeserializer::new(map))
                    .map(|written| Form::Conditions(Box::new(written)))
            }
        }

        deserializer.deserialize_any(FormVisitor)
    }
}

/// A glob and further conditions, all of which hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct Conditions {
    /// A glob on the object's key: `*` stays within a segment, `**` crosses segments.
    #[schemars(with = "String")]
    key: Spanned<String>,
    /// The fewest bytes that an object may have.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    min_bytes: Option<Spanned<u64>>,
    /// The most bytes that an object may have.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1))]
    max_bytes: Option<Spanned<u64>>,
    /// What the key ends in one of.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(min = 1))]
    suffix: Option<Spanned<Vec<String>>>,
    /// The values that fields of the object's first record have, by name; in JSON a path with dots between names. One
    /// value, or a list of which it is one. Texts compare as text, numbers as numbers, booleans as booleans.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, FieldValuesShape>>")]
    r#where: Option<Spanned<BTreeMap<String, Spanned<FieldValues>>>>,
}

/// The shape of `match`, for its JSON Schema.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "described, never made")]
pub(super) enum MatchShape {
    /// A glob on the object's key: `*` stays within a segment, `**` crosses segments.
    Glob(String),
    Conditions(Box<Conditions>),
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "described, never made")]
enum FieldValuesShape {
    One(#[schemars(extend("type" = ["string", "number", "boolean"]))] String),
    Several(Vec<super::Scalar>),
}

/// One value, or several of which one is wanted, as YAML takes them.
#[derive(Clone, Debug)]
pub enum FieldValues {
    /// One.
    One(FieldValue),
    /// A list.
    Several(Vec<Spanned<FieldValue>>),
}

impl<'de> Deserialize<'de> for FieldValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldValuesVisitor)
    }
}

/// A value that a field of a record may have.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// Text: equal to text alone.
    Text(String),
    /// A number: equal to numbers of the same value, in CSV to text that spells one.
    Number(serde_json::Number),
    /// True or false: equal to a boolean, in CSV to `true` and `false` in any case.
    Boolean(bool),
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldValueVisitor)
    }
}

struct FieldValueVisitor;

impl Visitor<'_> for FieldValueVisitor {
    type Value = FieldValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, `true` or `false`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FieldValue, E> {
        Ok(FieldValue::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<FieldValue, E> {
        Ok(FieldValue::Boolean(boolean))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<FieldValue, E> {
        Ok(FieldValue::Number(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<FieldValue, E> {
        Ok(FieldValue::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<FieldValue, E> {
        let finite = serde_json::Number::from_f64(number);
        finite.map(FieldValue::Number).ok_or_else(|| E::custom("no record has a number that is infinite or none"))
    }
}

struct FieldValuesVisitor;

/// A scalar is a list of one.
impl<'de> Visitor<'de> for FieldValuesVisitor {
    type Value = FieldValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FieldValueVisitor.expecting(f)?;
        f.write_str(", or a list of those")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FieldValues, E> {
        FieldValueVisitor.visit_str(text).map(FieldValues::One)
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<FieldValues, E> {
        FieldValueVisitor.visit_bool(boolean).map(FieldValues::One)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<FieldValues, E> {
        FieldValueVisitor.visit_u64(number).map(FieldValues::One)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<FieldValues, E> {
        FieldValueVisitor.visit_i64(number).map(FieldValues::One)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<FieldValues, E> {
        FieldValueVisitor.visit_f64(number).map(FieldValues::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<FieldValues, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(FieldValues::Several(values))
    }
}

/// The values as they are spelt in the spec: YAML takes `NO` for a boolean and `007` for seven; here they are texts.
pub(super) fn spelt(values: &Spanned<FieldValues>, text: &str) -> Vec<FieldValue> {
    match &values.value {
        FieldValues::One(value) => vec![value.spelt(values.defined, text)],
        FieldValues::Several(several) => several.iter().map(|value| value.value.spelt(value.defined, text)).collect(),
    }
}

impl FieldValue {
    fn spelt(&self, at: Location, text: &str) -> Self {
        let span = at.span();
        let spelling = || {
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let bytes = usize::try_from(span.byte_len()?).ok()?;
            text.get(start..start.checked_add(bytes)?).map(str::trim)
        };
        match (self, spelling()) {
            (Self::Text(_), _) | (_, None) | (Self::Boolean(_), Some("true" | "false")) => self.clone(),
            (Self::Number(_), Some(spelling)) if serde_json::from_str::<serde_json::Number>(spelling).is_ok() => {
                self.clone()
            }
            (_, Some(spelling)) => Self::Text(spelling.to_owned()),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(wanted), Value::String(text)) => wanted == text,
            (Self::Number(wanted), Value::Number(number)) => is_same(wanted, number),
            (Self::Boolean(wanted), Value::Bool(boolean)) => wanted == boolean,
            _ => false,
        }
    }

    fn fits_text(&self, text: &str) -> bool {
        match self {
            Self::Text(wanted) => wanted == text,
            Self::Number(wanted) => serde_json::from_str(text).is_ok_and(|number| is_same(wanted, &number)),
            Self::Boolean(wanted) => text.eq_ignore_ascii_case(if *wanted { "true" } else { "false" }),
        }
    }
}

/// Whole numbers compare exactly, others as IEEE 754 has them.
fn is_same(left: &serde_json::Number, right: &serde_json::Number) -> bool {
    left == right || (left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64()
}

/// What an object must be for a pipeline to take it, beside its key.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectConditions {
    /// How many bytes it may have.
    pub bytes: RangeInclusive<u64>,
    /// What its first record must hold; where there is nothing, nobody needs to look at it.
    pub fields: Vec<FieldCondition>,
}

/// What a field of the first record must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldCondition {
    /// The field's name, in JSON with dots between the names of nested objects.
    pub name: String,
    /// The values of which it must have one.
    pub values: Vec<FieldValue>,
}

impl FieldCondition {
    /// Whether a record that is a JSON object fits.
    pub fn fits_object(&self, record: &Map<String, Value>) -> bool {
        let mut names = self.name.split('.');
        let first = names.next().and_then(|name| record.get(name));
        let value = names.fold(first, |value, name| value?.get(name));
        value.is_some_and(|value| self.values.iter().any(|wanted| wanted.fits(value)))
    }

    /// Whether the text that a record has in that field fits.
    pub fn fits_text(&self, text: &str) -> bool {
        self.values.iter().any(|wanted| wanted.fits_text(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(name: &str, values: &str) -> FieldCondition {
        let text = format!("values: {values}\n");
        let read: BTreeMap<String, Spanned<FieldValues>> = serde_saphyr::from_str(&text).expect(values);
        FieldCondition { name: name.into(), values: spelt(&read["values"], &text) }
    }

    #[test]
    fn values_compare_as_what_they_are() {
        for (values, fitting, other) in [
            ("orders", json!("orders"), json!("Orders")),
            ("'5'", json!("5"), json!(5)),
            ("5", json!(5.0), json!("5")),
            ("1.50", json!(1.5), json!(1.51)),
            ("9007199254740993", json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
            ("-3", json!(-3), json!(3)),
            ("true", json!(true), json!("true")),
            ("[a, 1]", json!(1), json!("1")),
            ("[a, 1]", json!("a"), json!(["a"])),
            ("007", json!("007"), json!(7)),
            ("[1, 'ü', 007]", json!("007"), json!(7)),
            ("[1, NO]", json!("NO"), json!(false)),
            ("1e3", json!(1000), json!("1e3")),
            ("NO", json!("NO"), json!(false)),
        ] {
            let condition = condition("a", values);
            let record = |value: &Value| json!({ "a": value }).as_object().cloned().expect("an object");
            assert!(condition.fits_object(&record(&fitting)), "{values} {fitting}: {condition:?}");
            assert!(!condition.fits_object(&record(&other)), "{values} {other}");
            assert!(!condition.fits_object(&record(&Value::Null)), "{values}");
        }
    }

    #[test]
    fn text_stands_for_numbers_and_booleans() {
        for (values, fitting, other) in [
            ("5", "5.0", "50"),
            ("5", "5", "five"),
            ("true", "TRUE", "yes"),
            ("[EU, US]", "US", "us"),
            ("'5'", "5", "5.0"),
        ] {
            assert!(condition("a", values).fits_text(fitting), "{values} {fitting}");
            assert!(!condition("a", values).fits_text(other), "{values} {other}");
        }
    }

    #[test]
    fn dots_lead_into_nested_objects() {
        let record = json!({"meta": {"kind": "a", "list": [1]}, "meta.kind": "b"});
        let record = record.as_object().expect("an object");
        assert!(condition("meta.kind", "a").fits_object(record));
        assert!(!condition("meta.kind", "b").fits_object(record));
        assert!(!condition("meta.kind.deeper", "a").fits_object(record));
        assert!(!condition("meta", "a").fits_object(record));
        assert!(!condition("none.kind", "a").fits_object(record));
    }
}
