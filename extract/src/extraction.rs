//! The stage's loop: blocks of records in, parts and rejects out, a checkpoint where the time is up.

use std::{ops::Range, sync::Arc, time::SystemTime};

use stepwell_pipeline::{
    StageError,
    manifest::{ExtractManifest, Timing},
    reject::Reject,
    request::RunRequest,
    run::{Run, Source},
    spec::{CheckedSpec, Column, Format, Pii},
    stage::{CODE_VERSION, Stage, StageContext},
    store::{self, ObjectRef},
};

use crate::{
    checkpoint::{self, Checkpoint, Position},
    column::Fields,
    decode::{
        Block, Place, TextDecoder, csv::CsvDecoder, json_text::JsonText, typed_records::TypedRecords, windows::Windows,
    },
    output::{Framing, PartWriter, RejectWriter, Shape, Target},
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

/// What is to be read.
pub(crate) struct Input<'a> {
    pub(crate) run: &'a Run,
    /// What the run was started with.
    pub(crate) request: &'a RunRequest,
    /// The members, where the run reads a batch.
    pub(crate) members: Option<Arc<[Source]>>,
    /// The bytes of all that is read.
    pub(crate) bytes: u64,
}

/// Reads the source of a run from its beginning or from the last checkpoint.
pub(crate) async fn decode(
    context: &StageContext,
    spec: &CheckedSpec,
    input: Input<'_>,
    started: SystemTime,
) -> Result<Ended, StageError> {
    let mut extraction = Extraction::open(context, spec, &input, started).await?;
    if extraction.resumed.is_none() {
        let object = ObjectRef::new(&context.buckets.work, format!("{}request.json", Run::home(&input.run.id)));
        store::put_json(&*context.stores, &object, input.request).await?;
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
    members: Option<Arc<[Source]>>,
    bytes: u64,
    target: Target,
    sifter: Sifter,
    /// The columns as the sifter's parsers were given them.
    parsed_as: Vec<Column>,
    parts: PartWriter,
    rejects: RejectWriter,
    /// Whether much of the rejects was stored lately.
    rejects_stored: bool,
    resumed: Option<Checkpoint>,
    round: u32,
    started: SystemTime,
    /// The columns that the rejects file must not show.
    masked: Vec<usize>,
    /// How much progress was told of the member that is being read.
    told: Told,
    /// Which stretch of the members the open part is of; with the next a new part begins.
    stretch: u32,
}

#[derive(Default)]
struct Told {
    member: u32,
    bytes: u64,
}

impl<'a> Extraction<'a> {
    async fn open(
        context: &'a StageContext,
        spec: &'a CheckedSpec,
        input: &Input<'a>,
        started: SystemTime,
    ) -> Result<Self, StageError> {
        let run = input.run;
        let target = Target::new(context, run);
        let mut sifter = Sifter::new(context, spec)?;
        let resumed = checkpoint::find(&target).await?;
        if let Some(checkpoint) = &resumed {
            tracing::info!(run = run.id, round = checkpoint.round, "extract goes on at its checkpoint");
            let (rest, seen) = checkpoint.rest(&target).await?;
            sifter.restore(checkpoint.sifter.clone(), &rest, &seen)?;
        }
        let parts = resumed.as_ref().map(|checkpoint| checkpoint.parts.clone()).unwrap_or_default();
        let mut rejects = RejectWriter::new(context, run);
        if let Some(checkpoint) = &resumed {
            rejects.restore(&checkpoint::prefix(checkpoint.round), checkpoint.rejects.clone()).await?;
        }
        let is_masked = |column: usize| matches!(spec.columns[column].pii, Some(Pii::Redact | Pii::Drop));
        Ok(Self {
            parts: PartWriter::new(context, run, parts),
            rejects,
            rejects_stored: false,
            stretch: resumed.as_ref().map_or(0, |checkpoint| checkpoint.position.stretch),
            told: Told::default(),
            parsed_as: spec.columns.clone(),
            members: input.members.clone(),
            bytes: input.bytes,
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
        let mut position = self.resumed.as_ref().map(|checkpoint| checkpoint.position.clone());
        let (member, first) = position.as_ref().map_or((0, 0), |position| (position.member, position.file));
        let mut files = match &self.members {
            None => Files::open(self.context, &self.run.source).await?,
            Some(members) => {
                let earlier = members.iter().take(member as usize).map(|member| member.size);
                let read_before = earlier.fold(0, u64::saturating_add);
                self.context.progress.advanced(Stage::Extract, read_before, 0);
                Files::of_batch(self.context, members.clone(), member)
            }
        };
        let encoding = self.spec.spec.source.encoding.as_ref().map(|encoding| encoding.value.as_str());
        let mut next = files.open_at(first).await?;
        while let Some(mut file) = next {
            if !self.end_stretch(&file).await? {
                return Ok(false);
            }
            let format = file.format(self.spec.spec.source.format, encoding).await?;
            let object = file.address();
            let at = position.take().filter(|at| !at.is_start_of_file());
            let is_whole = match format {
                Format::Csv | Format::Tsv => {
                    self.read_text(file, format, CsvDecoder::new(self.spec, format, &object)?, &object, at).await?
                }
                Format::Ndjson | Format::Json => {
                    self.read_text(file, format, JsonText::new(self.spec, format), &object, at).await?
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

    /// Ends the part where the file is of another stretch of the members: very many very small ones would give no other
    /// place for a checkpoint. It depends on the members alone. Returns false where the time was up and one is saved.
    async fn end_stretch(&mut self, file: &File) -> Result<bool, StageError> {
        let (member, index) = (file.member, file.index);
        let stretch = member / self.context.limits.part_members.max(1);
        if stretch == self.stretch {
            return Ok(true);
        }
        let position = |stretch| Position { member, file: index, stretch, ..Position::default() };
        let before = self.stretch;
        if !self.drain(false, || position(before)).await? {
            return Ok(false);
        }
        self.parts.end().await?;
        self.stretch = stretch;
        if self.context.budget.is_spent() {
            self.save(position(stretch)).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Parses columns as the file at hand writes them.
    fn parse_as(&mut self, columns: &[Column]) -> Result<(), StageError> {
        if self.parsed_as != columns {
            self.sifter.use_columns(self.context, columns)?;
            self.parsed_as = columns.to_vec();
        }
        Ok(())
    }

    /// Tells progress: bytes of the file's object that were read so far.
    fn tell(&mut self, member: u32, bytes_read: u64, records: u64) {
        if self.told.member != member {
            self.told = Told { member, bytes: 0 };
        }
        let more = bytes_read.saturating_sub(self.told.bytes);
        self.told.bytes += more;
        self.context.progress.advanced(Stage::Extract, more, records);
    }

    /// Reads a file of text. Returns whether it was read to its end.
    async fn read_text<D: TextDecoder>(
        &mut self,
        file: File,
        format: Format,
        mut decoder: D,
        object: &str,
        at: Option<Position>,
    ) -> Result<bool, StageError> {
        let (member, number, stretch) = (file.member, file.index, self.stretch);
        self.parse_as(&self.spec.columns)?;
        let extension = reject_extension(file.key(), format);
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
        let framing = if format == Format::Json { Framing::Array } else { Framing::Lines };
        let (format, encoding) = (format.name().to_owned(), text.encoding().to_owned());
        self.rejects.begin(&extension, Shape { format, framing, encoding, header: None });
        let mut windows = Windows::new(text, start);
        loop {
            let position = || {
                let (text, decoder) = (windows.position(), decoder.save());
                Position { member, file: number, stretch, text, original, decoder }
            };
            if !self.drain(false, position).await? {
                return Ok(false);
            }
            let (window, at_end) = windows.window();
            let consumed = decoder.index(window, at_end)?;
            if let Some(header) = decoder.header() {
                self.rejects.set_header(windows.text().encode(header));
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
            self.tell(member, bytes_read, records);
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
        let (member, number, stretch) = (file.member, file.index, self.stretch);
        let first = at.map_or(0, |at| at.text);
        // They are written as JSON, since none can be cut out of the file.
        self.rejects.begin(
            "ndjson",
            Shape {
                format: Format::Ndjson.name().to_owned(),
                framing: Framing::Lines,
                encoding: "UTF-8".to_owned(),
                header: None,
            },
        );
        let mut reader = TypedRecords::open(self.spec, file, format, first).await?;
        self.parse_as(reader.parsers())?;
        let mut records_done = first;
        loop {
            let position = || Position { member, file: number, stretch, text: records_done, ..Position::default() };
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
            self.rejects.add(&encode(&block.original(record, &self.masked)), &reject)?;
        }
        Ok(())
    }

    async fn store_rejects(&mut self) -> Result<(), StageError> {
        self.rejects_stored |= self.rejects.store().await?;
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
        let rejects = self.rejects.save(&prefix).await?;
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
        let rejects = self.rejects.finish().await?;
        leftovers.extend(rejects.leftovers);
        let manifest = ExtractManifest {
            run: self.run.clone(),
            records_read,
            records_accepted: parts.iter().map(|part| part.records).sum(),
            records_rejected: rejects.records,
            parts,
            rejects: rejects.files,
            bytes_read: self.bytes,
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
