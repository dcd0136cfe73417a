//! The bytes of a pinned object: fetched ahead, taken out of archives, decompressed, and turned into UTF-8.

mod archive;
mod body;
mod charset;
mod compression;
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
    ranges::Ranges,
    sniff::SNIFF_BYTES,
};
pub(crate) use self::{compression::Compression, ranges::Object, text::Text};

/// The files that an object holds: those of a zip archive, or else itself.
pub(crate) struct Files {
    object: Object,
    /// The object's first bytes.
    start: Bytes,
    content: Content,
    next: u32,
    meter: Arc<Meter>,
}

enum Content {
    One(Compression),
    Archive(Arc<[Entry]>),
}

impl Files {
    /// Looks at what the object is.
    ///
    /// # Errors
    /// `UnreadableSource` for damaged or suspicious archives; `SourceChanged` if the object is no longer the pinned
    /// version, here and wherever it is read; and what the store says.
    pub(crate) async fn open(context: &StageContext, source: &Source) -> Result<Self, StageError> {
        let object = Object::new(context, source)?;
        let start = object.read(0..object.size().min(SNIFF_BYTES as u64).min(object.range_bytes())).await?;
        let content = if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Content::Archive(archive::directory(&object).await?)
        } else {
            Content::One(Compression::detect(&start))
        };
        Ok(Self { object, start, content, next: 0, meter: Arc::default() })
    }

    /// The next file, or nothing after the last.
    ///
    /// # Errors
    /// `UnreadableSource` for a file that is damaged or compressed twice, and what the store says.
    pub(crate) async fn next(&mut self) -> Result<Option<File>, StageError> {
        let index = self.next;
        let body = match &self.content {
            Content::One(_) if index > 0 => return Ok(None),
            Content::One(compression) => self.whole(*compression),
            Content::Archive(entries) => match entries.get(index as usize) {
                Some(entry) => self.entry(entry).await?,
                None => return Ok(None),
            },
        };
        self.next += 1;
        let (compression, entry) = match &self.content {
            Content::One(compression) => (*compression, None),
            Content::Archive(entries) => {
                let entry = entries.get(index as usize);
                (entry.map_or(Compression::None, |entry| entry.compression), entry.map(|entry| entry.name.clone()))
            }
        };
        let mut file =
            File { index, name: entry, compression, object: self.object.clone(), body, meter: self.meter.clone() };
        file.refuse_packed().await?;
        Ok(Some(file))
    }

    /// The file of an index, to go on where an earlier round stopped; [`Files::next`] gives the one after it.
    ///
    /// # Errors
    /// As [`Files::next`].
    pub(crate) async fn open_at(&mut self, index: u32) -> Result<Option<File>, StageError> {
        self.next = index;
        self.next().await
    }

    fn whole(&self, compression: Compression) -> Body {
        let rest = self.start.len() as u64..self.object.size();
        let packed = Packed { front: Some(self.start.clone()), ranges: Ranges::new(&self.object, rest) };
        match compression {
            Compression::None => Body::plain(&self.object, packed, self.meter.clone()),
            _ => Body::decompressed(compression, None, packed, self.meter.clone(), self.object.name()),
        }
    }

    async fn entry(&self, entry: &Entry) -> Result<Body, StageError> {
        let object = self.object.name();
        let room = entry.room.clone();
        let header = self.object.read(room.start..room.end.min(room.start + entry.header_bytes())).await?;
        let data = entry.data(&header, &object)?;
        self.meter.set_read(data.start);
        let packed = Packed { front: None, ranges: Ranges::new(&self.object, data) };
        let name = format!("`{}` in {object}", entry.name);
        Ok(Body::decompressed(entry.compression, Some(entry.claim), packed, self.meter.clone(), name))
    }
}

/// One file of an object.
pub(crate) struct File {
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
        let key = self.name.as_deref().unwrap_or(self.object.key());
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
