//! Which of two versions is the newer where neither their events nor their times say.

use stepwell_pipeline::{
    StageError,
    current::{self, Current, Standing},
    run::{Run, Source},
    stage::StageContext,
    store::{self, ObjectRef},
};

/// How a run stands to what is current. Where the versions do not say, the one that the source key holds is the newer;
/// where it holds neither, a newer one has a run of its own, or the key was deleted, and the run goes on.
///
/// # Errors
/// What the store of the source says.
pub(crate) async fn standing(
    context: &StageContext,
    current: Option<&Current>,
    run: &Run,
) -> Result<Standing, StageError> {
    let standing = current::standing(current, run);
    let (Standing::Undecided, Some(current)) = (standing, current) else { return Ok(standing) };
    let is_superseded = is_latest(context, &current.manifest.run.source).await?;
    Ok(if is_superseded { Standing::Superseded } else { Standing::Pending })
}

/// Whether a version is what its key holds.
async fn is_latest(context: &StageContext, source: &Source) -> Result<bool, StageError> {
    let Some(meta) = store::head(&*context.stores, &ObjectRef::new(&source.bucket, &source.key)).await? else {
        return Ok(false);
    };
    Ok(match (&source.version, &meta.version) {
        (Some(pinned), Some(latest)) => pinned == latest,
        _ => meta.e_tag.as_deref() == Some(source.etag.as_str()),
    })
}
