//! The bytes of a pinned object, or of several: fetched ahead, taken out of archives, decompressed, and turned into UTF-8.

mod archive;
mod body;
mod charset;
mod compression;
mod members;
mod ranges;
mod sniff;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use bytes::Bytes;
use stepwell_pipeline::{StageError, run::Source, spec::Format, stage::StageContext};

pub(crate) use self::charset::encoding;
use self::{
    archive::Entry,
    body::{Body, Packed},
    compression::{Meter, unreadable},
    members::{Member, Members},
    ranges::Ranges,
    sniff::SNIFF_BYTES,
};
pub(crate) use self::{compression::Compression, ranges::Object, text::Text};

/// The files that a run reads, one after the other: the members of a batch or one object; of each that is a zip archive,
/// its entries.
pub(crate) struct Files {
    /// Those behind the one that is open.
    members: Option<Members>,
    open: Option<Opened>,
    next: u32,
}

/// An object of which it is known what it holds.
struct Opened {
    member: Member,
    content: Content,
    meter: Arc<Meter>,
}

enum Content {
    One(Compression),
    Archive(Arc<[Entry]>),
}

impl Files {
    /// The files of one object. Looks at what it is.
    ///
    /// # Errors
    /// `UnreadableSource` for damaged or suspicious archives; `SourceChanged` if the object is no longer the pinned
    /// version, here and wherever it is read; and what the store says.
    pub(crate) async fn open(context: &StageContext, source: &Source) -> Result<Self, StageError> {
        let object = Object::new(context, source)?;
        let start = object.read(0..object.size().min(SNIFF_BYTES as u64).min(object.range_bytes())).await?;
        let open = Opened::look(Member { number: 0, object, start }).await?;
        Ok(Self { members: None, open: Some(open), next: 0 })
    }

    /// The files of a batch's members from a member on. Those that hold nothing are passed over.
    pub(crate) fn of_batch(context: &StageContext, members: Arc<[Source]>, first: u32) -> Self {
        Self { members: Some(Members::new(context, members, first)), open: None, next: 0 }
    }

    /// The next file, or nothing after the last.
    ///
    /// # Errors
    /// `UnreadableSource` for a file that is damaged or compressed twice; of a batch also as [`Files::open`], and
    /// `SourceMissing` for a member that is gone; and what the store says.
    pub(crate) async fn next(&mut self) -> Result<Option<File>, StageError> {
        loop {
            let open = match self.open.take() {
                Some(open) => open,
                None => match &mut self.members {
                    None => return Ok(None),
                    Some(members) => match members.next().await? {
                        None => return Ok(None),
                        Some(member) => Opened::look(member).await?,
                    },
                },
            };
            let Some(mut file) = open.file(self.next).await? else {
                self.next = 0;
                continue;
            };
            self.open = Some(open);
            self.next += 1;
            // Nothing, compressed, as many tools write it.
            if self.members.is_some() && file.name.is_none() && file.peek(1).await?.is_empty() {
                tracing::info!(member = file.key(), "a member of the batch holds nothing and is passed over");
                continue;
            }
            file.refuse_packed().await?;
            return Ok(Some(file));
        }
    }

    /// The file of an index in the object, or in the first of the members, to go on where an earlier round stopped;
    /// [`Files::next`] gives the one after it.
    ///
    /// # Errors
    /// As [`Files::next`].
    pub(crate) async fn open_at(&mut self, index: u32) -> Result<Option<File>, StageError> {
        self.next = index;
        self.next().await
    }
}

impl Opened {
    async fn look(member: Member) -> Result<Self, StageError> {
        let start = &member.start;
        let content = if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Content::Archive(archive::directory(&member.object).await?)
        } else {
            Content::One(Compression::detect(start))
        };
        Ok(Self { member, content, meter: Arc::default() })
    }

    /// The file of an index, or nothing behind the last.
    async fn file(&self, index: u32) -> Result<Option<File>, StageError> {
        let (compression, name, body) = match &self.content {
            Content::One(_) if index > 0 => return Ok(None),
            Content::One(compression) => (*compression, None, self.whole(*compression)),
            Content::Archive(entries) => match entries.get(index as usize) {
                Some(entry) => (entry.compression, Some(entry.name.clone()), self.entry(entry).await?),
                None => return Ok(None),
            },
        };
        let (member, object) = (self.member.number, self.member.object.clone());
        Ok(Some(File { member, index, name, compression, object, body, meter: self.meter.clone() }))
    }

    fn whole(&self, compression: Compression) -> Body {
        let Member { object, start, .. } = &self.member;
        let rest = start.len() as u64..object.size();
        let packed = Packed { front: Some(start.clone()), ranges: Ranges::new(object, rest) };
        match compression {
            Compression::None => Body::plain(object, packed, self.meter.clone()),
            _ => Body::decompressed(compression, None, packed, self.meter.clone(), object.name()),
        }
    }

    async fn entry(&self, entry: &Entry) -> Result<Body, StageError> {
        let object = &self.member.object;
        let room = entry.room.clone();
        let header = object.read(room.start..room.end.min(room.start + entry.header_bytes())).await?;
        let data = entry.data(&header, &object.name())?;
        self.meter.set_read(data.start);
        let packed = Packed { front: None, ranges: Ranges::new(object, data) };
        let name = format!("`{}` in {}", entry.name, object.name());
        Ok(Body::decompressed(entry.compression, Some(entry.claim), packed, self.meter.clone(), name))
    }
}

/// One file of an object.
pub(crate) struct File {
    /// The object's place in the batch, from 0; 0 without one.
    pub(crate) member: u32,
    /// Its place among the object's files, from 0.
    pub(crate) index: u32,
    /// Its name within the archive, if it is in one. For people; never a path.
    pub(crate) name: Option<String>,
    compression: Compression,
    object: Object,
    body: Body,
    meter: Arc<Meter>,
}

impl File {
    /// How it is compressed.
    #[cfg(test)]
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// The object, if the file is the whole object as it is: then any range of it can be read.
    pub(crate) fn plain(&self) -> Option<&Object> {
        (self.name.is_none() && self.compression == Compression::None).then_some(&self.object)
    }

    /// The key of the object that it is or is in.
    pub(crate) fn key(&self) -> &str {
        self.object.key()
    }

    /// Its address: the object's, with the entry's name where it is in an archive.
    pub(crate) fn address(&self) -> String {
        match &self.name {
            Some(name) => format!("{}#{name}", self.object.name()),
            None => self.object.name(),
        }
    }

    /// What messages call it.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("`{name}` in {}", self.object.name()),
            None => self.object.name(),
        }
    }

    /// The first bytes of its decompressed content: `bytes` or more, unless it ends before. They are read again.
    ///
    /// # Errors
    /// `UnreadableSource` for a damaged file, and what the store says.
    pub(crate) async fn peek(&mut self, bytes: usize) -> Result<Bytes, StageError> {
        self.body.peek(bytes).await
    }

    /// Its format: what is declared, else what the content and then the suffix say.
    ///
    /// # Errors
    /// `UnreadableSource` for content that is plainly not of the declared format or of none; `InvalidSpec` for an
    /// unknown encoding; and as [`File::peek`].
    pub(crate) async fn format(
        &mut self,
        declared: Option<Format>,
        encoding: Option<&str>,
    ) -> Result<Format, StageError> {
        let start = self.peek(SNIFF_BYTES).await?;
        let start = start.slice(..start.len().min(SNIFF_BYTES));
        let (charset, mark_bytes) = charset::detect(charset::declared(encoding)?, &start);
        let text = charset.preview(start.slice(mark_bytes..));
        let key = self.name.as_deref().unwrap_or(self.key());
        sniff::format(declared, &self.label(), key, &start, &text)
    }

    /// Its text. The encoding is what the byte order mark says, else what is declared by its WHATWG label, else UTF-8.
    ///
    /// # Errors
    /// `InvalidSpec` for an unknown encoding, and as [`File::peek`].
    pub(crate) async fn text(mut self, encoding: Option<&str>) -> Result<Text, StageError> {
        let start = self.peek(3).await?;
        let (charset, mark_bytes) = charset::detect(charset::declared(encoding)?, &start);
        Ok(Text::new(self.body, charset, mark_bytes as u64, self.meter))
    }

    /// Its decompressed bytes, in order.
    pub(crate) fn into_bytes(self) -> Body {
        self.body
    }

    async fn refuse_packed(&mut self) -> Result<(), StageError> {
        let start = self.peek(512).await?;
        let Some(what) = sniff::packed(&start) else { return Ok(()) };
        Err(unreadable(if self.plain().is_some() {
            format!("{} is {what}, which is not read; unpack it first", self.label())
        } else {
            format!("{} holds another compressed file, {what}; unpack it first", self.label())
        }))
    }
}
