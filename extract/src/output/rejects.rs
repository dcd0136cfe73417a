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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Framing {
    /// A record a line, below the header where there is one.
    Lines,
    /// A JSON array.
    Array,
}

/// What records must have in common to stand in one file that can be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// The name of the format.
    pub(crate) format: String,
    pub(crate) framing: Framing,
    /// The WHATWG name.
    pub(crate) encoding: String,
    /// As it stands in the file.
    pub(crate) header: Option<Vec<u8>>,
}

/// Writes rejects twice: as they were, and with their reasons. The records go to one file for each shape that the
/// source's files have.
pub(crate) struct RejectWriter {
    target: Target,
    /// Of the file that is being read, with the extension of its name.
    shape: Option<(String, Shape)>,
    /// The file of that shape, once it has a record.
    current: Option<usize>,
    files: Vec<RecordsFile>,
    reasons: Pieces,
    tally: ReasonTally,
    count: u64,
}

struct RecordsFile {
    shape: Shape,
    records: Pieces,
}

/// What a writer needs to go on in another process, beside the open pieces.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RejectState {
    count: u64,
    files: Vec<FileState>,
    reasons_pieces: u32,
    reasons: Vec<ReasonCount>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FileState {
    shape: Shape,
    name: String,
    pieces: u32,
    open_bytes: usize,
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
    /// A writer of `rejects.<extension>` and, where the source's files have several shapes, `rejects-2.<extension>` and so
    /// on.
    pub(crate) fn new(context: &StageContext, run: &Run) -> Self {
        Self {
            target: Target::new(context, run),
            shape: None,
            current: None,
            files: Vec::new(),
            reasons: Pieces::new("reasons.ndjson".to_owned()),
            tally: ReasonTally::default(),
            count: 0,
        }
    }

    /// Begins another file of the source.
    pub(crate) fn begin(&mut self, extension: &str, shape: Shape) {
        self.shape = Some((extension.to_owned(), shape));
        self.current = None;
    }

    /// Names the header that the records of the file at hand stand below.
    pub(crate) fn set_header(&mut self, header: Vec<u8>) {
        if let Some((_, shape)) = &mut self.shape
            && shape.framing == Framing::Lines
            && shape.header.as_ref() != Some(&header)
        {
            shape.header = Some(header);
            self.current = None;
        }
    }

    /// Takes in a rejected record of the file at hand.
    pub(crate) fn add(&mut self, record: &[u8], reject: &Reject) -> Result<(), StageError> {
        let file = self.file()?;
        match file.shape.framing {
            Framing::Lines => file.records.append(&[record, b"\n"]),
            Framing::Array => {
                let separator: &[u8] = if file.records.is_empty() { b"[\n" } else { b",\n" };
                file.records.append(&[separator, record]);
            }
        }
        serde_json::to_writer(&mut self.reasons.open, reject)
            .map_err(|error| StageError::with_source(ErrorKind::Internal, "cannot write a reason", error))?;
        self.reasons.append(&[b"\n"]);
        self.tally.add(reject);
        self.count += 1;
        Ok(())
    }

    /// The file that records of the file at hand go to.
    fn file(&mut self) -> Result<&mut RecordsFile, StageError> {
        let number = match (self.current, &self.shape) {
            (Some(number), _) => number,
            (None, Some((extension, shape))) => {
                let there = self.files.iter().position(|file| file.shape == *shape);
                let number = there.unwrap_or(self.files.len());
                if there.is_none() {
                    self.files.push(RecordsFile::new(number, extension, shape.clone()));
                }
                number
            }
            (None, None) => return Err(StageError::new(ErrorKind::Internal, "a reject before the first file")),
        };
        self.current = Some(number);
        Ok(&mut self.files[number])
    }

    /// Stores what was gathered, once it is much. Returns whether it was.
    pub(crate) async fn store(&mut self) -> Result<bool, StageError> {
        let mut stored = false;
        while self.files.iter().map(|file| file.records.open.len()).sum::<usize>() >= PIECE_BYTES {
            let Some(largest) = self.files.iter_mut().max_by_key(|file| file.records.open.len()) else { break };
            largest.records.store(&self.target).await?;
            stored = true;
        }
        if self.reasons.open.len() >= PIECE_BYTES {
            self.reasons.store(&self.target).await?;
            stored = true;
        }
        Ok(stored)
    }

    /// Saves the open pieces under a prefix.
    pub(crate) async fn save(&self, prefix: &str) -> Result<RejectState, StageError> {
        let open: Vec<&[u8]> = self.files.iter().map(|file| &file.records.open[..]).collect();
        self.target.put(&format!("{prefix}/rejects"), open.concat()).await?;
        self.target.put(&format!("{prefix}/reasons"), self.reasons.open.clone()).await?;
        let files = self.files.iter().map(|file| FileState {
            shape: file.shape.clone(),
            name: file.records.name.clone(),
            pieces: file.records.stored,
            open_bytes: file.records.open.len(),
        });
        Ok(RejectState {
            count: self.count,
            files: files.collect(),
            reasons_pieces: self.reasons.stored,
            reasons: self.tally.commonest(),
        })
    }

    /// Goes on where [`RejectWriter::save`] was.
    pub(crate) async fn restore(&mut self, prefix: &str, state: RejectState) -> Result<(), StageError> {
        self.count = state.count;
        self.reasons.stored = state.reasons_pieces;
        let mut open = read(&self.target, &format!("{prefix}/rejects")).await?;
        for FileState { shape, name, pieces, open_bytes } in state.files {
            if open_bytes > open.len() {
                return Err(StageError::new(ErrorKind::Internal, "a checkpoint lacks rejects"));
            }
            let rest = open.split_off(open_bytes);
            let records = Pieces { name, open: mem::replace(&mut open, rest), stored: pieces };
            self.files.push(RecordsFile { shape, records });
        }
        self.reasons.open = read(&self.target, &format!("{prefix}/reasons")).await?;
        self.tally = ReasonTally::from_counts(state.reasons);
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Rejected, StageError> {
        let pieces = self.files.iter().flat_map(|file| file.records.stored_names()).chain(self.reasons.stored_names());
        let leftovers = pieces.map(|name| self.target.object(&name)).collect();
        let mut keys = Vec::with_capacity(self.files.len());
        for mut file in self.files {
            if file.shape.framing == Framing::Array {
                file.records.append(&[b"\n]\n"]);
            }
            keys.push(file.records.finish(&self.target).await?);
        }
        let mut keys = keys.into_iter();
        let files = match keys.next() {
            None => None,
            Some(records) => {
                let mut reasons = self.reasons;
                let reasons = reasons.finish(&self.target).await?;
                Some(RejectFiles { records, reasons, further: keys.collect() })
            }
        };
        Ok(Rejected { records: self.count, files, reasons: self.tally.commonest(), leftovers })
    }
}

impl RecordsFile {
    fn new(number: usize, extension: &str, shape: Shape) -> Self {
        let name = match number {
            0 => format!("rejects.{extension}"),
            _ => format!("rejects-{}.{extension}", number + 1),
        };
        let mut records = Pieces::new(name);
        if let Some(header) = &shape.header {
            records.append(&[header, b"\n"]);
        }
        Self { shape, records }
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

    fn is_empty(&self) -> bool {
        self.stored == 0 && self.open.is_empty()
    }

    async fn store(&mut self, target: &Target) -> Result<(), StageError> {
        target.put(&self.piece(self.stored), mem::take(&mut self.open)).await?;
        self.stored += 1;
        Ok(())
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
