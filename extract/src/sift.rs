//! Separates the records of a block into accepted ones, gathered by column, and rejects.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::cast,
    datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef},
};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::ColumnProfile,
    reject::RejectCode,
    spec::{CheckedSpec, Column, ColumnType, EXTRA, Pii, UnknownColumns},
    stage::{HashKey, StageContext},
};

use crate::{
    check::Condition,
    column::{Coding, ColumnParser, Faults, Selection, keyed},
    decode::Block,
    profile::ColumnProfiler,
};

/// A batch of wide records ends when it has so many bytes of the source.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What all `unique` columns of an object together remember: as many as a table of 2²¹ places of 17 bytes takes before
/// it doubles.
const UNIQUE_VALUES_MAX: usize = (1 << 21) / 8 * 7;

/// Sorts records into accepted ones and rejects.
pub(crate) struct Sifter {
    schema: SchemaRef,
    columns: Vec<ColumnParser>,
    is_kept: Vec<bool>,
    conditions: Vec<Condition>,
    unique: Vec<UniqueColumn>,
    profile: Vec<ColumnProfiler>,
    batches: BatchCuts,
    faults: Faults,
    records_read: u64,
}

struct UniqueColumn {
    column: usize,
    /// Hashes what is remembered of personal data, which a checkpoint writes down.
    secret: Option<Hmac<Sha256>>,
    seen: HashSet<u128>,
}

impl UniqueColumn {
    fn new(index: usize, column: &Column, key: Option<&HashKey>) -> Result<Self, StageError> {
        let secret = match (column.pii, key) {
            (None, _) => None,
            (Some(_), Some(key)) => Some(keyed(key)?),
            (Some(_), None) => {
                let message = format!(
                    "column `{}` is unique and personal: what is remembered of it is hashed; set PII_HASH_KEY",
                    column.name
                );
                return Err(StageError::new(ErrorKind::InvalidInput, message));
            }
        };
        Ok(Self { column: index, secret, seen: HashSet::new() })
    }

    /// What is remembered of a value's key.
    fn remembered(&self, key: u128) -> u128 {
        let Some(secret) = &self.secret else { return key };
        let mut hash = secret.clone();
        hash.update(&key.to_le_bytes());
        let digest = hash.finalize().into_bytes();
        digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
    }
}

/// What a sifter needs to go on in another process, beside the records gathered and the values seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SifterState {
    records_read: u64,
    batches: BatchCuts,
    profile: Vec<ColumnProfiler>,
    /// By kept column.
    codings: Vec<Option<Coding>>,
}

impl Sifter {
    pub(crate) fn new(context: &StageContext, spec: &CheckedSpec) -> Result<Self, StageError> {
        let key = context.hash_key.as_ref();
        let mut columns = parsers(&spec.columns, key)?;
        let mut declared: Vec<Column> = spec.columns.clone();
        if spec.spec.unknown_columns == UnknownColumns::Keep {
            let extra = Column { nulls: Vec::new(), ..Column::new(EXTRA, ColumnType::String) };
            columns.push(ColumnParser::new(columns.len(), &extra, None)?);
            declared.push(extra);
        }
        let mut conditions = Vec::new();
        for column in 0..spec.columns.len() {
            let condition = Condition::new(&spec.columns, column)
                .map_err(|message| StageError::new(ErrorKind::InvalidSpec, message))?;
            conditions.extend(condition);
        }
        let is_kept: Vec<bool> = declared.iter().map(|column| column.pii != Some(Pii::Drop)).collect();
        let profiled = declared.iter().zip(&is_kept).filter(|(_, kept)| **kept).map(|(column, _)| column);
        Ok(Self {
            schema: spec.staged_schema(),
            profile: profiled
                .map(|column| ColumnProfiler::new(&column.name, column.column_type.to_string(), declared.len()))
                .collect(),
            unique: spec
                .columns
                .iter()
                .enumerate()
                .filter(|(_, column)| column.unique)
                .map(|(index, column)| UniqueColumn::new(index, column, key))
                .collect::<Result<_, _>>()?,
            conditions,
            is_kept,
            batches: BatchCuts::new(context.limits.batch_records),
            faults: Faults::new(0),
            columns,
            records_read: 0,
        })
    }

    /// Parses columns as another format of source writes them from now on. What is gathered stays.
    pub(crate) fn use_columns(&mut self, context: &StageContext, columns: &[Column]) -> Result<(), StageError> {
        let parsers = parsers(columns, context.hash_key.as_ref())?;
        for (index, mut parser) in parsers.into_iter().enumerate() {
            if self.is_kept[index] {
                let earlier = &mut self.columns[index];
                parser.resume(earlier.coding());
                parser.restore(&plain(&earlier.take(earlier.len()))?)?;
            }
            self.columns[index] = parser;
        }
        Ok(())
    }

    /// Sorts the records of a block. Those that are bad are in [`Sifter::faults`] until the next block.
    pub(crate) fn sift<B: Block>(&mut self, block: &B) -> Result<(), StageError> {
        let records = block.records();
        self.records_read += records as u64;
        self.faults.reset(records);
        block.mark(&mut self.faults);
        let declared = self.columns.len() - usize::from(self.has_extra());
        for (column, parser) in self.columns.iter_mut().enumerate() {
            let cells = if column < declared { block.cells(column) } else { block.extra() };
            parser.parse(&cells, &mut self.faults);
        }
        self.check_conditions(block);
        self.check_unique(block)?;
        let good = if self.faults.any() { Some(self.faults.good()) } else { None };
        let selection = good.as_deref().map_or(Selection::All(records), Selection::Some);
        for (column, parser) in self.columns.iter_mut().enumerate() {
            let cells = if column < declared { block.cells(column) } else { block.extra() };
            parser.keep(&cells, &selection);
        }
        match selection {
            Selection::All(records) => (0..records).for_each(|record| self.batches.add(block.record_bytes(record))),
            Selection::Some(selected) => {
                selected.iter().for_each(|record| self.batches.add(block.record_bytes(*record as usize)));
            }
        }
        Ok(())
    }

    /// The bad records of the last block.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How many records were read.
    pub(crate) fn records_read(&self) -> u64 {
        self.records_read
    }

    /// The next whole batch of accepted records or, `at_end`, the last one.
    pub(crate) fn next_batch(&mut self, at_end: bool) -> Result<Option<RecordBatch>, StageError> {
        let Some(records) = self.batches.take(at_end) else { return Ok(None) };
        let batch = self.take(records)?;
        for (profiler, array) in self.profile.iter_mut().zip(batch.columns()) {
            profiler.observe(array);
        }
        Ok(Some(batch))
    }

    /// The columns of all batches so far.
    pub(crate) fn profile(&self) -> Vec<ColumnProfile> {
        self.profile.iter().zip(self.schema.fields()).map(|(column, field)| column.finish(field.data_type())).collect()
    }

    /// What is needed to go on in another process: the state, the accepted records that are in no batch yet, and
    /// the values seen of each unique column.
    pub(crate) fn save(&mut self) -> Result<(SifterState, RecordBatch, Vec<Vec<u8>>), StageError> {
        let state = SifterState {
            records_read: self.records_read,
            batches: self.batches.clone(),
            profile: self.profile.clone(),
            codings: self.kept().map(|parser| parser.coding()).collect(),
        };
        let rest = self.take(self.batches.records())?;
        let rest = rest.columns().iter().map(plain).collect::<Result<_, _>>()?;
        let rest = batch(self.schema.clone(), rest)?;
        // The round ends with it: the table makes room for the list.
        let seen = self.unique.iter_mut().map(|column| {
            let mut seen: Vec<u128> = mem::take(&mut column.seen).into_iter().collect();
            seen.sort_unstable();
            seen.into_iter().flat_map(u128::to_le_bytes).collect()
        });
        Ok((state, rest, seen.collect()))
    }

    /// Goes on where [`Sifter::save`] was.
    pub(crate) fn restore(
        &mut self,
        state: SifterState,
        rest: &RecordBatch,
        seen: &[impl AsRef<[u8]>],
    ) -> Result<(), StageError> {
        self.records_read = state.records_read;
        self.batches = state.batches;
        self.profile = state.profile;
        for ((parser, array), coding) in self.kept().zip(rest.columns()).zip(state.codings) {
            parser.resume(coding);
            parser.restore(array)?;
        }
        for (column, seen) in self.unique.iter_mut().zip(seen) {
            let values = seen.as_ref().chunks_exact(16).filter_map(|bytes| bytes.try_into().ok());
            column.seen = values.map(u128::from_le_bytes).collect();
        }
        Ok(())
    }

    /// How many columns are unique.
    pub(crate) fn unique_columns(&self) -> usize {
        self.unique.len()
    }

    fn has_extra(&self) -> bool {
        self.schema.fields().last().is_some_and(|field| field.name() == EXTRA)
    }

    fn kept(&mut self) -> impl Iterator<Item = &mut ColumnParser> {
        self.columns.iter_mut().zip(&self.is_kept).filter(|(_, kept)| **kept).map(|(parser, _)| parser)
    }

    /// A batch of the gathered records; the type of a column of text may be a dictionary.
    fn take(&mut self, records: usize) -> Result<RecordBatch, StageError> {
        let arrays: Vec<ArrayRef> = self.kept().map(|parser| parser.take(records)).collect();
        let of_array = |(field, array): (&FieldRef, &ArrayRef)| match array.data_type() {
            same if same == field.data_type() => field.clone(),
            other => Arc::new(field.as_ref().clone().with_data_type(other.clone())),
        };
        let fields: Fields = self.schema.fields().iter().zip(&arrays).map(of_array).collect();
        batch(Arc::new(Schema::new(fields)), arrays)
    }

    fn check_conditions<B: Block>(&mut self, block: &B) {
        for condition in &self.conditions {
            let arrays: Vec<ArrayRef> = condition
                .columns()
                .iter()
                .map(|needed| self.columns[*needed].block_array(&block.cells(*needed)))
                .collect();
            for record in condition.failing(&arrays) {
                let column = Some(condition.column());
                self.faults.add(record as usize, column, RejectCode::CheckFailed, condition.message());
            }
        }
    }

    /// A value counts as seen only with the record that is accepted with it.
    fn check_unique<B: Block>(&mut self, block: &B) -> Result<(), StageError> {
        if self.unique.is_empty() {
            return Ok(());
        }
        let cells: Vec<_> = self.unique.iter().map(|unique| block.cells(unique.column)).collect();
        let mut keys = Vec::with_capacity(self.unique.len());
        for record in 0..block.records() {
            if self.faults.is_bad(record) {
                continue;
            }
            keys.clear();
            keys.extend(self.unique.iter().zip(&cells).map(|(unique, cells)| {
                let key = self.columns[unique.column].unique_key(cells, record);
                key.map(|key| unique.remembered(key))
            }));
            let seen =
                |(unique, key): (&UniqueColumn, &Option<u128>)| key.is_some_and(|key| unique.seen.contains(&key));
            if let Some(repeated) = self.unique.iter().zip(&keys).position(seen) {
                self.faults.add(
                    record,
                    Some(self.unique[repeated].column),
                    RejectCode::NotUnique,
                    "the value stands in an earlier record, too",
                );
                continue;
            }
            for (unique, key) in self.unique.iter_mut().zip(&keys) {
                unique.seen.extend(key);
            }
            if self.unique.iter().map(|unique| unique.seen.len()).sum::<usize>() > UNIQUE_VALUES_MAX {
                return Err(StageError::new(
                    ErrorKind::UnreadableSource,
                    format!(
                        "the columns declared `unique` have more than {UNIQUE_VALUES_MAX} values, too many to remember; \
                         use `load.dedupe` instead"
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn batch(schema: SchemaRef, arrays: Vec<ArrayRef>) -> Result<RecordBatch, StageError> {
    RecordBatch::try_new(schema, arrays)
        .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot build a batch", error))
}

/// An array with the values themselves where it has a dictionary of them.
fn plain(array: &ArrayRef) -> Result<ArrayRef, StageError> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values)
            .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot expand a dictionary", error)),
        _ => Ok(array.clone()),
    }
}

fn parsers(columns: &[Column], key: Option<&HashKey>) -> Result<Vec<ColumnParser>, StageError> {
    columns.iter().enumerate().map(|(index, column)| ColumnParser::new(index, column, key)).collect()
}

/// Where batches end: after so many records, or where so many bytes of the source are reached. It depends on the
/// records alone, not on the blocks in which they came.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct BatchCuts {
    batch_records: usize,
    whole: VecDeque<usize>,
    open_records: usize,
    open_bytes: usize,
}

impl BatchCuts {
    fn new(batch_records: usize) -> Self {
        Self { batch_records, whole: VecDeque::new(), open_records: 0, open_bytes: 0 }
    }

    fn add(&mut self, record_bytes: usize) {
        self.open_records += 1;
        self.open_bytes += record_bytes;
        if self.open_records == self.batch_records || self.open_bytes >= BATCH_BYTES {
            self.whole.push_back(self.open_records);
            (self.open_records, self.open_bytes) = (0, 0);
        }
    }

    fn take(&mut self, at_end: bool) -> Option<usize> {
        if let Some(records) = self.whole.pop_front() {
            return Some(records);
        }
        if !at_end || self.open_records == 0 {
            return None;
        }
        self.open_bytes = 0;
        Some(mem::take(&mut self.open_records))
    }

    /// The records in no batch yet.
    fn records(&self) -> usize {
        self.whole.iter().sum::<usize>() + self.open_records
    }
}
