//! Least privilege, proved: each role's stage runs with the rights that the template gives it and with one of them
//! taken away.
//!
//! Two judge the requests, one at a time. moto enforces IAM, but knows resources only for S3, no conditions, and takes a
//! version's read for an object's where it is a HeadObject. [`gate`] stands in front of it and judges as AWS documents it.

pub mod gate;
pub mod lab;
pub mod page;
pub mod policy;
pub mod probes;
pub mod proof;
pub(crate) mod request;
pub mod roles;
pub mod scenario;
pub mod scenarios;
pub mod services;
