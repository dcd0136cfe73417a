use std::{
    cmp::Reverse,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{array::ArrayRef, datatypes::FieldRef};
use parquet::{
    arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves},
    errors::{ParquetError, Result},
    file::writer::SerializedRowGroupWriter,
};
use tokio::task::JoinHandle;

use super::{
    flat::{Compressor, Compressors, FlatChunk, FlatWriter},
    shelf::bytes_of_array,
};

/// A column of a row group that is being written.
pub(super) enum Column {
    Flat(Box<FlatWriter>),
    /// Has several writers where it is nested.
    Nested(FieldRef, Vec<ArrowColumnWriter>),
}

impl Column {
    /// About how many bytes the column's chunks will have.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Flat(writer) => writer.bytes(),
            Self::Nested(_, writers) => writers.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum(),
        }
    }
}

/// A column chunk whose pages are written.
pub(super) enum Chunk {
    Flat(Box<FlatChunk>),
    Nested(Box<ArrowColumnChunk>),
}

impl Chunk {
    pub(super) fn append_to_row_group<W: Write + Send>(
        self,
        row_group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        match self {
            Self::Flat(chunk) => chunk.append_to_row_group(row_group),
            Self::Nested(chunk) => chunk.append_to_row_group(row_group),
        }
    }
}

/// Something to be done to one column.
pub(super) enum Job {
    /// Encodes more values.
    Write(Column, Vec<ArrayRef>),
    /// Ends the column's chunk.
    Close(Column),
}

impl Job {
    /// About how many bytes there are to work on.
    fn bytes(&self) -> usize {
        match self {
            Self::Write(_, arrays) => arrays.iter().map(bytes_of_array).sum(),
            Self::Close(column) => column.bytes(),
        }
    }
}

/// What came of a job.
pub(super) enum Done {
    /// The column goes on.
    Written(Column),
    /// The column's chunks.
    Closed(Vec<Chunk>),
}

/// Jobs that are being done; their results come in the jobs' order.
pub(super) enum Running {
    Ended(Vec<Result<Done>>),
    Threads(Vec<JoinHandle<()>>, Arc<Shared>),
}

pub(super) struct Shared {
    queue: Mutex<std::vec::IntoIter<(usize, Job)>>,
    results: Mutex<Vec<Option<Result<Done>>>>,
    compressors: Arc<Compressors>,
}

/// Does jobs column by column, on as many threads as there are cores; on one core, on the caller's.
pub(super) struct Encoder {
    threads: usize,
    compressors: Arc<Compressors>,
}

impl Encoder {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, compressors: Arc::default() }
    }

    pub(super) fn start(&self, jobs: Vec<Job>) -> Running {
        if self.threads < 2 || jobs.len() < 2 {
            return Running::Ended(jobs.into_iter().map(|job| done(job, &self.compressors)).collect());
        }
        let results = Mutex::new(jobs.iter().map(|_| None).collect());
        let mut queue: Vec<(usize, Job)> = jobs.into_iter().enumerate().collect();
        // Threads end at about the same time if none begins with the longest job when the others are done.
        queue.sort_by_cached_key(|(_, job)| Reverse(job.bytes()));
        let shared =
            Arc::new(Shared { queue: Mutex::new(queue.into_iter()), results, compressors: self.compressors.clone() });
        let threads = (0..self.threads).map(|_| {
            let shared = shared.clone();
            tokio::task::spawn_blocking(move || shared.work())
        });
        Running::Threads(threads.collect(), shared)
    }
}

impl Running {
    pub(super) async fn join(self) -> Result<Vec<Done>> {
        match self {
            Self::Ended(results) => results.into_iter().collect(),
            Self::Threads(threads, shared) => {
                for thread in threads {
                    thread.await.map_err(|error| ParquetError::External(Box::new(error)))?;
                }
                let results = std::mem::take(&mut *shared.results.lock().unwrap_or_else(PoisonError::into_inner));
                let lost = || Err(ParquetError::General("a column was not encoded".to_owned()));
                results.into_iter().map(|result| result.unwrap_or_else(lost)).collect()
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, job)) = next else { return };
            let result = done(job, &self.compressors);
            let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = results.get_mut(index) {
                *place = Some(result);
            }
        }
    }
}

fn done(job: Job, compressors: &Compressors) -> Result<Done> {
    match job {
        Job::Write(Column::Flat(mut writer), arrays) => {
            compressors.with(|compressor: &mut Compressor| {
                arrays.iter().try_for_each(|array| writer.write(array, compressor))
            })?;
            Ok(Done::Written(Column::Flat(writer)))
        }
        Job::Write(Column::Nested(field, mut writers), arrays) => {
            for array in arrays {
                for (writer, leaf) in writers.iter_mut().zip(compute_leaves(&field, &array)?) {
                    writer.write(&leaf)?;
                }
            }
            Ok(Done::Written(Column::Nested(field, writers)))
        }
        Job::Close(Column::Flat(writer)) => {
            let chunk = compressors.with(|compressor| writer.close(compressor))?;
            Ok(Done::Closed(vec![Chunk::Flat(Box::new(chunk))]))
        }
        Job::Close(Column::Nested(_, writers)) => {
            let chunks = writers.into_iter().map(|writer| Ok(Chunk::Nested(Box::new(writer.close()?))));
            Ok(Done::Closed(chunks.collect::<Result<_>>()?))
        }
    }
}
