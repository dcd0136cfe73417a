//! Sorts records into hive partitions.

use std::{collections::BTreeMap, fmt::Write};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::{cast, take_record_batch},
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
};

/// What hive escapes in a partition's directory name, beside control characters (Apache Hive,
/// `FileUtils.charToEscape`).
const HIVE_ESCAPED: &str = "\"#%'*/:=?\\{[]^\u{7f}";
/// The directory of null (Apache Hive, `hive.exec.default.partition.name`).
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Splits batches by the values of the partition columns, which the split batches no longer hold.
pub(crate) struct Partitioner {
    columns: Vec<(String, usize)>,
    kept: Vec<usize>,
    kept_schema: SchemaRef,
}

impl Partitioner {
    pub(crate) fn new(schema: &SchemaRef, partition_columns: &[&str]) -> Result<Self, ArrowError> {
        let columns = partition_columns
            .iter()
            .map(|name| Ok(((*name).to_owned(), schema.index_of(name)?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let kept: Vec<usize> =
            (0..schema.fields().len()).filter(|index| columns.iter().all(|(_, column)| column != index)).collect();
        let kept_schema = schema.project(&kept)?.into();
        Ok(Self { columns, kept, kept_schema })
    }

    /// The schema of the split batches.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.kept_schema.clone()
    }

    /// The batch's records by directory (`year=2013/month=1`), in their order.
    pub(crate) fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>, ArrowError> {
        let kept = batch.project(&self.kept)?;
        if self.columns.is_empty() {
            return Ok(vec![(String::new(), kept)]);
        }
        let values = self
            .columns
            .iter()
            .map(|(_, index)| cast(batch.column(*index), &DataType::Utf8))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let values: Vec<_> = values.iter().map(|column| column.as_string::<i32>()).collect();
        let mut rows_of: BTreeMap<Vec<Option<&str>>, Vec<u32>> = BTreeMap::new();
        let mut key = Vec::with_capacity(values.len());
        for row in 0..batch.num_rows() {
            key.clear();
            key.extend(values.iter().map(|column| column.is_valid(row).then(|| column.value(row))));
            match rows_of.get_mut(&key) {
                Some(rows) => rows.push(row as u32),
                None => {
                    rows_of.insert(key.clone(), vec![row as u32]);
                }
            }
        }
        rows_of
            .into_iter()
            .map(|(key, rows)| {
                let rows = if rows.len() == kept.num_rows() {
                    kept.clone()
                } else {
                    take_record_batch(&kept, &UInt32Array::from(rows))?
                };
                Ok((self.directory(&key), rows))
            })
            .collect()
    }

    fn directory(&self, values: &[Option<&str>]) -> String {
        let segment = |((name, _), value): (&(String, usize), &Option<&str>)| {
            let name = escaped(name);
            match value {
                Some(value) => format!("{name}={}", escaped(value)),
                None => format!("{name}={HIVE_NULL}"),
            }
        };
        self.columns.iter().zip(values).map(segment).collect::<Vec<_>>().join("/")
    }
}

/// Hive reads an escape as one character, not as a byte of UTF-8: what is beyond ASCII must stay as it is.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        if character.is_ascii_control() || HIVE_ESCAPED.contains(character) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{:02X}", u32::from(character));
        } else {
            escaped.push(character);
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int16Array, StringArray},
        datatypes::{Field, Int16Type, Schema},
    };

    use super::*;

    #[test]
    fn records_go_to_the_directories_that_hive_readers_expect() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int16, false),
            Field::new("city", DataType::Utf8, true),
            Field::new("year", DataType::Int16, true),
        ]));
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(Int16Array::from(vec![1, 2, 3, 4])),
                Arc::new(StringArray::from(vec![Some("a/b=c"), None, Some("Łódź 1"), Some("a/b=c")])),
                Arc::new(Int16Array::from(vec![Some(2013), Some(2013), None, Some(2013)])),
            ],
        )
        .expect("a batch");
        let partitioner = Partitioner::new(&schema, &["year", "city"]).expect("columns");
        let split = partitioner.split(&batch).expect("splits");
        let ids: Vec<(&str, Vec<i16>)> = split
            .iter()
            .map(|(directory, rows)| {
                assert_eq!(rows.num_columns(), 1);
                (directory.as_str(), rows.column(0).as_primitive::<Int16Type>().values().to_vec())
            })
            .collect();
        assert_eq!(
            ids,
            [
                ("year=__HIVE_DEFAULT_PARTITION__/city=Łódź 1", vec![3]),
                ("year=2013/city=__HIVE_DEFAULT_PARTITION__", vec![2]),
                ("year=2013/city=a%2Fb%3Dc", vec![1, 4]),
            ]
        );
    }
}
