use std::sync::Arc;

use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, Result, path::Path};
use tokio::task::JoinSet;
use tracing::Instrument;

/// An upload in parts. One that fails is given up, so that its parts are not kept, and paid for, without an object.
///
/// Where the function is killed or the store does not answer, the bucket's lifecycle rule gives it up.
#[derive(Debug)]
pub struct PartsUpload {
    upload: Box<dyn MultipartUpload>,
    under_way: JoinSet<Result<()>>,
    under_way_max: usize,
}

impl PartsUpload {
    /// Begins an upload of which so many parts are under way at the same time.
    ///
    /// # Errors
    /// What the store says.
    pub async fn begin(bucket: &Arc<dyn ObjectStore>, path: &Path, under_way_max: usize) -> Result<Self> {
        let upload = bucket.put_multipart(path).await?;
        Ok(Self { upload, under_way: JoinSet::new(), under_way_max })
    }

    /// Sends a part, once there is room for it. After an error the upload is given up.
    ///
    /// # Errors
    /// What the store says of this or an earlier part.
    pub async fn part(&mut self, part: PutPayload) -> Result<()> {
        self.wait(self.under_way_max.max(1) - 1).await?;
        self.under_way.spawn(self.upload.put_part(part).in_current_span());
        Ok(())
    }

    /// Makes an object of the parts. After an error the upload is given up.
    ///
    /// # Errors
    /// What the store says.
    pub async fn complete(mut self) -> Result<()> {
        self.wait(0).await?;
        match self.upload.complete().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    /// Gives the upload up.
    pub async fn abort(mut self) {
        self.give_up().await;
    }

    /// Waits until no more than so many parts are under way.
    async fn wait(&mut self, left: usize) -> Result<()> {
        while self.under_way.len() > left {
            let sent = match self.under_way.join_next().await {
                Some(Ok(sent)) => sent,
                Some(Err(source)) => Err(Error::JoinError { source }),
                None => Ok(()),
            };
            if let Err(error) = sent {
                self.give_up().await;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn give_up(&mut self) {
        self.under_way.shutdown().await;
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(error = %error, "unfinished upload left for the bucket's lifecycle rule");
        }
    }
}
