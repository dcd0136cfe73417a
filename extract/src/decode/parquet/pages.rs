use std::{
    io::{self, Read},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, Bytes};
use parquet::{
    arrow::ProjectionMask,
    errors::ParquetError,
    file::{
        metadata::RowGroupMetaData,
        reader::{ChunkReader, Length},
    },
};
use stepwell_pipeline::StageError;
use tokio::{runtime::Handle, task::JoinHandle};
use tracing::Instrument;

use super::{Object, TAIL_BYTES, unreadable};

/// What the windows into all columns of a row group take together, fetched ahead or being decoded.
const WINDOWS_BYTES: u64 = 32 * 1024 * 1024;
/// The least and the most that is fetched of a column at once.
pub(super) const WINDOW_BYTES: Range<u64> = 64 * 1024..4 * 1024 * 1024;
/// What a page may take, compressed or not.
const PAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What the pages that are open at once, one and a dictionary per column, may take.
const PAGES_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Thrift's compact protocol: three `i32` fields of ids 1 to 3, of up to six bytes each.
const PAGE_SIZES_BYTES: u64 = 18;
const DICTIONARY_PAGE: u64 = 2;

/// The pages of the columns of a row group, fetched by range a little ahead of the decoder.
///
/// Parquet's own asynchronous reader would hold a row group's columns whole, often hundreds of megabytes.
#[derive(Clone)]
pub(super) struct Pages(Arc<Shared>);

struct Shared {
    object: Object,
    handle: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    regions: Vec<Region>,
    open: Vec<OpenPages>,
    /// Arrow's errors are texts; this is the one to report.
    failure: Option<StageError>,
}

/// A read that is under way.
type Fetch = JoinHandle<Result<Bytes, StageError>>;

/// A stretch of the file that is read from its start to its end.
struct Region {
    range: Range<u64>,
    window_bytes: u64,
    held: Bytes,
    held_start: u64,
    ahead: Option<(Range<u64>, Fetch)>,
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some((_, fetch)) = &self.ahead {
            fetch.abort();
        }
    }
}

/// What the open pages of one column take.
struct OpenPages {
    chunk: Range<u64>,
    dictionary_bytes: u64,
    page_bytes: u64,
}

impl Pages {
    pub(super) fn new(object: Object, handle: Handle) -> Self {
        Self(Arc::new(Shared { object, handle, state: Mutex::default() }))
    }

    /// The store's or the limits' error, if that is why reading failed.
    pub(super) fn failure(&self) -> Option<StageError> {
        self.state().failure.take()
    }

    /// The error of a broken row group.
    pub(super) fn broken(&self, row_group: usize, message: &str) -> StageError {
        let message: String = message.chars().take(200).collect();
        unreadable(&self.0.object, &format!("is a broken Parquet file: row group {}: {message}", row_group + 1))
    }

    /// Turns to a row group.
    pub(super) fn enter(
        &self,
        index: usize,
        group: &RowGroupMetaData,
        mask: &ProjectionMask,
    ) -> Result<(), StageError> {
        let data_end = self.0.object.size() - TAIL_BYTES;
        let mut chunks = Vec::new();
        for (leaf, column) in group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf)) {
            let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
            let chunk = u64::try_from(start)
                .ok()
                .zip(u64::try_from(column.compressed_size()).ok())
                .and_then(|(start, bytes)| Some(start..start.checked_add(bytes)?))
                .filter(|chunk| chunk.end <= data_end);
            let Some(chunk) = chunk else {
                return Err(self.broken(index, &format!("column {} is not within the file", leaf + 1)));
            };
            chunks.push(chunk);
        }
        let mut state = self.state();
        state.regions = self.regions(&chunks);
        state.open = chunks.into_iter().map(|chunk| OpenPages { chunk, dictionary_bytes: 0, page_bytes: 0 }).collect();
        Ok(())
    }

    /// Small row groups are fetched as a whole, large ones by column.
    fn regions(&self, chunks: &[Range<u64>]) -> Vec<Region> {
        let start = chunks.iter().map(|chunk| chunk.start).min().unwrap_or_default();
        let end = chunks.iter().map(|chunk| chunk.end).max().unwrap_or_default();
        if end - start <= WINDOW_BYTES.end {
            return vec![self.region(start..end, WINDOW_BYTES.end)];
        }
        // Two windows a column: one is decoded while the other is fetched.
        let window_bytes = WINDOWS_BYTES / (2 * chunks.len() as u64);
        let window_bytes = window_bytes.clamp(WINDOW_BYTES.start, WINDOW_BYTES.end);
        chunks.iter().map(|chunk| self.region(chunk.clone(), window_bytes)).collect()
    }

    fn region(&self, range: Range<u64>, window_bytes: u64) -> Region {
        Region { held: Bytes::new(), held_start: range.start, range, window_bytes, ahead: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some bytes that begin at an offset, at least one.
    fn window(&self, offset: u64) -> Result<Bytes, StageError> {
        let mut state = self.state();
        let Some(region) = state.regions.iter_mut().find(|region| region.range.contains(&offset)) else {
            return Err(unreadable(&self.0.object, "is a broken Parquet file: a page is not within its column"));
        };
        let held_end = region.held_start + region.held.len() as u64;
        if !(region.held_start..held_end).contains(&offset) {
            region.held = Bytes::new();
            let ahead = region.ahead.take();
            let (start, bytes) = match ahead {
                Some((range, fetch)) if range.contains(&offset) => (range.start, self.joined(fetch)?),
                ahead => {
                    ahead.inspect(|(_, fetch)| fetch.abort());
                    let end = (offset + region.window_bytes).min(region.range.end);
                    (offset, self.0.handle.block_on(self.0.object.read(offset..end))?)
                }
            };
            let next = start + bytes.len() as u64;
            (region.held_start, region.held) = (start, bytes);
            if next < region.range.end {
                let range = next..(next + region.window_bytes).min(region.range.end);
                let (object, wanted) = (self.0.object.clone(), range.clone());
                let fetch = self.0.handle.spawn(async move { object.read(wanted).await }.in_current_span());
                region.ahead = Some((range, fetch));
            }
        }
        Ok(region.held.slice((offset - region.held_start) as usize..))
    }

    fn joined(&self, fetch: Fetch) -> Result<Bytes, StageError> {
        self.0.handle.block_on(fetch).unwrap_or_else(|error| {
            let kind = stepwell_pipeline::ErrorKind::Internal;
            Err(StageError::with_source(kind, "a read was cancelled", error))
        })
    }

    /// A number of bytes, which may go over several windows.
    fn bytes(&self, offset: u64, bytes: usize) -> Result<Bytes, StageError> {
        let window = self.window(offset)?;
        if window.len() >= bytes {
            return Ok(window.slice(..bytes));
        }
        let mut joined = Vec::with_capacity(bytes);
        joined.extend_from_slice(&window);
        drop(window);
        while joined.len() < bytes {
            let window = self.window(offset + joined.len() as u64)?;
            joined.extend_from_slice(&window[..window.len().min(bytes - joined.len())]);
        }
        Ok(joined.into())
    }

    /// Refuses a page that is too large before anything is reserved for it.
    fn check_page(&self, offset: u64) -> Result<(), StageError> {
        let chunk_end = self
            .state()
            .open
            .iter()
            .map(|open| &open.chunk)
            .find(|chunk| chunk.contains(&offset))
            .map(|chunk| chunk.end);
        let header_bytes = chunk_end.unwrap_or(offset).saturating_sub(offset).min(PAGE_SIZES_BYTES);
        let header = self.bytes(offset, header_bytes as usize)?;
        let Some([kind, page_bytes, compressed_bytes]) = page_sizes(&header) else {
            return Err(unreadable(&self.0.object, "is a broken Parquet file: a page's header has no sizes"));
        };
        let largest = page_bytes.max(compressed_bytes);
        let mut state = self.state();
        if let Some(open) = state.open.iter_mut().find(|open| open.chunk.contains(&offset)) {
            *(if kind == DICTIONARY_PAGE { &mut open.dictionary_bytes } else { &mut open.page_bytes }) = page_bytes;
        }
        let open_bytes: u64 = state.open.iter().map(|open| open.dictionary_bytes + open.page_bytes).sum();
        let (what, bytes, limit) = match largest > PAGE_BYTES_MAX {
            true => ("a page", largest, PAGE_BYTES_MAX),
            false => ("open pages", open_bytes, PAGES_BYTES_MAX),
        };
        if bytes <= limit {
            return Ok(());
        }
        let message = format!("has {what} of {bytes} bytes where {limit} are allowed; write it with smaller pages");
        Err(unreadable(&self.0.object, &message))
    }

    /// Keeps the error aside, since only its text comes through Arrow.
    fn failed(&self, error: StageError) -> io::Error {
        let message = error.to_string();
        self.state().failure.get_or_insert(error);
        io::Error::other(message)
    }
}

/// Type, uncompressed and compressed size, with which every page header begins (`PageHeader` of `parquet.thrift`).
fn page_sizes(header: &[u8]) -> Option<[u64; 3]> {
    const NEXT_I32: u8 = 0x15;
    let mut rest = header;
    let mut sizes = [0; 3];
    for size in &mut sizes {
        if rest.split_off_first()? != &NEXT_I32 {
            return None;
        }
        let mut zigzag = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = *rest.split_off_first()?;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        // Negative ones come out as huge.
        *size = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
    }
    Some(sizes)
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.object.size()
    }
}

impl ChunkReader for Pages {
    type T = PageHeader;

    fn get_read(&self, start: u64) -> Result<PageHeader, ParquetError> {
        Ok(PageHeader { pages: self.clone(), offset: start, window: Bytes::new(), checked: false })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if length as u64 > PAGE_BYTES_MAX {
            return Err(ParquetError::General(format!("a page has {length} bytes")));
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        Ok(self.bytes(start, length).map_err(|error| self.failed(error))?)
    }
}

/// Where Parquet reads page headers from, and nothing else.
pub(super) struct PageHeader {
    pages: Pages,
    offset: u64,
    window: Bytes,
    checked: bool,
}

impl Read for PageHeader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !mem::replace(&mut self.checked, true) {
            self.pages.check_page(self.offset).map_err(|error| self.pages.failed(error))?;
        }
        if self.window.is_empty() {
            self.window = self.pages.window(self.offset).map_err(|error| self.pages.failed(error))?;
        }
        let bytes = buffer.len().min(self.window.len());
        self.window.copy_to_slice(&mut buffer[..bytes]);
        self.offset += bytes as u64;
        Ok(bytes)
    }
}
