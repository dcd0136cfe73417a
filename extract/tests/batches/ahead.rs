//! Small members are fetched several at a time, and read in order all the same.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};
use stepwell_pipeline::{
    StageError,
    request::RunRequest,
    stage::StageContext,
    store::{MemoryStores, Stores},
};
use tokio::sync::Barrier;

use crate::support::{context, ids, list, manifest, member, to_the_end};

/// What happens to a request for bytes of a landing bucket.
#[derive(Debug)]
enum Delay {
    /// The first ones wait until there are so many at once.
    Together(Barrier, usize),
    /// Each takes a time.
    Each(Duration),
}

#[derive(Debug)]
struct Traffic {
    delay: Delay,
    asked: AtomicUsize,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

impl Traffic {
    fn new(delay: Delay) -> Arc<Self> {
        let count = AtomicUsize::default;
        Arc::new(Self { delay, asked: count(), in_flight: count(), in_flight_max: count() })
    }

    async fn pass(&self) {
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.in_flight_max.fetch_max(in_flight, Ordering::SeqCst);
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        match &self.delay {
            Delay::Together(barrier, count) if number < *count => {
                barrier.wait().await;
            }
            Delay::Together(..) => tokio::task::yield_now().await,
            Delay::Each(time) => tokio::time::sleep(*time).await,
        }
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Slow {
    bucket: Arc<dyn ObjectStore>,
    traffic: Arc<Traffic>,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slow")
    }
}

#[async_trait]
impl ObjectStore for Slow {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.bucket.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.bucket.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            self.traffic.pass().await;
        }
        self.bucket.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.bucket.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.bucket.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.bucket.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.bucket.copy_opts(from, to, options).await
    }
}

/// Buckets in memory, of which the landing bucket is slow.
#[derive(Debug)]
struct SlowLanding {
    stores: MemoryStores,
    traffic: Arc<Traffic>,
}

impl Stores for SlowLanding {
    fn bucket(&self, name: &str) -> Result<Arc<dyn ObjectStore>, StageError> {
        let bucket = self.stores.bucket(name)?;
        let traffic = self.traffic.clone();
        Ok(if name == "landing" { Arc::new(Slow { bucket, traffic }) } else { bucket })
    }
}

fn slow(traffic: &Arc<Traffic>) -> StageContext {
    let stores = SlowLanding { stores: MemoryStores::default(), traffic: traffic.clone() };
    StageContext { stores: Arc::new(stores), ..context() }
}

async fn batch_of(context: &StageContext, count: usize, records: usize) -> RunRequest {
    let mut members = Vec::new();
    for number in 0..count {
        let lines = (0..records).map(|record| format!("{},an item of some kind\n", number * records + record));
        let text = format!("id,item\n{}", lines.collect::<String>());
        members.push(member(context, &format!("in/{number:06}.csv"), text).await);
    }
    list(context, 0, members).await
}

#[tokio::test]
async fn many_are_in_flight_at_once_and_not_too_many() {
    const TOGETHER: usize = 16;
    let traffic = Traffic::new(Delay::Together(Barrier::new(TOGETHER), TOGETHER));
    let context = slow(&traffic);
    let request = batch_of(&context, 200, 3).await;
    let run = to_the_end(&context, request);
    // One at a time, they would wait for each other for ever.
    let ended = tokio::time::timeout(Duration::from_secs(60), run).await.expect("does not hang");
    let (extracted, _) = ended.expect("extracted");
    assert_eq!(ids(&context, &manifest(&context, &extracted).await).await, (0..600).collect::<Vec<_>>());
    assert_eq!(traffic.asked.load(Ordering::SeqCst), 200, "each is fetched by one request");
    let most = traffic.in_flight_max.load(Ordering::SeqCst);
    assert!((TOGETHER..=32).contains(&most), "{most} at once");
}

/// Prints how long 10,000 members of 10 kB take where each request takes 30 ms.
#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_small_members() {
    for delay in [Duration::ZERO, Duration::from_millis(30)] {
        let traffic = Traffic::new(Delay::Each(delay));
        let context = slow(&traffic);
        let request = batch_of(&context, 10_000, 350).await;
        let started = Instant::now();
        let (extracted, _) = to_the_end(&context, request).await.expect("extracted");
        let manifest = manifest(&context, &extracted).await;
        println!(
            "{} records, {} bytes, delay {delay:?}: {:.2?}, {} parts",
            extracted.records_read,
            extracted.bytes_read,
            started.elapsed(),
            manifest.parts.len()
        );
    }
}
