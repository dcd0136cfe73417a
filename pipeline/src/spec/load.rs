use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

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
    /// The columns by which the records of a file are sorted.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub sort_by: Vec<Spanned<String>>,
    /// About how many MiB a file has at most; by default 128.
    #[serde(default)]
    #[schemars(with = "Option<u64>", range(min = 1, max = 4096))]
    pub file_mib: Option<Spanned<u64>>,
    /// The columns with a bloom filter, by which readers skip files and row groups.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub bloom_filters: Vec<Spanned<String>>,
    /// Which of several records with the same key is kept, within one object.
    #[serde(default)]
    pub dedupe: Option<DedupeSpec>,
}

/// The kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A directory of Parquet files.
    Parquet,
}

/// Which of several records with the same key is kept, as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedupeSpec {
    /// The columns that make the key.
    #[schemars(with = "Vec<String>")]
    pub key: Vec<Spanned<String>>,
    /// `first`, `last` (in the order of the source) or `max(column)`.
    #[schemars(with = "String")]
    pub keep: Spanned<String>,
}

/// Which of several records with the same key is kept, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// The columns that make the key.
    pub key: Vec<String>,
    /// Which record is kept.
    pub keep: Keep,
}

/// Which of several records is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The first in the source's order.
    First,
    /// The last in the source's order.
    Last,
    /// The one with the greatest value of a column; of several such, the last. Null is less than any value.
    Max(String),
}
