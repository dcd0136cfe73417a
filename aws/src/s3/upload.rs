use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    operation::complete_multipart_upload::CompleteMultipartUploadOutput,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use object_store::{MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart, path::Path};
use stepwell_pipeline::{ErrorKind, StageError};

use super::{
    S3Store,
    attributes::with_attributes,
    error::{generic, operation_error},
    unquoted,
};
use crate::fault::stage_error;

/// Begins an upload in parts.
pub(super) async fn begin(store: &S3Store, location: &Path, options: PutMultipartOptions) -> Result<S3Upload> {
    let request = store.client.create_multipart_upload().bucket(&*store.bucket).key(location.as_ref());
    let request = with_attributes!(request, &options.attributes, &options.tags);
    let output = request
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await
        .map_err(|error| operation_error(error, location))?;
    let target = UploadTarget::new(store.clone(), location.clone(), output.upload_id)?;
    Ok(S3Upload { target: Arc::new(target), begun: 0, completed: Arc::default() })
}

/// An upload that S3 knows by its id.
#[derive(Debug)]
pub(super) struct UploadTarget {
    pub(super) store: S3Store,
    pub(super) location: Path,
    pub(super) upload_id: String,
}

impl UploadTarget {
    pub(super) fn new(store: S3Store, location: Path, upload_id: Option<String>) -> Result<Self> {
        match upload_id {
            Some(upload_id) => Ok(Self { store, location, upload_id }),
            None => Err(generic(StageError::new(
                ErrorKind::StoreUnavailable,
                "the service began an upload and gave it no id",
            ))),
        }
    }

    async fn put_part(&self, number: i32, bytes: Bytes) -> Result<CompletedPart> {
        let output = self
            .store
            .client
            .upload_part()
            .bucket(&*self.store.bucket)
            .key(self.location.as_ref())
            .upload_id(&self.upload_id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(bytes))
            .customize()
            .disable_payload_signing()
            .send()
            .await
            .map_err(|error| operation_error(error, &self.location))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag)
            .set_checksum_crc32(output.checksum_crc32)
            .build())
    }

    /// Makes the object of its parts, which are in order; with `create` only if there is none of that key.
    pub(super) async fn complete(
        &self,
        parts: Vec<CompletedPart>,
        create: bool,
    ) -> Result<CompleteMultipartUploadOutput> {
        let completed = self
            .store
            .client
            .complete_multipart_upload()
            .bucket(&*self.store.bucket)
            .key(self.location.as_ref())
            .upload_id(&self.upload_id)
            .set_if_none_match(create.then(|| "*".to_owned()))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await;
        completed.map_err(|error| {
            // The upload was aborted by a lifecycle rule, or completed by an attempt whose answer was lost. Either
            // way a repetition of the whole write succeeds.
            if error.code() == Some("NoSuchUpload") {
                let message = format!("the upload of {} is gone", self.location);
                return generic(StageError::with_source(ErrorKind::StoreUnavailable, message, error));
            }
            match operation_error(error, &self.location) {
                object_store::Error::Precondition { path, source } if create => {
                    object_store::Error::AlreadyExists { path, source }
                }
                error => error,
            }
        })
    }

    /// Gives up the upload, so that its parts cost nothing more.
    pub(super) async fn abort(&self) -> Result<()> {
        let request = self.store.client.abort_multipart_upload().bucket(&*self.store.bucket);
        match request.key(self.location.as_ref()).upload_id(&self.upload_id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(generic(stage_error(
                error,
                ErrorKind::StoreUnavailable,
                format!("cannot abort the upload of {}", self.location),
            ))),
        }
    }
}

/// An upload in parts of at least 5 MiB but the last (S3 User Guide, "Amazon S3 multipart upload limits").
#[derive(Debug)]
pub(super) struct S3Upload {
    target: Arc<UploadTarget>,
    begun: i32,
    completed: Arc<Mutex<BTreeMap<i32, CompletedPart>>>,
}

#[async_trait]
impl MultipartUpload for S3Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.begun += 1;
        let (target, completed, number) = (self.target.clone(), self.completed.clone(), self.begun);
        Box::pin(async move {
            let part = target.put_part(number, Bytes::from(data)).await?;
            completed.lock().unwrap_or_else(PoisonError::into_inner).insert(number, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.begun == 0 {
            // S3 refuses an upload without parts; one empty part makes the empty object.
            self.put_part(PutPayload::default()).await?;
        }
        let parts: Vec<_> = {
            let completed = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
            completed.values().cloned().collect()
        };
        if parts.len() != usize::try_from(self.begun).unwrap_or_default() {
            let message = format!("{} of {} parts of {} arrived", parts.len(), self.begun, self.target.location);
            return Err(generic(StageError::new(ErrorKind::Internal, message)));
        }
        let output = self.target.complete(parts, false).await?;
        Ok(PutResult { e_tag: output.e_tag.map(unquoted), version: output.version_id })
    }

    async fn abort(&mut self) -> Result<()> {
        self.target.abort().await
    }
}
