use std::sync::{Arc, Mutex, PoisonError};

use arrow::{array::ArrayRef, datatypes::FieldRef};
use parquet::{
    arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves},
    errors::{ParquetError, Result},
};
use tokio::task::JoinHandle;

/// The writers of one column of a row group: several where the column is nested.
pub(super) struct Column {
    pub(super) field: FieldRef,
    pub(super) writers: Vec<ArrowColumnWriter>,
}

/// Something to be done to one column.
pub(super) enum Job {
    /// Encodes more values.
    Write(Column, ArrayRef),
    /// Ends the column's chunk.
    Close(Column),
}

/// What came of a job.
pub(super) enum Done {
    /// The column goes on.
    Written(Column),
    /// The column's chunks.
    Closed(Vec<ArrowColumnChunk>),
}

/// Jobs that are being done; their results come in the jobs' order.
pub(super) enum Running {
    Ended(Vec<Result<Done>>),
    Threads(Vec<JoinHandle<()>>, Arc<Shared>),
}

pub(super) struct Shared {
    queue: Mutex<std::iter::Enumerate<std::vec::IntoIter<Job>>>,
    results: Mutex<Vec<Option<Result<Done>>>>,
}

/// Does jobs column by column, on as many threads as there are cores; on one core, on the caller's.
#[derive(Clone, Copy)]
pub(super) struct Encoder {
    threads: usize,
}

impl Encoder {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads }
    }

    pub(super) fn start(&self, jobs: Vec<Job>) -> Running {
        if self.threads < 2 || jobs.len() < 2 {
            return Running::Ended(jobs.into_iter().map(done).collect());
        }
        let results = Mutex::new(jobs.iter().map(|_| None).collect());
        let shared = Arc::new(Shared { queue: Mutex::new(jobs.into_iter().enumerate()), results });
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
            let result = done(job);
            let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = results.get_mut(index) {
                *place = Some(result);
            }
        }
    }
}

fn done(job: Job) -> Result<Done> {
    match job {
        Job::Write(mut column, values) => {
            for (writer, leaf) in column.writers.iter_mut().zip(compute_leaves(&column.field, &values)?) {
                writer.write(&leaf)?;
            }
            Ok(Done::Written(column))
        }
        Job::Close(column) => {
            Ok(Done::Closed(column.writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<_>>()?))
        }
    }
}
