//! Where the columns that the SQL gives come from, told from its plan as it is before any optimisation.
//!
//! What is not understood for certain is left out: a lineage that says too little is of use, one that is wrong is not.

mod expression;
mod plan;
mod sources;

use arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;
use stepwell_pipeline::{
    lineage::{ColumnLineage, ColumnSource, Effect, TableColumn},
    spec::{CheckedSpec, Keep},
};

use self::{
    plan::Traced,
    sources::{Known, Sources},
};

/// The columns that a plan gives.
pub(super) fn columns(plan: &LogicalPlan) -> Vec<TableColumn> {
    let fields = plan.schema().fields().iter();
    fields.map(|field| TableColumn { name: field.name().clone(), data_type: type_name(field.data_type()) }).collect()
}

/// Where they come from, and what decides about the table's records: the SQL's conditions, and what the load section asks
/// for beyond it.
pub(super) fn lineage(plan: &LogicalPlan, spec: &CheckedSpec) -> ColumnLineage {
    let traced = plan::trace(plan, spec, None);
    let names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let dataset = whole(&traced, &names, spec);
    let known = names.iter().zip(traced.columns).filter_map(|(name, sources)| Some(((*name).to_owned(), sources?)));
    ColumnLineage {
        columns: known.map(|(name, sources)| (name, listed(sources))).collect(),
        dataset: dataset.map(listed).unwrap_or_default(),
    }
}

/// What decides about the records; nothing where a part of it is not understood.
fn whole(traced: &Traced, names: &[&str], spec: &CheckedSpec) -> Known {
    let mut dataset = traced.dataset.clone()?;
    let mut add = |name: &str, effect: Effect| {
        let index = names.iter().position(|known| *known == name)?;
        dataset.add(traced.columns[index].clone()?.deciding(effect));
        Some(())
    };
    if let Some(dedupe) = &spec.dedupe {
        for key in &dedupe.key {
            add(key, Effect::GroupBy)?;
        }
        if let Keep::Max(column) = &dedupe.keep {
            add(column, Effect::Filter)?;
        }
    }
    for column in &spec.spec.load.sort_by {
        add(&column.value, Effect::Sort)?;
    }
    Some(dataset)
}

fn listed(sources: Sources) -> Vec<ColumnSource> {
    let source = |((table, column), transformations): ((String, String), std::collections::BTreeSet<_>)| ColumnSource {
        table,
        column,
        transformations: transformations.into_iter().collect(),
    };
    sources.into_iter().map(source).collect()
}

/// What a spec would call a type.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => {
            format!("list<{}>", type_name(item.data_type()))
        }
        DataType::Struct(fields) => {
            let field =
                |field: &arrow::datatypes::FieldRef| format!("{}: {}", field.name(), type_name(field.data_type()));
            format!("struct<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        // `Int64`, `UInt8`, `Float32`, `Boolean`.
        other => other.to_string().to_lowercase(),
    }
}
