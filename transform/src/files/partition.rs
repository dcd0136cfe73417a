//! Sorts records into hive partitions.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::{cast, concat_batches, take_record_batch},
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
    row::{RowConverter, SortField},
};

/// What hive escapes in a partition's directory name, beside control characters (Apache Hive,
/// `FileUtils.charToEscape`).
const HIVE_ESCAPED: &str = "\"#%'*/:=?\\{[]^\u{7f}";
/// The directory of null (Apache Hive, `hive.exec.default.partition.name`).
pub(crate) const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Splits batches by the values of the partition columns, which the split batches no longer hold.
pub(crate) struct Partitioner {
    columns: Vec<(String, usize)>,
    kept: Vec<usize>,
    kept_schema: SchemaRef,
    converter: RowConverter,
    /// The directories met so far, by the encoded values.
    directories: HashMap<Box<[u8]>, usize>,
    names: Vec<Arc<str>>,
}

impl Partitioner {
    pub(crate) fn new(schema: &SchemaRef, partition_columns: &[String]) -> Result<Self, ArrowError> {
        let columns = partition_columns
            .iter()
            .map(|name| Ok((name.clone(), schema.index_of(name)?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let kept: Vec<usize> =
            (0..schema.fields().len()).filter(|index| columns.iter().all(|(_, column)| column != index)).collect();
        let kept_schema = schema.project(&kept)?.into();
        let fields = columns.iter().map(|(_, index)| SortField::new(schema.field(*index).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { columns, kept, kept_schema, converter, directories: HashMap::new(), names: Vec::new() })
    }

    /// The schema of the split batches.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.kept_schema.clone()
    }

    /// How many directories were met so far.
    pub(crate) fn directories(&self) -> usize {
        self.names.len()
    }

    /// The columns that the split batches hold.
    pub(crate) fn kept(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        batch.project(&self.kept)
    }

    /// The batches' records by directory (`year=2013/month=1`), in their order; the directories in the order in which
    /// they were first met. Without partition columns, the batches as they are.
    ///
    /// Directories share the memory of their records: many small arrays would cost more to allocate than to fill.
    pub(crate) fn split(&mut self, batches: Vec<RecordBatch>) -> Result<Vec<(Arc<str>, RecordBatch)>, ArrowError> {
        if self.columns.is_empty() {
            return batches.iter().map(|batch| Ok(("".into(), self.kept(batch)?))).collect();
        }
        let Some(first) = batches.first() else { return Ok(Vec::new()) };
        let batch = concat_batches(&first.schema(), &batches)?;
        drop(batches);
        let rows_of = self.rows_by_directory(&batch)?;
        let rows: Vec<u32> = rows_of.iter().flatten().copied().collect();
        let sorted = take_record_batch(&self.kept(&batch)?, &UInt32Array::from(rows))?;
        let mut start = 0;
        let mut split = Vec::new();
        for (name, rows) in self.names.iter().zip(rows_of).filter(|(_, rows)| !rows.is_empty()) {
            split.push((name.clone(), without_others(&sorted.slice(start, rows.len()))?));
            start += rows.len();
        }
        Ok(split)
    }

    fn rows_by_directory(&mut self, batch: &RecordBatch) -> Result<Vec<Vec<u32>>, ArrowError> {
        let values: Vec<ArrayRef> = self.columns.iter().map(|(_, index)| batch.column(*index).clone()).collect();
        let keys = self.converter.convert_columns(&values)?;
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); self.names.len()];
        let mut last: Option<(&[u8], usize)> = None;
        for (row, key) in keys.iter().enumerate() {
            let key = key.data();
            let directory = match last {
                Some((same, directory)) if same == key => directory,
                _ => self.directory(key, &values, row, &mut rows_of)?,
            };
            rows_of[directory].push(row as u32);
            last = Some((key, directory));
        }
        Ok(rows_of)
    }

    /// The number of the directory of a key.
    fn directory(
        &mut self,
        key: &[u8],
        values: &[ArrayRef],
        row: usize,
        rows_of: &mut Vec<Vec<u32>>,
    ) -> Result<usize, ArrowError> {
        if let Some(directory) = self.directories.get(key) {
            return Ok(*directory);
        }
        let name: Arc<str> = self.name(values, row)?.into();
        // Different values may have the same text, such as -0 and 0 of another scale.
        let directory = match self.names.iter().position(|known| *known == name) {
            Some(directory) => directory,
            None => {
                self.names.push(name);
                rows_of.push(Vec::new());
                self.names.len() - 1
            }
        };
        self.directories.insert(key.into(), directory);
        Ok(directory)
    }

    fn name(&self, values: &[ArrayRef], row: usize) -> Result<String, ArrowError> {
        let mut segments = Vec::with_capacity(self.columns.len());
        for ((name, _), values) in self.columns.iter().zip(values) {
            let text = cast(&values.slice(row, 1), &DataType::Utf8)?;
            let text = text.as_string::<i32>();
            let value = if text.is_valid(0) { escaped(text.value(0)) } else { HIVE_NULL.to_owned() };
            segments.push(format!("{}={value}", escaped(name)));
        }
        Ok(segments.join("/"))
    }
}

/// Views hold on to all strings that they were taken from, and would be stored with them.
fn without_others(slice: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let own = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    };
    RecordBatch::try_new(slice.schema(), slice.columns().iter().map(own).collect())
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
        let mut partitioner = Partitioner::new(&schema, &["year".into(), "city".into()]).expect("columns");
        let split = partitioner.split(vec![batch]).expect("splits");
        let ids: Vec<(&str, Vec<i16>)> = split
            .iter()
            .map(|(directory, rows)| {
                assert_eq!(rows.num_columns(), 1);
                (&**directory, rows.column(0).as_primitive::<Int16Type>().values().to_vec())
            })
            .collect();
        assert_eq!(
            ids,
            [
                ("year=2013/city=a%2Fb%3Dc", vec![1, 4]),
                ("year=2013/city=__HIVE_DEFAULT_PARTITION__", vec![2]),
                ("year=__HIVE_DEFAULT_PARTITION__/city=Łódź 1", vec![3]),
            ]
        );
    }
}
