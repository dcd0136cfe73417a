//! The facets that events have: what the specification calls so, each with the version of its schema.

use std::collections::BTreeMap;

use serde::Serialize;

use super::event::PRODUCER;

/// A facet: its content, who tells it and the schema that it follows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Facet<T> {
    #[serde(rename = "_producer")]
    producer: &'static str,
    #[serde(rename = "_schemaURL")]
    schema_url: &'static str,
    #[serde(flatten)]
    content: T,
}

/// The content of a facet.
pub(super) trait Content: Sized {
    /// The facet's schema.
    const SCHEMA_URL: &'static str;

    /// The facet.
    fn facet(self) -> Facet<Self> {
        Facet { producer: PRODUCER, schema_url: Self::SCHEMA_URL, content: self }
    }
}

/// The schema of a facet that is called as its definition.
macro_rules! schema {
    ($content:ty, $version:literal, $name:literal) => {
        impl Content for $content {
            const SCHEMA_URL: &'static str =
                concat!("https://openlineage.io/spec/facets/", $version, "/", $name, ".json#/$defs/", $name);
        }
    };
}

/// What is told of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunFacets {
    #[serde(rename = "processing_engine", skip_serializing_if = "Option::is_none")]
    pub(super) processing_engine: Option<Facet<ProcessingEngine>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_query: Option<Facet<ExternalQuery>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Facet<RunTags>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<Facet<ErrorMessage>>,
}

/// What is told of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobFacets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job_type: Option<Facet<JobType>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sql: Option<Facet<Sql>>,
}

/// What is told of a dataset, whichever part it plays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetFacets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_source: Option<Facet<DataSource>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dataset_type: Option<Facet<DatasetType>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) storage: Option<Facet<Storage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Facet<DatasetVersion>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Facet<Schema>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column_lineage: Option<Facet<ColumnLineageFacet>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifecycle_state_change: Option<Facet<LifecycleStateChange>>,
}

/// What is told of a dataset that was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputFacets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_statistics: Option<Facet<Statistics<Read>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_quality_metrics: Option<Facet<Metrics>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_quality_assertions: Option<Facet<Assertions>>,
}

/// What is told of a dataset that was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputFacets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_statistics: Option<Facet<Statistics<Written>>>,
}

/// Which engine ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ProcessingEngine {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}
schema!(ProcessingEngine, "1-1-1", "ProcessingEngineRunFacet");

/// The execution of the state machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalQuery {
    pub(super) external_query_id: String,
    pub(super) source: &'static str,
}
schema!(ExternalQuery, "1-0-2", "ExternalQueryRunFacet");

/// What the run is called among us.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RunTags {
    pub(super) tags: Vec<Tag>,
}
schema!(RunTags, "1-0-0", "TagsRunFacet");

/// One name and its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Tag {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) source: &'static str,
}

/// Why the run failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorMessage {
    pub(super) message: String,
    pub(super) programming_language: &'static str,
}
schema!(ErrorMessage, "1-0-1", "ErrorMessageRunFacet");

/// What kind of job it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobType {
    pub(super) processing_type: &'static str,
    pub(super) integration: &'static str,
    pub(super) job_type: &'static str,
}
schema!(JobType, "2-0-4", "JobTypeJobFacet");

/// The pipeline's SQL.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sql {
    pub(super) query: String,
    pub(super) dialect: &'static str,
}
schema!(Sql, "1-1-0", "SQLJobFacet");

/// The bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct DataSource {
    pub(super) name: String,
    pub(super) uri: String,
}
schema!(DataSource, "1-0-1", "DatasourceDatasetFacet");

/// Whether it is a file or a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetType {
    pub(super) dataset_type: &'static str,
}
schema!(DatasetType, "1-0-1", "DatasetTypeDatasetFacet");

/// How it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Storage {
    pub(super) storage_layer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_format: Option<&'static str>,
}
schema!(Storage, "1-0-1", "StorageDatasetFacet");

/// The version of an object.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetVersion {
    pub(super) dataset_version: String,
}
schema!(DatasetVersion, "1-0-1", "DatasetVersionDatasetFacet");

/// The columns of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Schema {
    pub(super) fields: Vec<SchemaField>,
}
schema!(Schema, "1-2-0", "SchemaDatasetFacet");

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SchemaField {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) data_type: String,
    pub(super) ordinal_position: usize,
}

/// Where the values of columns come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ColumnLineageFacet {
    pub(super) fields: BTreeMap<String, LineageOfField>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dataset: Vec<InputField>,
}
schema!(ColumnLineageFacet, "1-2-0", "ColumnLineageDatasetFacet");

/// Where the values of one column come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineageOfField {
    pub(super) input_fields: Vec<InputField>,
}

/// A column of an input, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct InputField {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) field: String,
    pub(super) transformations: Vec<TransformationOfField>,
}

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TransformationOfField {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) subtype: &'static str,
    pub(super) masking: bool,
}

/// What becomes of the dataset itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LifecycleStateChange {
    pub(super) lifecycle_state_change: &'static str,
}
schema!(LifecycleStateChange, "1-0-1", "LifecycleStateChangeDatasetFacet");

/// How much was read or written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statistics<Way> {
    pub(super) row_count: u64,
    pub(super) size: u64,
    pub(super) file_count: u64,
    #[serde(skip)]
    pub(super) way: Way,
}
schema!(Statistics<Read>, "1-0-0", "InputStatisticsInputDatasetFacet");
schema!(Statistics<Written>, "1-0-2", "OutputStatisticsOutputDatasetFacet");

/// Of what was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read;

/// Of what was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Written;

/// What is known of the columns of the accepted records.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metrics {
    pub(super) row_count: u64,
    pub(super) bytes: u64,
    pub(super) file_count: u64,
    pub(super) column_metrics: BTreeMap<String, ColumnMetrics>,
}
schema!(Metrics, "1-0-3", "DataQualityMetricsInputDatasetFacet");

/// What is known of one column.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ColumnMetrics {
    pub(super) null_count: u64,
    pub(super) distinct_count: u64,
    pub(super) count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<f64>,
}

/// What was asked of the records, and how many did not fulfil it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Assertions {
    pub(super) assertions: Vec<Assertion>,
}
schema!(Assertions, "1-1-0", "DataQualityAssertionsDatasetFacet");

/// One thing that was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assertion {
    pub(super) assertion: &'static str,
    pub(super) success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<String>,
    pub(super) severity: &'static str,
    pub(super) expected: String,
    pub(super) actual: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<&'static str>,
}
