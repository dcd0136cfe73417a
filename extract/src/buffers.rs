//! Memory that is used again.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

/// Buffers that are used again, so that their memory is neither asked of the system nor cleared anew each time.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
    bytes_max: usize,
}

/// A buffer that goes back when it is dropped.
struct Lent {
    buffer: Vec<u8>,
    buffers: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.buffer.capacity() <= self.buffers.bytes_max {
            let buffer = std::mem::take(&mut self.buffer);
            self.buffers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}

impl Buffers {
    /// None yet. Those beyond `bytes_max` are not kept for the next use.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { idle: Arc::default(), bytes_max }
    }

    /// An empty buffer, with room in it if it was used before.
    pub(crate) fn empty(&self) -> Vec<u8> {
        let mut buffer = self.take();
        buffer.clear();
        buffer
    }

    /// What a buffer holds; it comes back when nobody needs that any more.
    pub(crate) fn bytes(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, buffers: self.clone() })
    }

    /// The bytes of a range of a file; fewer, where the file ends before.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn read(&self, file: &mut File, range: Range<u64>) -> io::Result<Bytes> {
        let bytes = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut lent = Lent { buffer: self.take(), buffers: self.clone() };
        if lent.buffer.len() < bytes {
            lent.buffer.reserve_exact(bytes - lent.buffer.len());
            lent.buffer.resize(bytes, 0);
        }
        file.seek(SeekFrom::Start(range.start))?;
        let mut filled = 0;
        while filled < bytes {
            match file.read(&mut lent.buffer[filled..bytes]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Bytes::from_owner(lent).slice(..filled))
    }

    fn take(&self) -> Vec<u8> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests fail by panicking")]

    use std::io::Write;

    use super::*;

    #[test]
    fn ranges_are_read_to_the_end_of_the_file_and_buffers_used_again() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("writes");
        let buffers = Buffers::new(10);
        let first = buffers.read(&mut file, 2..6).expect("reads");
        let second = buffers.read(&mut file, 8..20).expect("reads");
        assert_eq!((&first[..], &second[..]), (&b"2345"[..], &b"89"[..]));
        let address = first.as_ptr();
        drop(first);
        let third = buffers.read(&mut file, 0..3).expect("reads");
        assert_eq!((&third[..], third.as_ptr()), (&b"012"[..], address));
    }

    #[test]
    fn buffers_beyond_the_limit_are_not_kept() {
        let buffers = Buffers::new(10);
        drop(buffers.bytes(Vec::with_capacity(11)));
        assert_eq!(buffers.empty().capacity(), 0);
        drop(buffers.bytes(b"0123456789".to_vec()));
        let again = buffers.empty();
        assert_eq!((again.len(), again.capacity()), (0, 10));
    }
}
