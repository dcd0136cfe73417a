use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::ColumnType;

/// A column that a record has, as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// The column's name; in CSV as in the header.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// `int8`…`int64`, `uint8`…`uint64`, `float32`, `float64`, `decimal(p,s)`, `boolean`, `string`, `binary`, `date`, `time`,
    /// `timestamp`, `list<type>`, `struct<name: type, …>`.
    #[schemars(with = "String")]
    pub r#type: Spanned<String>,
    /// Where the value is in a JSON record (`user.address.city`), or what the source calls the column; by default the name.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub path: Option<Spanned<String>>,
    /// Whether null rejects the record.
    #[serde(default)]
    pub required: bool,
    /// How dates, times and timestamps are written, in strftime's letters, by default ISO 8601; `epoch_s`, `epoch_ms`, `epoch_us` for numbers since
    /// 1970. Of `binary`: `hex` or `base64`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub format: Option<Spanned<String>>,
    /// The time zone that timestamps without an offset are in, by its IANA name.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub zone: Option<Spanned<String>>,
    /// The spellings of true, instead of `true`, `t`, `1`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub r#true: Option<Vec<String>>,
    /// The spellings of false, instead of `false`, `f`, `0`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub r#false: Option<Vec<String>>,
    /// The column's spellings of null, instead of the source's.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub nulls: Option<Vec<String>>,
    /// Whether white space around the value is left out.
    #[serde(default)]
    pub trim: Option<bool>,
    /// What stands for null, written as the source would write it.
    #[serde(default)]
    #[schemars(with = "Option<Scalar>")]
    pub default: Option<Spanned<Scalar>>,
    /// Whether no value may occur twice within the object.
    #[serde(default)]
    pub unique: bool,
    /// A condition in SQL over the record's columns. A record for which it is false is rejected.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub check: Option<Spanned<String>>,
    /// The only values allowed.
    #[serde(default)]
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub r#enum: Option<Spanned<Vec<Scalar>>>,
    /// A regular expression that the whole text must match.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub pattern: Option<Spanned<String>>,
    /// The least value allowed.
    #[serde(default)]
    #[schemars(with = "Option<Scalar>")]
    pub min: Option<Spanned<Scalar>>,
    /// The greatest value allowed.
    #[serde(default)]
    #[schemars(with = "Option<Scalar>")]
    pub max: Option<Spanned<Scalar>>,
    /// The fewest characters that a text may have.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub min_length: Option<Spanned<u64>>,
    /// The most characters that a text may have.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub max_length: Option<Spanned<u64>>,
    /// What is done to personal data before anything of the record is written.
    #[serde(default)]
    pub pii: Option<Pii>,
}

/// A scalar of a spec, kept as it is spelt, whether YAML takes it for a number, a boolean or text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Scalar(#[schemars(extend("type" = ["string", "number", "boolean"]))] pub String);

/// What is done to personal data before anything of the record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pii {
    /// The value becomes its HMAC-SHA-256 in hexadecimal, keyed by the deployment's hash key.
    Hash,
    /// The value becomes `***`. The rejects file masks it too.
    Redact,
    /// The column is left out. The rejects file masks it.
    Drop,
}

/// A column that a record has, its type understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// Where the value is in the source: one name, or in JSON the steps through nested objects.
    pub path: Vec<String>,
    /// The type.
    pub column_type: ColumnType,
    /// Whether null rejects the record.
    pub required: bool,
    /// The spellings of null.
    pub nulls: Vec<String>,
    /// Whether white space around the value is left out.
    pub trim: bool,
    /// What stands for null, as the source would write it.
    pub default: Option<String>,
    /// Whether no value may occur twice within the object.
    pub unique: bool,
    /// A condition in SQL over the record's columns.
    pub check: Option<Spanned<String>>,
    /// The only values allowed, as the source would write them; empty for all.
    pub allowed: Vec<String>,
    /// A regular expression that the whole text must match.
    pub pattern: Option<String>,
    /// The least value allowed, as the source would write it.
    pub min: Option<String>,
    /// The greatest value allowed, as the source would write it.
    pub max: Option<String>,
    /// The fewest characters that a text may have.
    pub min_length: Option<u64>,
    /// The most characters that a text may have.
    pub max_length: Option<u64>,
    /// What is done to personal data.
    pub pii: Option<Pii>,
}

impl Column {
    /// A column of a name and type, without conditions.
    pub fn new(name: &str, column_type: ColumnType) -> Self {
        Self {
            name: name.to_owned(),
            path: vec![name.to_owned()],
            column_type,
            required: false,
            nulls: vec![String::new()],
            trim: false,
            default: None,
            unique: false,
            check: None,
            allowed: Vec::new(),
            pattern: None,
            min: None,
            max: None,
            min_length: None,
            max_length: None,
            pii: None,
        }
    }
}
