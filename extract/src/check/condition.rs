use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    compute::cast,
    datatypes::DataType,
};
use stepwell_pipeline::spec::Column;

use super::{compile::compile, evaluate::Node};

/// A condition in SQL that a record must not make false.
///
/// As in a CHECK constraint of SQL, a condition that is null (unknown) is met: `air_time > 0` does not reject records
/// without an `air_time`; `required` does. A condition that cannot be computed for a record, by overflow or division
/// by zero, is not met.
#[derive(Debug)]
pub(crate) struct Condition {
    column: usize,
    columns: Vec<usize>,
    types: Vec<DataType>,
    text: String,
    root: Node,
}

impl Condition {
    /// The condition that a column declares, if it declares one.
    ///
    /// # Errors
    /// What is wrong with it: syntax, unknown columns with the nearest name, types that do not go together, and what
    /// of SQL is not supported.
    pub(crate) fn new(columns: &[Column], column: usize) -> Result<Option<Self>, String> {
        let Some(declared) = columns.get(column).and_then(|column| column.check.as_ref()) else { return Ok(None) };
        let (root, needed) = compile(&declared.value, columns)?;
        let types = needed.iter().map(|index| columns[*index].column_type.arrow_type()).collect();
        Ok(Some(Self { column, columns: needed, types, text: declared.value.trim().to_owned(), root }))
    }

    /// The index of the column that declares it.
    pub(crate) fn column(&self) -> usize {
        self.column
    }

    /// The indices of the columns whose values it needs.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// What a reject says: the condition, never a value.
    pub(crate) fn message(&self) -> String {
        const SHOWN_CHARS_MAX: usize = 200;
        let shown: String = self.text.chars().take(SHOWN_CHARS_MAX).collect();
        let rest = if shown.len() < self.text.len() { "…" } else { "" };
        format!("the condition `{shown}{rest}` is not met")
    }

    /// The records that do not meet it, in ascending order. `arrays` are the values of [`Self::columns`], in their
    /// order and one entry a record.
    pub(crate) fn failing(&self, arrays: &[ArrayRef]) -> Vec<u32> {
        let mut failing = Vec::new();
        let records = arrays.first().map_or(0, |array| array.len());
        // Values may come in another form of the declared type, such as a dictionary of strings.
        let declared: Result<Vec<ArrayRef>, _> =
            arrays.iter().zip(&self.types).map(|(array, data_type)| cast(array, data_type)).collect();
        match declared {
            Ok(arrays) => self.gather(&arrays, 0, records, &mut failing),
            Err(_) => failing.extend((0..records).map(|record| record as u32)),
        }
        failing
    }

    /// The kernels fail as a whole where one record overflows: halves are tried until it stands alone.
    fn gather(&self, arrays: &[ArrayRef], first: usize, records: usize, failing: &mut Vec<u32>) {
        match self.root.evaluate(arrays, records).and_then(|value| value.into_booleans(records)) {
            Ok(met) => failing.extend(false_entries(&met).map(|record| (first + record) as u32)),
            Err(_) if records <= 1 => failing.extend((records == 1).then_some(first as u32)),
            Err(_) => {
                let half = records / 2;
                for (start, length) in [(0, half), (half, records - half)] {
                    let slices: Vec<ArrayRef> = arrays.iter().map(|array| array.slice(start, length)).collect();
                    self.gather(&slices, first + start, length, failing);
                }
            }
        }
    }
}

fn false_entries(met: &BooleanArray) -> impl Iterator<Item = usize> {
    (0..met.len()).filter(|record| met.is_valid(*record) && !met.value(*record))
}
