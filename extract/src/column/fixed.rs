//! Columns whose values all take the same room.

use arrow::{
    array::{Array, ArrayRef},
    buffer::NullBuffer,
};
use stepwell_pipeline::{reject::RejectCode, spec::Column};

use super::{
    cell::{Cell, Fields, Selection},
    conditions::{Limit, Report},
    faults::Unfit,
    nulls::{Nulls, Reader},
    values::Values,
};

/// A value of a fixed size.
pub(crate) trait Value: Copy + Default + PartialOrd {
    /// The same for equal values, different for different ones.
    fn key(self) -> u128;
}

/// Makes values of texts, and arrays of values.
pub(crate) trait Parser {
    /// What it makes.
    type Value: Value;

    /// The value of a text as most are written, where that is quick to tell. A text with white space around it is none.
    #[inline(always)]
    fn parse_usual(&self, _: Cell<'_>) -> Option<Self::Value> {
        None
    }

    /// The value of a text that is not null.
    fn parse(&mut self, cell: Cell<'_>) -> Result<Self::Value, Unfit>;

    /// An array of values.
    fn array(&self, values: Vec<Self::Value>, nulls: Option<NullBuffer>) -> ArrayRef;

    /// The values of such an array; `None`, if it is of another type.
    fn values(&self, array: &dyn Array) -> Option<Vec<Self::Value>>;
}

/// A column of values of a fixed size.
pub(crate) struct Fixed<P: Parser> {
    parser: P,
    /// Whether what is written as usual needs no look at the spellings of null, none being such a value.
    is_usual_value: bool,
    required: bool,
    default: Option<P::Value>,
    /// The keys of the values allowed, sorted.
    allowed: Option<Vec<u128>>,
    min: Option<P::Value>,
    max: Option<P::Value>,
    block: Vec<P::Value>,
    /// The nulls of the block, and the values that do not fit.
    block_nulls: Nulls,
    kept: Vec<P::Value>,
    kept_nulls: Nulls,
}

impl<P: Parser> Fixed<P> {
    /// The column's values, or what is wrong with those in its declaration.
    pub(super) fn new(mut parser: P, column: &Column, wrong: &mut Vec<String>) -> Self {
        let mut parsed = |key: &str, text: &str| {
            let value = parser.parse(Cell::from(text.as_bytes()));
            value.map_err(|unfit| wrong.push(format!("`{key}` `{text}`: {}", unfit.message(&column.column_type)))).ok()
        };
        let mut optional = |key, text: &Option<String>| text.as_ref().and_then(|text| parsed(key, text));
        let (default, min, max) =
            (optional("default", &column.default), optional("min", &column.min), optional("max", &column.max));
        let mut allowed: Vec<_> =
            column.allowed.iter().filter_map(|text| parsed("enum", text)).map(Value::key).collect();
        allowed.sort_unstable();
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            wrong.push("`min` is greater than `max`".into());
        }
        let is_null = |text: &String| parser.parse_usual(Cell::from(text.as_bytes())).is_some();
        Self {
            is_usual_value: !column.nulls.iter().any(is_null),
            parser,
            required: column.required,
            default,
            allowed: (!allowed.is_empty()).then_some(allowed),
            min,
            max,
            block: Vec::new(),
            block_nulls: Nulls::default(),
            kept: Vec::new(),
            kept_nulls: Nulls::default(),
        }
    }

    /// Reports the values of the block, nulls left out, that a condition is not true of.
    fn check(&self, report: &mut Report<'_>, mut fault: impl FnMut(P::Value) -> Option<(RejectCode, Limit)>) {
        for (record, value) in self.block.iter().enumerate() {
            if let Some((code, limit)) = fault(*value)
                && !self.block_nulls.contains(record)
            {
                report.beyond(record, code, limit);
            }
        }
    }
}

impl<P: Parser> Values for Fixed<P> {
    fn parse<F: Fields>(&mut self, reader: &Reader, fields: &F, report: &mut Report<'_>) {
        let Self { parser, block, block_nulls, .. } = self;
        let is_usual_value = self.is_usual_value;
        block.clear();
        block_nulls.clear();
        block.extend((0..fields.len()).map(|record| {
            if is_usual_value
                && let Some(cell) = fields.cell(record)
                && let Some(value) = parser.parse_usual(cell)
            {
                return value;
            }
            let Some(cell) = reader.read(fields, record) else {
                block_nulls.push(record);
                return P::Value::default();
            };
            parser.parse(cell).unwrap_or_else(|unfit| {
                report.unfit(record, unfit);
                block_nulls.push(record);
                P::Value::default()
            })
        }));
        if self.block_nulls.is_empty() {
            return;
        }
        if let Some(default) = self.default {
            self.block_nulls.iter().for_each(|record| self.block[record] = default);
            self.block_nulls.retain(|record| report.is_bad(record));
        } else if self.required {
            self.block_nulls.iter().for_each(|record| report.missing(record));
        }
    }

    fn check_allowed<F: Fields>(&self, _: &Reader, _: &F, report: &mut Report<'_>) {
        let Some(allowed) = &self.allowed else { return };
        self.check(report, |value| {
            allowed.binary_search(&value.key()).is_err().then_some((RejectCode::NotAllowed, Limit::Allowed))
        });
    }

    fn check_bounds<F: Fields>(&self, _: &Reader, _: &F, report: &mut Report<'_>) {
        if self.min.is_none() && self.max.is_none() {
            return;
        }
        // What is not a number is within no bounds.
        self.check(report, |value| {
            let is_above_least = self.min.is_none_or(|min| value >= min);
            let is_below_greatest = self.max.is_none_or(|max| value <= max);
            match (is_above_least, is_below_greatest) {
                (true, true) => None,
                (false, _) => Some((RejectCode::OutOfBounds, Limit::Min)),
                (true, false) => Some((RejectCode::OutOfBounds, Limit::Max)),
            }
        });
    }

    fn block_array<F: Fields>(&self, _: &Reader, _: &F) -> ArrayRef {
        self.parser.array(self.block.clone(), self.block_nulls.buffer(self.block.len()))
    }

    fn unique_key<F: Fields>(&self, _: &Reader, _: &F, record: usize) -> Option<u128> {
        (!self.block_nulls.contains(record)).then(|| self.block[record].key())
    }

    fn keep<F: Fields>(&mut self, _: &Reader, _: &F, selection: &Selection<'_>) {
        self.kept_nulls.append(self.kept.len(), &self.block_nulls, selection);
        match selection {
            Selection::All(records) => self.kept.extend_from_slice(&self.block[..*records]),
            Selection::Some(records) => self.kept.extend(records.iter().map(|record| self.block[*record as usize])),
        }
    }

    fn len(&self) -> usize {
        self.kept.len()
    }

    fn take(&mut self, records: usize) -> ArrayRef {
        let nulls = self.kept_nulls.take(records);
        self.parser.array(split_front(&mut self.kept, records), nulls)
    }

    fn restore(&mut self, array: &ArrayRef) -> Option<()> {
        let values = self.parser.values(array)?;
        self.kept_nulls.append_array(self.kept.len(), array);
        self.kept.extend(values);
        Some(())
    }
}

/// The first values; the rest moves up, with as much room behind it as there was.
pub(super) fn split_front<T: Copy>(values: &mut Vec<T>, count: usize) -> Vec<T> {
    let mut rest = Vec::with_capacity(values.capacity());
    rest.extend_from_slice(&values[count..]);
    values.truncate(count);
    std::mem::replace(values, rest)
}

/// The values of a column of one type within a list or a struct.
pub(super) struct Leaf<P: Parser> {
    pub(super) parser: P,
    pub(super) values: Vec<P::Value>,
    pub(super) nulls: Nulls,
}

impl<P: Parser> Leaf<P> {
    pub(super) fn new(parser: P) -> Self {
        Self { parser, values: Vec::new(), nulls: Nulls::default() }
    }

    /// Appends a value; null, if there is none or it does not fit.
    pub(super) fn push(&mut self, text: Option<&[u8]>) -> Result<(), Unfit> {
        let parsed = text.map(|text| self.parser.parse(Cell::from(text))).transpose();
        let value = parsed.as_ref().ok().copied().flatten();
        if value.is_none() {
            self.nulls.push(self.values.len());
        }
        self.values.push(value.unwrap_or_default());
        parsed.map(|_| ())
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let nulls = self.nulls.take(self.values.len());
        self.parser.array(std::mem::take(&mut self.values), nulls)
    }
}
