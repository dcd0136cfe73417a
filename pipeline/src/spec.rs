//! The pipeline spec: one YAML file that says what to read, what to accept, what to derive and where to put it.

mod catalog;
mod check;
mod column_type;
mod error;
mod match_glob;
mod tolerance;

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
pub use catalog::{Catalog, PIPELINES_PREFIX};
pub use column_type::ColumnType;
pub use error::{SpecError, SpecErrors, nearest};
pub use match_glob::MatchGlob;
use schemars::JsonSchema;
use serde::Deserialize;
pub use serde_saphyr::Spanned;
pub use tolerance::Tolerance;

use crate::{
    ErrorKind, StageError,
    run::{Run, digest},
    stage::StageContext,
    store::{self, ObjectRef},
};

/// A pipeline: what to read, what to accept, what to derive and where to put it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// The pipeline's name: lowercase letters, digits, `-` and `_`, at most 40 characters.
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9_-]{0,39}$"))]
    pub pipeline: Spanned<String>,
    /// What the pipeline reads.
    pub source: SourceSpec,
    /// The columns of a record.
    pub schema: Vec<ColumnSpec>,
    /// What to do with columns that the schema does not declare.
    #[serde(default)]
    pub unknown_columns: UnknownColumns,
    /// What to do with bad records.
    #[serde(default)]
    pub rejects: RejectsSpec,
    /// What to derive; by default every column as it is.
    #[serde(default)]
    pub transform: TransformSpec,
    /// Where the table is.
    pub load: LoadSpec,
    /// Whom to tell of what.
    #[serde(default)]
    pub notify: NotifySpec,
}

/// What a pipeline reads.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// A glob on the object's key: `*` stays within a segment, `**` crosses segments.
    #[schemars(with = "String")]
    pub r#match: Spanned<String>,
    /// The format of the objects; by default CSV.
    #[serde(default)]
    pub format: Option<Format>,
    /// The dialect of CSV sources.
    #[serde(default)]
    pub csv: CsvDialect,
}

/// The format of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fields separated by a delimiter, one record a line, quoted where needed (RFC 4180).
    Csv,
}

/// A dialect of CSV.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvDialect {
    /// What separates fields: one ASCII character.
    #[schemars(with = "String")]
    pub delimiter: Spanned<String>,
    /// What encloses fields that hold delimiters or line ends: one ASCII character. Doubled, it stands for itself.
    #[schemars(with = "String")]
    pub quote: Spanned<String>,
    /// Whether the first line names the columns. If not, the schema's order counts.
    pub header: bool,
    /// The spellings of null.
    pub nulls: Vec<String>,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            delimiter: unlocated(",".into()),
            quote: unlocated("\"".into()),
            header: true,
            nulls: vec![String::new()],
        }
    }
}

/// A column that a record has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// The column's name, as in the header.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// `int8`…`int64`, `uint8`…`uint64`, `float32`, `float64`, `decimal(p,s)`, `boolean`, `string`, `date`, `timestamp`.
    #[schemars(with = "String")]
    pub r#type: Spanned<String>,
    /// Whether null rejects the record.
    #[serde(default)]
    pub required: bool,
    /// How dates and timestamps are written, in strftime's letters; by default ISO 8601.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub format: Option<Spanned<String>>,
}

/// What to do with columns that the schema does not declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownColumns {
    /// The object does not fit the schema: the run fails.
    #[default]
    Reject,
    /// They are left out.
    Ignore,
}

/// What to do with bad records.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RejectsSpec {
    /// How many a run may have, as a share of the records (`1%`) or a number; more, and it fails. By default `5%`.
    #[schemars(with = "Option<String>")]
    pub tolerate: Option<Spanned<String>>,
}

/// What to derive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformSpec {
    /// One SELECT over the table `input`.
    #[schemars(with = "String")]
    pub sql: Spanned<String>,
}

impl Default for TransformSpec {
    fn default() -> Self {
        Self { sql: unlocated("SELECT * FROM input".into()) }
    }
}

/// Where the table is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
    /// The kind of table.
    pub target: Target,
    /// The table's bucket, which is always `lake`, whatever it is called in a deployment, and its prefix: `lake/flights/`.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    /// The columns whose values become hive partitions (`year=2013/month=1/`), outermost first.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub partition_by: Vec<Spanned<String>>,
}

/// The kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A directory of Parquet files.
    Parquet,
}

/// Whom to tell of what.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotifySpec {
    /// The outcomes worth a notice; by default both. Failures before a pipeline is found are always told.
    pub on: Vec<NotifyOn>,
}

impl Default for NotifySpec {
    fn default() -> Self {
        Self { on: vec![NotifyOn::Succeeded, NotifyOn::Failed] }
    }
}

/// An outcome worth a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifyOn {
    /// The run's records are in the table.
    Succeeded,
    /// The run failed.
    Failed,
}

/// A spec that was read and checked, with everything derived from its texts.
#[derive(Clone, Debug)]
pub struct CheckedSpec {
    /// The spec as written.
    pub spec: PipelineSpec,
    /// The text that it was read from.
    pub text: String,
    /// The file or object that it was read from, for messages.
    pub file: String,
    /// SHA-256 of the text, in hexadecimal.
    pub digest: String,
    /// What the keys must look like.
    pub match_glob: MatchGlob,
    /// The columns, with their types.
    pub columns: Vec<Column>,
    /// What separates fields.
    pub delimiter: u8,
    /// What encloses fields.
    pub quote: u8,
    /// How many rejects a run may have.
    pub tolerance: Tolerance,
    /// The table's prefix in the lake bucket; ends in `/`.
    pub table_prefix: String,
}

/// A column that a record has, its type understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name, as in the header.
    pub name: String,
    /// The type.
    pub column_type: ColumnType,
    /// Whether null rejects the record.
    pub required: bool,
}

impl CheckedSpec {
    /// Reads and checks a spec; `file` is what messages call it. The SQL is not checked here.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and the nearest valid name.
    pub fn parse(file: &str, text: &str) -> Result<Self, SpecErrors> {
        let spec: PipelineSpec = serde_saphyr::from_str(text).map_err(|error| error::from_yaml(file, &error))?;
        check::check(file, text, digest(text.as_bytes()), spec)
    }

    /// Reads the spec that `extract` pinned for a run.
    ///
    /// # Errors
    /// `InvalidInput` where it is gone or is not the one that the run was given, and what the store says.
    pub async fn pinned(context: &StageContext, run: &Run) -> Result<Self, StageError> {
        let object = ObjectRef::new(&context.buckets.work, run.spec_key());
        let found = store::get(&*context.stores, &object).await?.filter(|(bytes, _)| digest(bytes) == run.spec_digest);
        let Some((bytes, _)) = found else {
            let message = format!("{object} is gone or was changed; start a new execution for the object");
            return Err(StageError::new(ErrorKind::InvalidInput, message));
        };
        Ok(Self::parse(&object.to_string(), &String::from_utf8_lossy(&bytes))?)
    }

    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.spec.pipeline.value
    }

    /// The columns that become hive partitions, outermost first.
    pub fn partition_columns(&self) -> Vec<&str> {
        self.spec.load.partition_by.iter().map(|column| column.value.as_str()).collect()
    }

    /// The accepted records' schema: the table `input` of the SQL.
    pub fn arrow_schema(&self) -> SchemaRef {
        let field = |column: &Column| Field::new(&column.name, column.column_type.arrow_type(), !column.required);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Where the table is, in a deployment's buckets.
    pub fn table(&self, buckets: &crate::stage::Buckets) -> ObjectRef {
        ObjectRef::new(&buckets.lake, &self.table_prefix)
    }
}

/// The JSON Schema of a pipeline spec, for editors.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(PipelineSpec).to_value()
}

fn unlocated<T>(value: T) -> Spanned<T> {
    Spanned::new(value, serde_saphyr::Location::UNKNOWN, serde_saphyr::Location::UNKNOWN)
}
