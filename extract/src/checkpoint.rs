//! What a round leaves for the next one: where it stopped, and everything that is not yet in a part.

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::{Part, Timing},
    stage::CODE_VERSION,
    store::{self, ObjectRef},
};

use crate::{
    output::{RejectState, Target, from_ipc, to_ipc},
    sift::SifterState,
};

const NAME: &str = "checkpoint.json";

/// A place between two records of the source, and what was made of the records before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) code_version: String,
    /// The round that saved it, counted from 1.
    pub(crate) round: u32,
    pub(crate) position: Position,
    pub(crate) parts: Vec<Part>,
    pub(crate) rejects: RejectState,
    pub(crate) sifter: SifterState,
    /// How many objects hold what unique columns have seen.
    pub(crate) unique_columns: usize,
    /// Of the rounds so far.
    pub(crate) timing: Timing,
}

/// What every version's checkpoints have.
#[derive(Deserialize)]
struct SavedBy {
    code_version: String,
}

/// A place between two records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The member of the batch, from 0; 0 without one.
    #[serde(default)]
    pub(crate) member: u32,
    /// The file in an archive, from 0.
    pub(crate) file: u32,
    /// Which stretch of the members the open part is of.
    #[serde(default)]
    pub(crate) stretch: u32,
    /// Bytes of the file's text, or records where it has none.
    pub(crate) text: u64,
    /// Bytes of the file as it is encoded.
    pub(crate) original: u64,
    /// What the decoder must know.
    pub(crate) decoder: serde_json::Value,
}

impl Position {
    /// Whether nothing of the file was decoded.
    pub(crate) fn is_start_of_file(&self) -> bool {
        self.text == 0 && self.decoder.is_null()
    }
}

/// Where a round's saved objects are.
pub(crate) fn prefix(round: u32) -> String {
    format!("checkpoint/{round:05}")
}

/// The last checkpoint of a run, unless other code saved it.
pub(crate) async fn find(target: &Target) -> Result<Option<Checkpoint>, StageError> {
    let object = target.object(NAME);
    let Some((bytes, _)) = store::get(target.stores(), &object).await? else { return Ok(None) };
    let broken = |error| {
        let message = format!("{object} is not what Stepwell wrote there; remove it, and start a new execution");
        StageError::with_source(ErrorKind::Internal, message, error)
    };
    let saved: SavedBy = serde_json::from_slice(&bytes).map_err(broken)?;
    if saved.code_version != CODE_VERSION {
        return Ok(None);
    }
    // To begin anew without a word would be to begin anew in every round.
    serde_json::from_slice(&bytes).map(Some).map_err(broken)
}

impl Checkpoint {
    /// Saves it, with the accepted records that are in no part and the values that unique columns have seen.
    pub(crate) async fn save(&self, target: &Target, rest: &RecordBatch, seen: Vec<Vec<u8>>) -> Result<(), StageError> {
        let prefix = prefix(self.round);
        target.put(&format!("{prefix}/rest.arrow"), to_ipc(rest)?).await?;
        for (column, seen) in seen.into_iter().enumerate() {
            target.put(&format!("{prefix}/unique-{column}"), seen).await?;
        }
        // Written last: what it names must be there.
        store::put_json(target.stores(), &target.object(NAME), self).await
    }

    /// What [`Checkpoint::save`] was given.
    pub(crate) async fn rest(&self, target: &Target) -> Result<(RecordBatch, Vec<bytes::Bytes>), StageError> {
        let prefix = prefix(self.round);
        let rest = from_ipc(read(target, &format!("{prefix}/rest.arrow")).await?)?;
        let mut seen = Vec::with_capacity(self.unique_columns);
        for column in 0..self.unique_columns {
            seen.push(read(target, &format!("{prefix}/unique-{column}")).await?);
        }
        Ok((rest, seen))
    }

    /// The objects that rounds up to this one left and that nobody needs once the stage is finished.
    pub(crate) fn leftovers(&self, target: &Target) -> Vec<ObjectRef> {
        let mut names = vec![NAME.to_owned()];
        for round in 1..=self.round {
            let prefix = prefix(round);
            names.extend(["rest.arrow", "rejects", "reasons"].map(|name| format!("{prefix}/{name}")));
            names.extend((0..self.unique_columns).map(|column| format!("{prefix}/unique-{column}")));
        }
        names.iter().map(|name| target.object(name)).collect()
    }
}

/// What a decoder saved of itself.
pub(crate) fn decoder_state<T: DeserializeOwned>(position: &Position) -> Result<T, StageError> {
    serde_json::from_value(position.decoder.clone())
        .map_err(|error| StageError::with_source(ErrorKind::Internal, "a checkpoint lacks the decoder's state", error))
}

async fn read(target: &Target, name: &str) -> Result<bytes::Bytes, StageError> {
    let object = target.object(name);
    let found = store::get(target.stores(), &object).await?;
    let (bytes, _) = found.ok_or_else(|| {
        let message =
            format!("{object} is gone, though a checkpoint names it; start a new execution under a changed spec");
        StageError::new(ErrorKind::InvalidInput, message)
    })?;
    Ok(bytes)
}
