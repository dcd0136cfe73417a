//! Tokenises delimited text (CSV, TSV and their kin) chunk by chunk into one flat index of record and field positions.
//!
//! [`Tokeniser::index`] takes whole records of a chunk; what it leaves is to be given again with more bytes behind it.
//! Any way of cutting a text into chunks gives the same records.
//!
//! - A record ends at LF, CRLF or a lone CR, in any mixture. Blank lines and comments are skipped.
//! - A quote means something only as a field's first byte; elsewhere in an unquoted field it is a byte like any other.
//!   A quoted field may hold delimiters and line ends.
//! - Malformed quoting loses nothing: the record is delimited all the same and marked with a [`Fault`].
//!
//! The work is done 64 bytes at a time: separators by SIMD comparison (AVX2, NEON, or eight bytes to a machine word),
//! what lies within quotes by the parity of the quotes before it. Where parity would go wrong, which shows in quotes
//! at places where well-formed text has none, and at comments and escapes, a plain state machine takes that one line.
//!
//! This is the only crate of the workspace with `unsafe` code: in the two SIMD modules.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the SIMD intrinsics that load and store are unsafe")]
mod avx2;
mod blocks;
mod dialect;
mod index;
mod lanes;
mod line_ends;
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code, reason = "the SIMD intrinsics that load and store are unsafe")]
mod neon;
mod scalar;
mod tokeniser;

pub use dialect::{Dialect, InvalidDialect, Unquoted};
pub use index::{Fault, Index};
pub use line_ends::line_ends;
pub use tokeniser::Tokeniser;
