use std::mem;

use serde::{Deserialize, Serialize};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::RejectFiles,
    reject::{ReasonCount, ReasonTally, Reject},
    run::Run,
    stage::StageContext,
    store::{self, ObjectRef},
};

use super::Target;

/// Rejects are gathered to this size before they go to the store.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// What stands between rejected records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A record a line, below the header where there is one.
    Lines,
    /// A JSON array.
    Array,
}

/// Writes rejects twice: as they were, and with their reasons.
pub(crate) struct RejectWriter {
    target: Target,
    framing: Framing,
    header: Option<Vec<u8>>,
    records: Pieces,
    reasons: Pieces,
    tally: ReasonTally,
    count: u64,
}

/// What a writer needs to go on in another process, beside the open pieces.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RejectState {
    count: u64,
    records_pieces: u32,
    reasons_pieces: u32,
    reasons: Vec<ReasonCount>,
}

/// What became of the rejects.
pub(crate) struct Rejected {
    pub(crate) records: u64,
    pub(crate) files: Option<RejectFiles>,
    pub(crate) reasons: Vec<ReasonCount>,
    /// What is of no use once the manifest is written.
    pub(crate) leftovers: Vec<ObjectRef>,
}

impl RejectWriter {
    /// A writer of `rejects.<extension>`.
    pub(crate) fn new(context: &StageContext, run: &Run, extension: &str, framing: Framing) -> Self {
        Self {
            target: Target::new(context, run),
            framing,
            header: None,
            records: Pieces::new(format!("rejects.{extension}")),
            reasons: Pieces::new("reasons.ndjson".to_owned()),
            tally: ReasonTally::default(),
            count: 0,
        }
    }

    /// Names the header that the rejects file begins with. Only the first counts.
    pub(crate) fn set_header(&mut self, header: Vec<u8>) {
        if self.count == 0 && self.framing == Framing::Lines {
            self.header = Some(header);
        }
    }

    /// Takes in a rejected record.
    pub(crate) fn add(&mut self, record: &[u8], reject: &Reject) -> Result<(), StageError> {
        if self.count == 0
            && let Some(header) = self.header.take()
        {
            self.records.append(&[&header, b"\n"]);
        }
        match self.framing {
            Framing::Lines => self.records.append(&[record, b"\n"]),
            Framing::Array => self.records.append(&[if self.count == 0 { b"[\n" } else { b",\n" }, record]),
        }
        serde_json::to_writer(&mut self.reasons.open, reject)
            .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot write a reason", error))?;
        self.reasons.append(&[b"\n"]);
        self.tally.add(reject);
        self.count += 1;
        Ok(())
    }

    /// Stores what was gathered, once it is much. Returns whether it was.
    pub(crate) async fn store(&mut self) -> Result<bool, StageError> {
        let records = self.records.store_if_full(&self.target).await?;
        Ok(self.reasons.store_if_full(&self.target).await? || records)
    }

    /// Saves the open pieces under a prefix.
    pub(crate) async fn save(&self, prefix: &str) -> Result<RejectState, StageError> {
        self.target.put(&format!("{prefix}/rejects"), self.records.open.clone()).await?;
        self.target.put(&format!("{prefix}/reasons"), self.reasons.open.clone()).await?;
        Ok(RejectState {
            count: self.count,
            records_pieces: self.records.stored,
            reasons_pieces: self.reasons.stored,
            reasons: self.tally.commonest(),
        })
    }

    /// Goes on where [`RejectWriter::save`] was.
    pub(crate) async fn restore(&mut self, prefix: &str, state: RejectState) -> Result<(), StageError> {
        self.count = state.count;
        self.records.stored = state.records_pieces;
        self.reasons.stored = state.reasons_pieces;
        self.records.open = read(&self.target, &format!("{prefix}/rejects")).await?;
        self.reasons.open = read(&self.target, &format!("{prefix}/reasons")).await?;
        self.tally = ReasonTally::from_counts(state.reasons);
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<Rejected, StageError> {
        let pieces = self.records.stored_names().chain(self.reasons.stored_names());
        let leftovers = pieces.map(|name| self.target.object(&name)).collect();
        let files = if self.count == 0 {
            None
        } else {
            if self.framing == Framing::Array {
                self.records.append(&[b"\n]\n"]);
            }
            let records = self.records.finish(&self.target).await?;
            Some(RejectFiles { records, reasons: self.reasons.finish(&self.target).await? })
        };
        Ok(Rejected { records: self.count, files, reasons: self.tally.commonest(), leftovers })
    }
}

async fn read(target: &Target, name: &str) -> Result<Vec<u8>, StageError> {
    let object = target.object(name);
    let found = store::get(target.stores(), &object).await?;
    let (bytes, _) = found.ok_or_else(|| gone(&object))?;
    Ok(bytes.to_vec())
}

fn gone(object: &ObjectRef) -> StageError {
    StageError::new(ErrorKind::InvalidInput, format!("{object} is gone; start a new execution for the object"))
}

/// An object that grows over several rounds: pieces of it are stored on the way and put together at the end, since
/// no object can be appended to.
struct Pieces {
    name: String,
    open: Vec<u8>,
    stored: u32,
}

impl Pieces {
    fn new(name: String) -> Self {
        Self { name, open: Vec::new(), stored: 0 }
    }

    fn append(&mut self, bytes: &[&[u8]]) {
        bytes.iter().for_each(|bytes| self.open.extend_from_slice(bytes));
    }

    fn piece(&self, number: u32) -> String {
        format!("pieces/{}-{number:05}", self.name)
    }

    fn stored_names(&self) -> impl Iterator<Item = String> {
        (0..self.stored).map(|number| self.piece(number))
    }

    async fn store_if_full(&mut self, target: &Target) -> Result<bool, StageError> {
        let is_full = self.open.len() >= PIECE_BYTES;
        if is_full {
            target.put(&self.piece(self.stored), mem::take(&mut self.open)).await?;
            self.stored += 1;
        }
        Ok(is_full)
    }

    /// Puts the whole together. Returns its key.
    async fn finish(&mut self, target: &Target) -> Result<String, StageError> {
        let mut whole = target.create(target.kept(&self.name))?;
        for number in 0..self.stored {
            whole.write(read(target, &self.piece(number)).await?).await?;
        }
        whole.write(mem::take(&mut self.open)).await?;
        Ok(whole.finish().await?.0)
    }
}
