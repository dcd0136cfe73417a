//! The stage's loop: blocks of records in, parts and rejects out, a checkpoint where the time is up.

use std::{ops::Range, time::SystemTime};

use stepwell_pipeline::{
    ErrorKind, StageError,
    manifest::{ExtractManifest, Timing},
    reject::Reject,
    request::RunRequest,
    run::Run,
    spec::{CheckedSpec, Format, Pii},
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::{
    checkpoint::{self, Checkpoint, Position},
    column::Fields,
    decode::{
        Block, Place, TextDecoder, csv::CsvDecoder, json_text::JsonText, typed_records::TypedRecords, windows::Windows,
    },
    output::{Framing, PartWriter, RejectWriter, Target},
    sift::Sifter,
    source::{File, Files},
};

/// How a round ended.
pub(crate) enum Ended {
    /// The source is read to its end.
    Done(Box<ExtractManifest>, Vec<ObjectRef>),
    /// The time was up; a checkpoint is saved.
    More,
}

/// Reads the source of a run from its beginning or from the last checkpoint.
pub(crate) async fn decode(
    context: &StageContext,
    spec: &CheckedSpec,
    run: &Run,
    request: &RunRequest,
    started: SystemTime,
) -> Result<Ended, StageError> {
    let mut extraction = Extraction::open(context, spec, run, started).await?;
    if extraction.resumed.is_none() {
        let object = ObjectRef::new(&context.buckets.work, format!("{}request.json", Run::home(&run.id)));
        store::put_json(&*context.stores, &object, request).await?;
    }
    match extraction.read_files().await {
        Ok(true) => extraction.finish().await,
        Ok(false) => Ok(Ended::More),
        Err(error) => {
            extraction.parts.abort().await;
            Err(error)
        }
    }
}

struct Extraction<'a> {
    context: &'a StageContext,
    spec: &'a CheckedSpec,
    run: &'a Run,
    target: Target,
    sifter: Sifter,
    parts: PartWriter,
    rejects: Option<RejectWriter>,
    /// Whether much of the rejects was stored lately.
    rejects_stored: bool,
    resumed: Option<Checkpoint>,
    round: u32,
    started: SystemTime,
    /// The columns that the rejects file must not show.
    masked: Vec<usize>,
}

impl<'a> Extraction<'a> {
    async fn open(
        context: &'a StageContext,
        spec: &'a CheckedSpec,
        run: &'a Run,
        started: SystemTime,
    ) -> Result<Self, StageError> {
        let target = Target::new(context, run);
        let mut sifter = Sifter::new(context, spec)?;
        let resumed = checkpoint::find(&target).await?;
        if let Some(checkpoint) = &resumed {
            tracing::info!(run = run.id, round = checkpoint.round, "extract goes on at its checkpoint");
            let (rest, seen) = checkpoint.rest(&target).await?;
            sifter.restore(checkpoint.sifter.clone(), &rest, &seen)?;
        }
        let parts = resumed.as_ref().map(|checkpoint| checkpoint.parts.clone()).unwrap_or_default();
        let is_masked = |column: usize| matches!(spec.columns[column].pii, Some(Pii::Redact | Pii::Drop));
        Ok(Self {
            parts: PartWriter::new(context, run, parts),
            rejects: None,
            rejects_stored: false,
            round: resumed.as_ref().map_or(1, |checkpoint| checkpoint.round + 1),
            masked: (0..spec.columns.len()).filter(|column| is_masked(*column)).collect(),
            context,
            spec,
            run,
            target,
            sifter,
            resumed,
            started,
        })
    }

    /// Reads file after file. Returns whether all were read.
    async fn read_files(&mut self) -> Result<bool, StageError> {
        let mut files = Files::open(self.context, &self.run.source).await?;
        let resumed = self.resumed.take();
        let first = resumed.as_ref().map_or(0, |checkpoint| checkpoint.position.file);
        let mut position = resumed.as_ref().map(|checkpoint| checkpoint.position.clone());
        self.resumed = resumed;
        let encoding = self.spec.spec.source.encoding.as_ref().map(|encoding| encoding.value.as_str());
        let mut next = files.open_at(first).await?;
        while let Some(mut file) = next {
            let format = file.format(self.spec.spec.source.format, encoding).await?;
            self.open_rejects(format).await?;
            let object = match &file.name {
                Some(name) => format!("{}#{name}", self.run.source_ref()),
                None => self.run.source_ref().to_string(),
            };
            let at = position.take();
            let is_whole = match format {
                Format::Csv | Format::Tsv => {
                    self.read_text(file, CsvDecoder::new(self.spec, format, &object)?, &object, at).await?
                }
                Format::Ndjson | Format::Json => {
                    self.read_text(file, JsonText::new(self.spec, format), &object, at).await?
                }
                Format::Parquet | Format::Avro => self.read_typed(file, format, &object, at).await?,
            };
            if !is_whole {
                return Ok(false);
            }
            next = files.next().await?;
        }
        self.drain(true, Position::default).await
    }

    async fn open_rejects(&mut self, format: Format) -> Result<(), StageError> {
        if self.rejects.is_some() {
            return Ok(());
        }
        let framing = if format == Format::Json { Framing::Array } else { Framing::Lines };
        let extension = reject_extension(&self.run.source.key, format);
        let mut rejects = RejectWriter::new(self.context, self.run, &extension, framing);
        if let Some(checkpoint) = &self.resumed {
            rejects.restore(&checkpoint::prefix(checkpoint.round), checkpoint.rejects.clone()).await?;
        }
        self.rejects = Some(rejects);
        Ok(())
    }

    /// Reads a file of text. Returns whether it was read to its end.
    async fn read_text<D: TextDecoder>(
        &mut self,
        file: File,
        mut decoder: D,
        object: &str,
        at: Option<Position>,
    ) -> Result<bool, StageError> {
        let number = file.index;
        let encoding = self.spec.spec.source.encoding.as_ref().map(|encoding| encoding.value.as_str());
        let mut text = file.text(encoding).await?;
        let (start, mut original) = match at {
            Some(at) => {
                decoder.restore(&at)?;
                text.skip(at.text).await?;
                (at.text, at.original)
            }
            None => (0, text.byte_order_mark_bytes()),
        };
        let mut windows = Windows::new(text, start);
        let mut bytes_seen = 0;
        loop {
            let position = || Position { file: number, text: windows.position(), original, decoder: decoder.save() };
            if !self.drain(false, position).await? {
                return Ok(false);
            }
            let (window, at_end) = windows.window();
            let consumed = decoder.index(window, at_end)?;
            if let (Some(header), Some(rejects)) = (decoder.header(), &mut self.rejects) {
                rejects.set_header(windows.text().encode(header));
            }
            let text = windows.text();
            let records = {
                let block = decoder.block(window);
                if block.records() > 0 {
                    self.sifter.sift(&block)?;
                    let original_len = |range: Range<usize>| text.original_len(&window[range]);
                    self.add_rejects(&block, object, original, original_len, |bytes| text.encode(bytes))?;
                }
                block.records() as u64
            };
            original += text.original_len(&window[..consumed]);
            let bytes_read = text.bytes_read();
            self.context.progress.advanced(Stage::Extract, bytes_read.saturating_sub(bytes_seen), records);
            bytes_seen = bytes_read;
            windows.consume(consumed);
            self.store_rejects().await?;
            if consumed == 0 {
                if at_end {
                    break;
                }
                windows.widen(decoder.line()).await?;
            }
        }
        decoder.finish()?;
        Ok(true)
    }

    /// Reads a file whose records are typed already. Returns whether it was read to its end.
    async fn read_typed(
        &mut self,
        file: File,
        format: Format,
        object: &str,
        at: Option<Position>,
    ) -> Result<bool, StageError> {
        let number = file.index;
        let first = at.map_or(0, |at| at.text);
        let mut reader = TypedRecords::open(self.spec, file, format, first).await?;
        self.sifter.use_columns(self.context, reader.parsers())?;
        let mut records_done = first;
        loop {
            let position = || Position { file: number, text: records_done, ..Position::default() };
            if !self.drain(false, position).await? {
                return Ok(false);
            }
            let Some(block) = reader.next().await? else { return Ok(true) };
            self.sifter.sift(&block)?;
            self.add_rejects(&block, object, 0, |_| 0, <[u8]>::to_vec)?;
            self.store_rejects().await?;
            records_done += block.records() as u64;
            self.context.progress.advanced(Stage::Extract, block.memory_bytes(), block.records() as u64);
        }
    }

    fn add_rejects<B: Block>(
        &mut self,
        block: &B,
        object: &str,
        mut byte_offset: u64,
        original_len: impl Fn(Range<usize>) -> u64,
        encode: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Result<(), StageError> {
        let Some(rejects) = &mut self.rejects else { return Ok(()) };
        let mut before: Option<Place> = None;
        for (record, fault) in self.sifter.faults().iter() {
            let place = block.place(record, before);
            byte_offset += original_len(before.map_or(0, |before| before.position)..place.position);
            before = Some(place);
            let column = fault.column.and_then(|column| self.spec.columns.get(column));
            let value = match (column, fault.column) {
                (Some(column), _) if column.pii.is_some() => Some("***".to_owned()),
                (Some(_), Some(index)) => {
                    let cells = block.cells(index);
                    cells.get(record).map(excerpt)
                }
                _ => None,
            };
            let reject = Reject {
                object: object.to_owned(),
                line: place.line,
                byte_offset,
                column: column.map(|column| column.name.clone()),
                code: fault.code,
                message: fault.message.to_string(),
                value,
            };
            rejects.add(&encode(&block.original(record, &self.masked)), &reject)?;
        }
        Ok(())
    }

    async fn store_rejects(&mut self) -> Result<(), StageError> {
        if let Some(rejects) = &mut self.rejects {
            self.rejects_stored |= rejects.store().await?;
        }
        Ok(())
    }

    /// Writes the batches that are whole. Returns false where the time was up and a checkpoint is saved.
    async fn drain(&mut self, at_end: bool, position: impl Fn() -> Position) -> Result<bool, StageError> {
        // A source of rejects alone has no parts that end.
        let rejects_stored = std::mem::take(&mut self.rejects_stored);
        if rejects_stored && !at_end && !self.parts.is_open() && self.context.budget.is_spent() {
            self.save(position()).await?;
            return Ok(false);
        }
        while let Some(batch) = self.sifter.next_batch(at_end)? {
            let part_ended = self.parts.write(&batch).await?;
            if part_ended && !at_end && self.context.budget.is_spent() {
                self.save(position()).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn save(&mut self, position: Position) -> Result<(), StageError> {
        let prefix = checkpoint::prefix(self.round);
        let (sifter, rest, seen) = self.sifter.save()?;
        let rejects = match &self.rejects {
            Some(rejects) => rejects.save(&prefix).await?,
            None => return Err(StageError::new(ErrorKind::Internal, "a checkpoint before the first record")),
        };
        let checkpoint = Checkpoint {
            code_version: CODE_VERSION.to_owned(),
            round: self.round,
            position,
            parts: self.parts.parts().to_vec(),
            rejects,
            sifter,
            unique_columns: self.sifter.unique_columns(),
            timing: self.timing(),
        };
        checkpoint.save(&self.target, &rest, seen).await
    }

    /// Of all rounds.
    fn timing(&self) -> Timing {
        let round = Timing::between(self.started, (self.context.now)());
        match &self.resumed {
            None => round,
            Some(checkpoint) => Timing {
                started_ms: checkpoint.timing.started_ms,
                duration_ms: checkpoint.timing.duration_ms + round.duration_ms,
            },
        }
    }

    async fn finish(self) -> Result<Ended, StageError> {
        let timing = self.timing();
        let profile = self.sifter.profile();
        let records_read = self.sifter.records_read();
        let mut leftovers =
            self.resumed.as_ref().map(|checkpoint| checkpoint.leftovers(&self.target)).unwrap_or_default();
        let parts = self.parts.finish().await?;
        let Some(rejects) = self.rejects else {
            let message = format!("{} holds no file", self.run.source_ref());
            return Err(StageError::new(ErrorKind::UnreadableSource, message));
        };
        let rejects = rejects.finish().await?;
        leftovers.extend(rejects.leftovers);
        let manifest = ExtractManifest {
            run: self.run.clone(),
            records_read,
            records_accepted: parts.iter().map(|part| part.records).sum(),
            records_rejected: rejects.records,
            parts,
            rejects: rejects.files,
            bytes_read: self.run.source.size,
            reasons: rejects.reasons,
            profile,
            timing,
            code_version: CODE_VERSION.to_owned(),
        };
        Ok(Ended::Done(Box::new(manifest), leftovers))
    }
}

/// Removes what rounds left and nobody needs. What cannot be removed now, the bucket's lifecycle rule will.
pub(crate) async fn clean_up(context: &StageContext, leftovers: &[ObjectRef]) {
    for object in leftovers {
        if let Err(error) = store::delete(&*context.stores, object).await {
            tracing::warn!(%object, error = error.report(), "cannot remove what an earlier round left");
        }
    }
}

/// The beginning of a value, as text for people.
fn excerpt(value: &[u8]) -> String {
    const CHARS_MAX: usize = 200;
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * CHARS_MAX)]);
    text.chars().take(CHARS_MAX).collect()
}

/// The extension of the rejects file: the source's own, without that of its compression.
fn reject_extension(key: &str, format: Format) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    let own = name
        .split('.')
        .skip(1)
        .filter(|extension| !["gz", "zst", "bz2", "zip"].contains(&extension.to_lowercase().as_str()))
        .last();
    let is_plain = |extension: &&str| {
        (1..=8).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match format {
        Format::Parquet | Format::Avro => "ndjson".to_owned(),
        _ => own.filter(is_plain).unwrap_or(format.name()).to_owned(),
    }
}
