//! The SQL engine: sessions, tables, queries, and the check of a spec's SQL.

mod arrange;
mod check;
mod explain;
mod input;
mod join;
mod lineage;
mod query;
mod reference;
mod scan;
mod session;

pub use check::{Checked, check};
pub(crate) use input::InputTable;
pub(crate) use query::{Counts, Query, Shape, failed, shape};
pub(crate) use reference::References;
