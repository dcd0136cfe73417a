//! Decoders: from the text of an object to the cells of its records.

pub(crate) mod json;
