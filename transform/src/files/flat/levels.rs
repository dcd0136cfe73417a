//! Which rows of a page are null.

use arrow::{array::BooleanBufferBuilder, buffer::NullBuffer};

use super::bits::{put_groups_header, put_run};

/// The definition levels of a page that is being filled: 1 for a value, 0 for null.
#[derive(Default)]
pub(super) struct Levels {
    rows: usize,
    nulls: usize,
    /// One for each row, as soon as one is null.
    validity: Option<BooleanBufferBuilder>,
}

impl Levels {
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn nulls(&self) -> usize {
        self.nulls
    }

    /// Adds rows of an array.
    pub(super) fn push(&mut self, nulls: Option<&NullBuffer>, start: usize, rows: usize) {
        let nulls = nulls.map(|nulls| nulls.slice(start, rows)).filter(|nulls| nulls.null_count() > 0);
        if nulls.is_some() || self.validity.is_some() {
            let validity = self.validity.get_or_insert_with(|| {
                let mut validity = BooleanBufferBuilder::new(self.rows + rows);
                validity.append_n(self.rows, true);
                validity
            });
            match &nulls {
                Some(nulls) => validity.append_buffer(nulls.inner()),
                None => validity.append_n(rows, true),
            }
        }
        self.rows += rows;
        self.nulls += nulls.map_or(0, |nulls| nulls.null_count());
    }

    /// Writes the levels with their length, and begins the next page.
    pub(super) fn put_page(&mut self, body: &mut Vec<u8>) {
        let start = body.len();
        body.extend_from_slice(&[0; size_of::<u32>()]);
        match self.validity.take() {
            Some(mut validity) if self.nulls < self.rows => {
                put_groups_header(self.rows.div_ceil(8), body);
                body.extend_from_slice(&validity.finish().values()[..self.rows.div_ceil(8)]);
            }
            _ => put_run(u32::from(self.nulls == 0), self.rows, 1, body),
        }
        let length = (body.len() - start - size_of::<u32>()) as u32;
        body[start..start + size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
        *self = Self::default();
    }
}
