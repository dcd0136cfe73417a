//! A deployment of the shipped template on ministack, which `stepwell up` makes and `stepwell down` removes, with
//! everything that belongs to it in one folder.

mod build;
mod deployment;
mod place;
mod told;

pub(crate) use self::{
    build::functions,
    deployment::{Changed, Deployment, Package},
    place::Place,
    told::{Told, quoted},
};
