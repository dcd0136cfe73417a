use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A column of a table, as lineage tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    /// The column's name.
    pub name: String,
    /// Its type, in the words of a spec.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Where the values of a table's columns come from, as far as the SQL says for certain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnLineage {
    /// What each column is made of. A constant is made of nothing; a column that is not here is not understood.
    pub columns: BTreeMap<String, Vec<ColumnSource>>,
    /// What decides which records there are, or in which order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dataset: Vec<ColumnSource>,
}

/// A column that others hang on, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnSource {
    /// The table's name in the SQL: `input`, or a reference's.
    pub table: String,
    /// The column's name.
    pub column: String,
    /// How they hang on it; at least one.
    pub transformations: Vec<Transformation>,
}

/// How a column hangs on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Transformation {
    /// What becomes of the value.
    pub effect: Effect,
    /// Whether the value itself cannot be seen any more: it is hashed or counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masking: bool,
}

impl Transformation {
    /// A transformation that does not hide the value.
    pub const fn of(effect: Effect) -> Self {
        Self { effect, masking: false }
    }
}

/// What becomes of a value: the subtypes that OpenLineage has (its documentation, "Column Level Lineage Dataset Facet").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Effect {
    /// It is taken as it is.
    Identity,
    /// Another value is made of it.
    Transformation,
    /// One value is made of it and those of other records.
    Aggregation,
    /// Records are joined by it.
    Join,
    /// Records are grouped by it.
    GroupBy,
    /// Records are chosen by it.
    Filter,
    /// Records are sorted by it.
    Sort,
    /// It says which records a window function sees.
    Window,
    /// It decides between other values.
    Conditional,
}

impl Effect {
    /// Whether the value itself goes into the other, and does not only decide about it.
    pub fn is_direct(self) -> bool {
        matches!(self, Self::Identity | Self::Transformation | Self::Aggregation)
    }

    /// The effect's name in OpenLineage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "IDENTITY",
            Self::Transformation => "TRANSFORMATION",
            Self::Aggregation => "AGGREGATION",
            Self::Join => "JOIN",
            Self::GroupBy => "GROUP_BY",
            Self::Filter => "FILTER",
            Self::Sort => "SORT",
            Self::Window => "WINDOW",
            Self::Conditional => "CONDITIONAL",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// OpenLineage's documentation, "Column Level Lineage Dataset Facet", "Transformation Type".
    #[test]
    fn effects_have_openlineages_names_and_types() {
        for (effect, name, is_direct) in [
            (Effect::Identity, "IDENTITY", true),
            (Effect::Transformation, "TRANSFORMATION", true),
            (Effect::Aggregation, "AGGREGATION", true),
            (Effect::Join, "JOIN", false),
            (Effect::GroupBy, "GROUP_BY", false),
            (Effect::Filter, "FILTER", false),
            (Effect::Sort, "SORT", false),
            (Effect::Window, "WINDOW", false),
            (Effect::Conditional, "CONDITIONAL", false),
        ] {
            assert_eq!((effect.name(), effect.is_direct()), (name, is_direct));
            assert_eq!(json!(effect), name, "in the manifest as in the event");
        }
    }
}
