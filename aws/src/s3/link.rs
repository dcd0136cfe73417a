use std::{fmt::Display, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{Client, presigning::PresigningConfig};
use stepwell_pipeline::{ErrorKind, StageError, link::Links, store::ObjectRef};

/// Presigned URLs of S3. They hold no longer than the credentials that sign them (S3 User Guide, "Download and upload
/// objects with presigned URLs").
#[derive(Clone, Debug)]
pub struct S3Links {
    client: Client,
}

impl S3Links {
    /// Links signed with a client's credentials.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Links for S3Links {
    async fn download(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        let request = self.client.get_object().bucket(&object.bucket).key(&object.key);
        match request.presigned(config(valid)?).await {
            Ok(link) => Ok(link.uri().to_owned()),
            Err(error) => Err(unsigned(object, error)),
        }
    }

    async fn upload(&self, object: &ObjectRef, valid: Duration) -> Result<String, StageError> {
        let request = self.client.put_object().bucket(&object.bucket).key(&object.key);
        match request.presigned(config(valid)?).await {
            Ok(link) => Ok(link.uri().to_owned()),
            Err(error) => Err(unsigned(object, error)),
        }
    }
}

fn config(valid: Duration) -> Result<PresigningConfig, StageError> {
    PresigningConfig::expires_in(valid)
        .map_err(|error| StageError::with_source(ErrorKind::Internal, "a link cannot be valid that long", error))
}

fn unsigned(object: &ObjectRef, error: impl Display) -> StageError {
    StageError::new(ErrorKind::AccessDenied, format!("cannot sign a link to {object}: {error}"))
}
