use std::{collections::BTreeMap, iter, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    buffer::Buffer,
    datatypes::SchemaRef,
    ipc::{reader::StreamDecoder, writer::StreamWriter},
};
use parquet::errors::Result;

use super::pages::{Held, PagePool};

/// Records in memory take at most about so much; the rest waits in temporary storage.
const MEMORY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Records in memory and temporary storage take at most about so much.
const BYTES_MAX: usize = 224 * 1024 * 1024;
/// The records of a partition are written when they are so many or take so much.
const SHELF_RECORDS_MAX: usize = 1024 * 1024;
const SHELF_BYTES_MAX: usize = 48 * 1024 * 1024;
/// About so many bytes of records are taken back at a time.
const TAKEN_BYTES: usize = 4 * 1024 * 1024;

/// A partition's records in their order, some batches at a time.
pub(super) type Shelved = Box<dyn Iterator<Item = Result<Vec<RecordBatch>>> + Send>;

/// Keeps the records of each partition until there are enough of them for a row group.
///
/// Encoders take a megabyte or more for each column, whatever they hold: only one partition can be written at a time.
pub(super) struct Shelves {
    schema: SchemaRef,
    pool: Arc<PagePool>,
    shelves: BTreeMap<Arc<str>, Shelf>,
    memory_bytes: usize,
    bytes: usize,
}

#[derive(Default)]
struct Shelf {
    stored: Vec<Held>,
    batches: Vec<RecordBatch>,
    memory_bytes: usize,
    bytes: usize,
    records: usize,
}

impl Shelves {
    pub(super) fn new(schema: SchemaRef, pool: Arc<PagePool>) -> Self {
        Self { schema, pool, shelves: BTreeMap::new(), memory_bytes: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, directory: Arc<str>, rows: RecordBatch) -> Result<()> {
        let bytes = bytes_of(&rows);
        let shelf = self.shelves.entry(directory).or_default();
        shelf.records += rows.num_rows();
        shelf.batches.push(rows);
        shelf.memory_bytes += bytes;
        shelf.bytes += bytes;
        self.memory_bytes += bytes;
        self.bytes += bytes;
        if self.memory_bytes > MEMORY_BYTES_MAX { self.store() } else { Ok(()) }
    }

    /// The partition whose records are to be written now, if there are enough of any.
    pub(super) fn full(&self) -> Option<Arc<str>> {
        let largest = self.shelves.iter().max_by_key(|(_, shelf)| shelf.bytes)?;
        let is_full = |shelf: &Shelf| shelf.records >= SHELF_RECORDS_MAX || shelf.bytes >= SHELF_BYTES_MAX;
        let full = self.shelves.iter().find(|(_, shelf)| is_full(shelf));
        full.or((self.bytes > BYTES_MAX).then_some(largest)).map(|(directory, _)| directory.clone())
    }

    /// The partitions that have records.
    pub(super) fn directories(&self) -> Vec<Arc<str>> {
        self.shelves.keys().cloned().collect()
    }

    /// Takes a partition's records away.
    pub(super) fn take(&mut self, directory: &str) -> Option<Shelved> {
        let shelf = self.shelves.remove(directory)?;
        self.memory_bytes -= shelf.memory_bytes;
        self.bytes -= shelf.bytes;
        let pool = self.pool.clone();
        let mut stored = shelf.stored.into_iter().peekable();
        let mut batches = Some(shelf.batches);
        Some(Box::new(iter::from_fn(move || {
            if stored.peek().is_none() {
                return batches.take().filter(|batches| !batches.is_empty()).map(Ok);
            }
            let mut bytes = 0;
            let mut taken = Vec::new();
            while bytes < TAKEN_BYTES
                && let Some(held) = stored.next()
            {
                bytes += held.bytes();
                match read(&pool, held) {
                    Ok(batches) => taken.extend(batches),
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(Ok(taken))
        })))
    }

    /// Moves all shelves to temporary storage: records that came together share their memory.
    fn store(&mut self) -> Result<()> {
        for shelf in self.shelves.values_mut().filter(|shelf| !shelf.batches.is_empty()) {
            let mut writer = StreamWriter::try_new(Vec::with_capacity(shelf.memory_bytes * 9 / 8), &self.schema)?;
            for batch in shelf.batches.drain(..) {
                writer.write(&batch)?;
            }
            shelf.stored.push(self.pool.store(&writer.into_inner()?)?);
            shelf.memory_bytes = 0;
        }
        self.memory_bytes = 0;
        Ok(())
    }
}

/// How many bytes of memory records take, those that they share with others aside.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(bytes_of_array).sum()
}

/// How many bytes of memory values take, those that they share with others aside.
pub(super) fn bytes_of_array(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_default()
}

/// The records that a pool holds; they share its memory.
fn read(pool: &PagePool, held: Held) -> Result<Vec<RecordBatch>> {
    let mut bytes = Buffer::from(pool.release(held)?);
    let mut decoder = StreamDecoder::new();
    iter::from_fn(|| decoder.decode(&mut bytes).transpose()).map(|batch| Ok(batch?)).collect()
}
