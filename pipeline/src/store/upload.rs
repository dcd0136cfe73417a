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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use object_store::{PutResult, UploadPart};

    use super::*;

    /// What an upload saw, each of whose parts takes some time.
    #[derive(Debug, Default)]
    struct Seen {
        under_way: usize,
        most_under_way: usize,
        sent: usize,
        completed_with: Option<usize>,
        given_up: usize,
    }

    #[derive(Debug)]
    struct Watched {
        seen: Arc<Mutex<Seen>>,
        begun: usize,
        /// The part that fails, counted from 1.
        failing: usize,
    }

    #[async_trait]
    impl MultipartUpload for Watched {
        fn put_part(&mut self, _: PutPayload) -> UploadPart {
            self.begun += 1;
            let (seen, fails) = (self.seen.clone(), self.begun == self.failing);
            Box::pin(async move {
                {
                    let mut seen = seen.lock().expect("seen");
                    seen.under_way += 1;
                    seen.most_under_way = seen.most_under_way.max(seen.under_way);
                }
                tokio::task::yield_now().await;
                let mut seen = seen.lock().expect("seen");
                seen.under_way -= 1;
                if fails {
                    return Err(Error::Generic { store: "tests", source: "refused".into() });
                }
                seen.sent += 1;
                Ok(())
            })
        }

        async fn complete(&mut self) -> Result<PutResult> {
            let mut seen = self.seen.lock().expect("seen");
            seen.completed_with = Some(seen.sent);
            Ok(PutResult { e_tag: None, version: None })
        }

        async fn abort(&mut self) -> Result<()> {
            self.seen.lock().expect("seen").given_up += 1;
            Ok(())
        }
    }

    async fn send(parts: usize, under_way_max: usize, failing: usize) -> (Result<()>, Seen) {
        let seen = Arc::<Mutex<Seen>>::default();
        let watched = Watched { seen: seen.clone(), begun: 0, failing };
        let mut upload = PartsUpload { upload: Box::new(watched), under_way: JoinSet::new(), under_way_max };
        let ended = async {
            for _ in 0..parts {
                upload.part(PutPayload::from_static(b"part")).await?;
            }
            upload.complete().await
        };
        let ended = ended.await;
        let seen = std::mem::take(&mut *seen.lock().expect("seen"));
        (ended, seen)
    }

    #[tokio::test]
    async fn so_many_parts_are_under_way_and_all_are_sent_before_the_end() {
        for (parts, under_way_max, expected) in [(1, 3, 1), (10, 0, 1), (10, 1, 1), (10, 3, 3), (10, 4, 4), (0, 3, 0)] {
            let (ended, seen) = send(parts, under_way_max, 0).await;
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(seen.most_under_way, expected, "{parts} parts, {under_way_max} at a time");
            assert_eq!((seen.completed_with, seen.given_up), (Some(parts), 0));
        }
    }

    #[tokio::test]
    async fn an_upload_of_which_a_part_fails_is_given_up() {
        for failing in 1..=5 {
            let (ended, seen) = send(5, 2, failing).await;
            assert!(ended.is_err(), "part {failing}");
            assert_eq!((seen.completed_with, seen.given_up), (None, 1), "part {failing}");
        }
    }
}
