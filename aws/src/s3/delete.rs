use std::collections::BTreeMap;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::{StreamExt, stream::BoxStream};
use object_store::{Error, Result, path::Path};
use stepwell_pipeline::{ErrorKind, StageError};

use super::{
    S3Store,
    error::{generic, operation_error},
};
use crate::fault::Fault;

/// What one DeleteObjects takes (S3 API Reference, `DeleteObjects`).
const BATCH: usize = 1000;

pub(super) fn delete_all(
    store: S3Store,
    locations: BoxStream<'static, Result<Path>>,
) -> BoxStream<'static, Result<Path>> {
    locations
        .ready_chunks(BATCH)
        .then(move |batch| {
            let store = store.clone();
            async move { futures::stream::iter(delete_batch(&store, batch).await) }
        })
        .flatten()
        .boxed()
}

async fn delete_batch(store: &S3Store, batch: Vec<Result<Path>>) -> Vec<Result<Path>> {
    let wanted: Vec<&Path> = batch.iter().flatten().collect();
    let failed = match wanted[..] {
        [] => Ok(BTreeMap::new()),
        [location] => delete_one(store, location).await.map(|()| BTreeMap::new()),
        _ => delete_many(store, &wanted).await,
    };
    match failed {
        Ok(mut failed) => batch
            .into_iter()
            .map(|location| {
                let location = location?;
                match failed.remove(location.as_ref()) {
                    Some(error) => Err(error),
                    None => Ok(location),
                }
            })
            .collect(),
        // The request as a whole failed: one error says so for all of its objects.
        Err(error) => batch.into_iter().filter(Result::is_err).chain([Err(error)]).collect(),
    }
}

async fn delete_one(store: &S3Store, location: &Path) -> Result<()> {
    let request = store.client.delete_object().bucket(&*store.bucket).key(location.as_ref());
    request.send().await.map(|_| ()).map_err(|error| operation_error(error, location))
}

/// Deletes up to a batch; gives the errors of those objects that could not be deleted, by key.
async fn delete_many(store: &S3Store, locations: &[&Path]) -> Result<BTreeMap<String, Error>> {
    let building = |error| generic(StageError::with_source(ErrorKind::Internal, "cannot build the request", error));
    let identifiers = locations
        .iter()
        .map(|location| ObjectIdentifier::builder().key(location.as_ref()).build().map_err(building))
        .collect::<Result<Vec<_>>>()?;
    let delete = Delete::builder().set_objects(Some(identifiers)).quiet(true).build().map_err(building)?;
    let output = store
        .client
        .delete_objects()
        .bucket(&*store.bucket)
        .delete(delete)
        .send()
        .await
        .map_err(|error| operation_error(error, &Path::default()))?;
    Ok(output.errors.into_iter().flatten().map(|error| refusal(&error)).collect())
}

fn refusal(error: &aws_sdk_s3::types::Error) -> (String, Error) {
    let key = error.key().unwrap_or_default().to_owned();
    let code = error.code().unwrap_or("an unnamed error");
    let message = format!("cannot delete {key:?}: {code}: {}", error.message().unwrap_or_default());
    let fault = Fault::of_answer(None, Some(code));
    let source = StageError::new(fault.kind(ErrorKind::StoreUnavailable), message);
    let error = match fault {
        Fault::Denied => Error::PermissionDenied { path: key.clone(), source: source.into() },
        _ => generic(source),
    };
    (key, error)
}
