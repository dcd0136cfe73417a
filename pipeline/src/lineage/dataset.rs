//! What datasets are called (OpenLineage specification, `Naming.md`), and their facets.

use super::{
    ColumnLineage, ColumnSource, TableColumn,
    facet::{
        ColumnLineageFacet, Content, DataSource, DatasetFacets, DatasetType, InputField, LineageOfField, Schema,
        SchemaField, Storage, TransformationOfField,
    },
};
use crate::{
    run::Source,
    spec::{CheckedSpec, Format},
    stage::Buckets,
    store::ObjectRef,
};

/// What OpenLineage calls an object or a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Name {
    /// The name of an object, or of the table below a prefix: without the slash at its end, so that a table is called the
    /// same whoever reads or writes it.
    pub(super) fn of(object: &ObjectRef) -> Self {
        let name = object.key.trim_end_matches('/');
        // A table may be a whole bucket.
        let name = if name.is_empty() { "/" } else { name };
        Self { namespace: format!("s3://{}", object.bucket), name: name.to_owned() }
    }

    /// What every dataset is told with.
    pub(super) fn facets(&self, dataset_type: &'static str, file_format: Option<&'static str>) -> DatasetFacets {
        let data_source = DataSource { name: self.namespace.clone(), uri: self.namespace.clone() };
        DatasetFacets {
            data_source: Some(data_source.facet()),
            dataset_type: Some(DatasetType { dataset_type }.facet()),
            storage: Some(Storage { storage_layer: "s3", file_format }.facet()),
            ..DatasetFacets::default()
        }
    }
}

/// The format of a source's files, in the words of the specification.
pub(super) fn file_format(spec: &CheckedSpec, key: &str) -> Option<&'static str> {
    let format = spec.spec.source.format.as_ref().copied().or_else(|| Format::of_name(key))?;
    Some(match format {
        Format::Csv | Format::Tsv => "csv",
        Format::Ndjson | Format::Json => "json",
        Format::Parquet => "parquet",
        Format::Avro => "avro",
    })
}

/// The version of an object that a run read.
pub(super) fn version(source: &Source) -> String {
    source.version.as_ref().unwrap_or(&source.etag).clone()
}

/// The declared columns, as the source has them.
pub(super) fn declared(spec: &CheckedSpec) -> Vec<TableColumn> {
    let column = |column: &crate::spec::Column| TableColumn {
        name: column.name.clone(),
        data_type: column.column_type.to_string(),
    };
    spec.columns.iter().map(column).collect()
}

/// The schema of these columns.
pub(super) fn schema(columns: &[TableColumn]) -> Schema {
    let field = |(index, column): (usize, &TableColumn)| SchemaField {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        ordinal_position: index + 1,
    };
    Schema { fields: columns.iter().enumerate().map(field).collect() }
}

/// The lineage of columns, the tables of the SQL called as datasets.
pub(super) fn column_lineage(
    lineage: &ColumnLineage,
    source: &Name,
    spec: &CheckedSpec,
    buckets: &Buckets,
) -> ColumnLineageFacet {
    let table = |name: &str| match name {
        "input" => Some(source.clone()),
        name => references(spec, buckets).find(|(known, _)| *known == name).map(|(_, place)| Name::of(&place)),
    };
    let fields = |sources: &[ColumnSource]| {
        let field = |source: &ColumnSource| {
            let Name { namespace, name } = table(&source.table)?;
            let transformations = source.transformations.iter().map(|transformation| TransformationOfField {
                kind: if transformation.effect.is_direct() { "DIRECT" } else { "INDIRECT" },
                subtype: transformation.effect.name(),
                masking: transformation.masking,
            });
            let transformations = transformations.collect();
            Some(InputField { namespace, name, field: source.column.clone(), transformations })
        };
        sources.iter().filter_map(field).collect::<Vec<_>>()
    };
    ColumnLineageFacet {
        fields: lineage
            .columns
            .iter()
            .map(|(column, sources)| (column.clone(), LineageOfField { input_fields: fields(sources) }))
            .collect(),
        dataset: fields(&lineage.dataset),
    }
}

/// The reference tables of a spec, by their names in the SQL.
pub(super) fn references<'a>(
    spec: &'a CheckedSpec,
    buckets: &'a Buckets,
) -> impl Iterator<Item = (&'a str, ObjectRef)> {
    let all = spec.spec.transform.references.iter();
    all.filter_map(|reference| Some((reference.name.value.as_str(), reference.place(buckets)?)))
}
