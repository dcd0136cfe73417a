use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::{PageKey, PageStore, PageStoreArgs, PageStoreFactory},
    errors::{ParquetError, Result},
};

/// Holds encoded pages until their file is uploaded: in memory up to a bound that all files share, the rest in a
/// temporary file.
///
/// Which page is where hangs on timing; what is in it, and so the file, does not.
#[derive(Debug)]
pub(super) struct PagePool {
    memory_bytes_max: usize,
    memory_bytes: AtomicUsize,
    disk: Mutex<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    file: Option<File>,
    end: u64,
    live_bytes: u64,
}

/// Bytes that the pool holds.
#[derive(Debug)]
pub(super) enum Held {
    Memory(Bytes),
    Disk { offset: u64, length: usize },
}

impl Held {
    /// How many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Disk { length, .. } => *length,
        }
    }
}

impl PagePool {
    pub(super) fn new(memory_bytes_max: usize) -> Self {
        Self { memory_bytes_max, memory_bytes: AtomicUsize::new(0), disk: Mutex::default() }
    }

    pub(super) fn hold(&self, bytes: Bytes) -> io::Result<Held> {
        let length = bytes.len();
        if self.memory_bytes.fetch_add(length, Ordering::AcqRel) + length <= self.memory_bytes_max {
            return Ok(Held::Memory(bytes));
        }
        self.memory_bytes.fetch_sub(length, Ordering::AcqRel);
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).write(&bytes)
    }

    /// Holds bytes in temporary storage, whatever memory there is.
    pub(super) fn store(&self, bytes: &[u8]) -> io::Result<Held> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    pub(super) fn release(&self, held: Held) -> io::Result<Bytes> {
        match held {
            Held::Memory(bytes) => {
                self.memory_bytes.fetch_sub(bytes.len(), Ordering::AcqRel);
                Ok(bytes)
            }
            Held::Disk { offset, length } => {
                self.disk.lock().unwrap_or_else(PoisonError::into_inner).read(offset, length)
            }
        }
    }
}

impl Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<Held> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        let Some(file) = &mut self.file else { return Err(io::Error::other("the temporary file is gone")) };
        if self.live_bytes == 0 {
            self.end = 0;
        }
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(bytes)?;
        let held = Held::Disk { offset: self.end, length: bytes.len() };
        self.end += bytes.len() as u64;
        self.live_bytes += bytes.len() as u64;
        Ok(held)
    }

    fn read(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        let Some(file) = &mut self.file else { return Err(io::Error::other("the temporary file is gone")) };
        let mut bytes = Vec::with_capacity(length);
        file.seek(SeekFrom::Start(offset))?;
        if file.take(length as u64).read_to_end(&mut bytes)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.live_bytes -= length as u64;
        Ok(Bytes::from(bytes))
    }
}

/// The pages of one file.
#[derive(Clone)]
pub(super) struct FilePages {
    pool: Arc<PagePool>,
    bytes: Arc<AtomicUsize>,
}

impl FilePages {
    pub(super) fn new(pool: Arc<PagePool>) -> Self {
        Self { pool, bytes: Arc::default() }
    }

    /// What holds the pages.
    pub(super) fn pool(&self) -> Arc<PagePool> {
        self.pool.clone()
    }

    /// A store for the pages of a column chunk.
    pub(super) fn column(&self) -> ColumnPages {
        ColumnPages { file: self.clone(), held: Vec::new() }
    }

    /// The bytes of the file's pages that are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}

impl fmt::Debug for FilePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePages({} bytes)", self.bytes())
    }
}

impl PageStoreFactory for FilePages {
    fn create(&self, _: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        Ok(Box::new(self.column()))
    }
}

/// The pages of a column chunk, which may be taken once each.
pub(super) struct ColumnPages {
    file: FilePages,
    held: Vec<Option<Held>>,
}

impl PageStore for ColumnPages {
    fn put(&mut self, page: Bytes) -> Result<PageKey> {
        self.file.bytes.fetch_add(page.len(), Ordering::AcqRel);
        let key = PageKey::new(self.held.len() as u64);
        self.held.push(Some(self.file.pool.hold(page)?));
        Ok(key)
    }

    fn take(&mut self, key: PageKey) -> Result<Bytes> {
        let held = usize::try_from(key.get()).ok().and_then(|index| self.held.get_mut(index)).and_then(Option::take);
        let held = held.ok_or_else(|| ParquetError::General(format!("page {} is not held", key.get())))?;
        let page = self.file.pool.release(held)?;
        self.file.bytes.fetch_sub(page.len(), Ordering::AcqRel);
        Ok(page)
    }
}
