//! The pipeline spec: one YAML file that says what to read, what to accept, what to derive and where to put it.

mod batch;
mod catalog;
mod check;
mod column;
mod column_type;
mod error;
mod load;
mod match_glob;
mod object_match;
mod period;
mod salvaged;
mod schedule;
mod source;
mod tolerance;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use batch::parse_bytes;
pub use batch::{BatchLimits, BatchSpec};
pub use catalog::{Catalog, PIPELINES_PREFIX, WrongSpec};
pub use column::{Column, ColumnSpec, Pii, Scalar};
pub use column_type::{BinaryEncoding, BooleanSpellings, ColumnType, NamedType, TimestampFormat};
pub use error::{SpecError, SpecErrors, nearest};
pub use load::{Dedupe, DedupeSpec, Keep, LoadSpec, Target};
pub use match_glob::MatchGlob;
pub use object_match::{FieldCondition, FieldValue, FieldValues, MatchSpec, ObjectConditions};
pub use period::PeriodPrefix;
pub use schedule::{CompleteWhen, Completeness, Occurrences, Schedule, ScheduleSpec};
use schemars::JsonSchema;
use serde::Deserialize;
pub use serde_saphyr::Spanned;
pub use source::{CsvDialect, Dialect, Format, JsonLayout, SourceSpec};
pub use tolerance::Tolerance;

use crate::{
    ErrorKind, StageError,
    run::{Run, digest},
    stage::{Buckets, StageContext},
    store::{self, ObjectRef},
};

/// The column in which `unknown_columns: keep` keeps them.
pub const EXTRA: &str = "_extra";

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

/// What to do with columns that the schema does not declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownColumns {
    /// The object does not fit the schema: the run fails.
    #[default]
    Reject,
    /// They are left out.
    Ignore,
    /// They are kept together, as one JSON object, in the string column `_extra`.
    Keep,
}

/// What to do with bad records.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RejectsSpec {
    /// How many a run may have, as a share of the records (`1%`) or a number; more, and it fails. By default `5%`.
    #[schemars(with = "Option<Scalar>")]
    pub tolerate: Option<Spanned<String>>,
}

/// What to derive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformSpec {
    /// One SELECT over the table `input`.
    #[schemars(with = "String")]
    pub sql: Spanned<String>,
    /// Tables that the SQL may join with, beside `input`.
    pub references: Vec<ReferenceSpec>,
}

impl Default for TransformSpec {
    fn default() -> Self {
        Self { sql: unlocated("SELECT * FROM input".into()), references: Vec::new() }
    }
}

/// A table that the SQL may join with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceSpec {
    /// The table's name in the SQL.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// The bucket, `lake` or `work`, and the key of one Parquet file, or the prefix (ending in `/`) of a folder of
    /// them: `lake/airlines/`. A table of another pipeline will do.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
}

impl ReferenceSpec {
    /// Where the table is, in a deployment's buckets; nothing for a path of another bucket.
    pub fn place(&self, buckets: &Buckets) -> Option<ObjectRef> {
        let (bucket, key) = self.path.value.split_once('/')?;
        let bucket = match bucket {
            "lake" => &buckets.lake,
            "work" => &buckets.work,
            _ => return None,
        };
        (!key.is_empty()).then(|| ObjectRef::new(bucket, key))
    }
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
    /// What the objects must be beside.
    pub conditions: ObjectConditions,
    /// The columns, with their types.
    pub columns: Vec<Column>,
    /// How CSV sources are written.
    pub dialect: Dialect,
    /// How many rejects a run may have.
    pub tolerance: Tolerance,
    /// The table's prefix in the lake bucket; ends in `/`.
    pub table_prefix: String,
    /// Which of several records with the same key is kept.
    pub dedupe: Option<Dedupe>,
    /// How uploads are gathered into batches, if they are.
    pub batch: Option<BatchLimits>,
    /// When batches are loaded, if a schedule says so.
    pub schedule: Option<Schedule>,
    /// The longest time between two uploads that is normal, if any is expected.
    pub expect_every: Option<std::time::Duration>,
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
    ///
    /// Columns that `pii` drops are not in it; those that it hashes or redacts are text.
    pub fn arrow_schema(&self) -> SchemaRef {
        self.schema_of(ColumnType::arrow_type)
    }

    /// The schema of the parts that hold the accepted records.
    pub fn staged_schema(&self) -> SchemaRef {
        self.schema_of(ColumnType::staged_type)
    }

    fn schema_of(&self, data_type: fn(&ColumnType) -> DataType) -> SchemaRef {
        let kept = self.columns.iter().filter(|column| column.pii != Some(Pii::Drop));
        let field = |column: &Column| {
            let data_type = if column.pii.is_some() { DataType::Utf8 } else { data_type(&column.column_type) };
            Field::new(&column.name, data_type, !column.required)
        };
        let extra =
            (self.spec.unknown_columns == UnknownColumns::Keep).then(|| Field::new(EXTRA, DataType::Utf8, true));
        Arc::new(Schema::new(kept.map(field).chain(extra).collect::<Vec<_>>()))
    }

    /// Where the table is, in a deployment's buckets.
    pub fn table(&self, buckets: &Buckets) -> ObjectRef {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_an_object_or_a_folder_of_the_lake_or_the_work_bucket() {
        let buckets = Buckets { landing: "landing-1".into(), work: "work-1".into(), lake: "lake-1".into() };
        for (path, place) in [
            ("lake/airlines/", Some(ObjectRef::new("lake-1", "airlines/"))),
            ("work/rates/2026.parquet", Some(ObjectRef::new("work-1", "rates/2026.parquet"))),
            ("landing/a.parquet", None),
            ("lake/", None),
            ("lake", None),
        ] {
            let reference = ReferenceSpec { name: unlocated("a".into()), path: unlocated(path.into()) };
            assert_eq!(reference.place(&buckets), place, "{path}");
        }
    }
}
