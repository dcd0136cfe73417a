//! Finished pages, and what readers want to know of them.

use std::{
    io::{self, Read, Write},
    sync::{Mutex, PoisonError},
};

use bytes::{Buf, Bytes};
use parquet::{
    arrow::arrow_writer::{PageKey, PageStore},
    basic::{BoundaryOrder, Compression, Encoding, PageType, ZstdLevel},
    column::{
        page::{CompressedPage, Page, PageWriteSpec, PageWriter},
        writer::ColumnCloseResult,
    },
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats},
        reader::{ChunkReader, Length},
        writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite},
    },
    schema::types::ColumnDescPtr,
};

use super::{
    PageValues,
    bounds::{Bound, Bounds, statistics},
    compression::{Compressor, PageCompression},
};
use crate::files::pages::ColumnPages;

/// The pages of a column chunk that is being written.
pub(super) struct ChunkWriter {
    column: ColumnDescPtr,
    /// The kind of the column's bounds.
    kind: Bound,
    pages: ColumnPages,
    keys: Vec<PageKey>,
    level: i32,
    compression: PageCompression,
    rows: u64,
    nulls: u64,
    string_bytes: Option<i64>,
    compressed_bytes: usize,
    uncompressed_bytes: usize,
    bounds: Option<Bounds>,
    last_bounds: Option<Bounds>,
    is_ascending: bool,
    is_descending: bool,
    index: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    encodings: Vec<PageEncodingStats>,
}

impl ChunkWriter {
    pub(super) fn new(column: ColumnDescPtr, kind: Bound, level: i32, pages: ColumnPages) -> Self {
        let index = ColumnIndexBuilder::new(column.physical_type());
        Self {
            column,
            kind,
            pages,
            keys: Vec::new(),
            level,
            compression: PageCompression::new(level),
            rows: 0,
            nulls: 0,
            string_bytes: None,
            compressed_bytes: 0,
            uncompressed_bytes: 0,
            bounds: None,
            last_bounds: None,
            is_ascending: true,
            is_descending: true,
            index,
            offsets: OffsetIndexBuilder::new(),
            encodings: Vec::new(),
        }
    }

    /// The bytes of the pages so far.
    pub(super) fn bytes(&self) -> usize {
        self.compressed_bytes
    }

    /// About how many bytes so many more rows will take, judged by those before; nothing at the chunk's beginning.
    pub(super) fn bytes_of(&self, rows: usize) -> Option<usize> {
        (rows * self.compressed_bytes).checked_div(self.rows as usize)
    }

    /// Adds the page of so many rows that is the compressor's body.
    pub(super) fn put_page(
        &mut self,
        compressor: &mut Compressor,
        rows: usize,
        nulls: usize,
        values: PageValues,
    ) -> Result<()> {
        let uncompressed_bytes = compressor.body.len();
        let body = self.compression.compress(compressor)?;
        let page = Page::DataPage {
            buf: body.clone(),
            num_values: rows as u32,
            encoding: values.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (spec, written) = write(CompressedPage::new(page, uncompressed_bytes))?;
        compressor.reuse(body);
        self.count_encoding(PageType::DATA_PAGE, values.encoding);
        self.add_to_indexes(rows, nulls, values.bounds, values.string_bytes);
        // Where the page lies is known only when the dictionary is.
        self.offsets.append_offset_and_size(self.compressed_bytes as i64, spec.compressed_size as i32);
        self.compressed_bytes += spec.compressed_size;
        self.uncompressed_bytes += spec.uncompressed_size;
        self.rows += rows as u64;
        self.nulls += nulls as u64;
        self.keys.push(self.pages.put(written)?);
        Ok(())
    }

    fn count_encoding(&mut self, page_type: PageType, encoding: Encoding) {
        match self.encodings.last_mut() {
            Some(last) if last.encoding == encoding => last.count += 1,
            _ => self.encodings.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
    }

    fn add_to_indexes(&mut self, rows: usize, nulls: usize, bounds: Option<Bounds>, string_bytes: Option<i64>) {
        match &bounds {
            _ if !self.index.valid() => {}
            Some(bounds) => {
                let (min, max) = bounds.bytes();
                self.index.append(false, min, max, nulls as i64);
            }
            None if rows == nulls => self.index.append(true, Vec::new(), Vec::new(), nulls as i64),
            // Nothing but NaN has no bounds, and an index must have all or none.
            None => self.index.to_invalid(),
        }
        self.index.append_histograms(&None, &self.histogram(rows as u64, nulls as u64));
        self.offsets.append_row_count(rows as i64);
        self.offsets.append_unencoded_byte_array_data_bytes(string_bytes);
        if let Some(string_bytes) = string_bytes {
            *self.string_bytes.get_or_insert_default() += string_bytes;
        }
        let Some(bounds) = bounds else { return };
        if let Some(last) = &self.last_bounds {
            self.is_ascending &= last.min <= bounds.min && last.max <= bounds.max;
            self.is_descending &= last.min >= bounds.min && last.max >= bounds.max;
        }
        match &mut self.bounds {
            Some(all) => all.widen(&bounds),
            None => self.bounds = Some(bounds.clone()),
        }
        self.last_bounds = Some(bounds);
    }

    fn histogram(&self, rows: u64, nulls: u64) -> Option<LevelHistogram> {
        let mut histogram = LevelHistogram::try_new(self.column.max_def_level())?;
        histogram.increment_by(0, nulls as i64);
        histogram.increment_by(1, (rows - nulls) as i64);
        Some(histogram)
    }

    /// Ends the chunk, whose dictionary of so many values, if it has one, is the compressor's body.
    pub(super) fn finish(mut self, compressor: &mut Compressor, dictionary: Option<usize>) -> Result<FlatChunk> {
        let dictionary = dictionary.map(|values| self.dictionary_page(compressor, values)).transpose()?;
        let dictionary_bytes = dictionary.as_ref().map_or(0, Bytes::len);
        self.index.set_boundary_order(match (self.is_ascending, self.is_descending) {
            (true, _) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (false, false) => BoundaryOrder::UNORDERED,
        });
        let is_signed = self.column.sort_order().is_signed();
        let histogram = self.histogram(self.rows, self.nulls);
        let mut encodings: Vec<Encoding> = self.encodings.iter().map(|stats| stats.encoding).collect();
        encodings.push(Encoding::RLE);
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.level)?))
            .set_encodings(encodings)
            .set_page_encoding_stats(self.encodings)
            .set_total_compressed_size(self.compressed_bytes as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(dictionary_bytes as i64)
            .set_dictionary_page_offset(dictionary.as_ref().map(|_| 0))
            .set_statistics(statistics(self.bounds, self.nulls, &self.kind, is_signed))
            .set_unencoded_byte_array_data_bytes(self.string_bytes)
            .set_definition_level_histogram(histogram)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: self.compressed_bytes as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: if self.index.valid() { Some(self.index.build()?) } else { None },
            offset_index: Some(self.offsets.build()),
        };
        let close = close.update_dictionary_location(dictionary_bytes)?;
        let keys = self.keys.into_iter();
        let pages = PagesReader { next: dictionary.unwrap_or_default(), pages: self.pages, keys };
        Ok(FlatChunk { pages, close })
    }

    fn dictionary_page(&mut self, compressor: &mut Compressor, values: usize) -> Result<Bytes> {
        let uncompressed_bytes = compressor.body.len();
        let body = PageCompression::new(self.level).compress(compressor)?;
        let page = Page::DictionaryPage {
            buf: body.clone(),
            num_values: values as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let (spec, written) = write(CompressedPage::new(page, uncompressed_bytes))?;
        compressor.reuse(body);
        self.compressed_bytes += spec.compressed_size;
        self.uncompressed_bytes += spec.uncompressed_size;
        let stats = PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 };
        self.encodings.insert(0, stats);
        Ok(written)
    }
}

/// The page with its header.
fn write(page: CompressedPage) -> Result<(PageWriteSpec, Bytes)> {
    const HEADER_BYTES: usize = 64;
    let mut sink = TrackedWrite::new(Vec::with_capacity(page.compressed_size() + HEADER_BYTES));
    let spec = SerializedPageWriter::new(&mut sink).write_page(page)?;
    Ok((spec, sink.into_inner()?.into()))
}

/// A column chunk whose pages are written.
pub(in crate::files) struct FlatChunk {
    pages: PagesReader,
    close: ColumnCloseResult,
}

impl FlatChunk {
    /// The size of the chunk.
    pub(in crate::files) fn bytes(&self) -> u64 {
        self.close.bytes_written
    }

    pub(in crate::files) fn append_to_row_group<W: Write + Send>(
        self,
        row_group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let bytes = self.close.bytes_written;
        row_group.append_column(&ReadOnce { pages: Mutex::new(Some(self.pages)), bytes }, self.close)
    }
}

/// Reads pages one after the other.
struct PagesReader {
    next: Bytes,
    pages: ColumnPages,
    keys: std::vec::IntoIter<PageKey>,
}

impl Read for PagesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.next.is_empty() {
            let Some(key) = self.keys.next() else { return Ok(0) };
            self.next = self.pages.take(key).map_err(io::Error::other)?;
        }
        let length = self.next.len().min(buffer.len());
        self.next.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Pages as Parquet's writer wants to read them: it does so once, from the beginning.
struct ReadOnce {
    pages: Mutex<Option<PagesReader>>,
    bytes: u64,
}

impl Length for ReadOnce {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for ReadOnce {
    type T = PagesReader;

    fn get_read(&self, _: u64) -> Result<PagesReader> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner).take();
        pages.ok_or_else(|| ParquetError::General("the pages were read before".to_owned()))
    }

    fn get_bytes(&self, _: u64, _: usize) -> Result<Bytes> {
        Err(ParquetError::General("pages are read one after the other only".to_owned()))
    }
}
