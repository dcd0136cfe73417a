use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use stepwell_pipeline::ErrorKind;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

use super::world::{ID, World, object_job};

/// What is written to the log by this thread: each line begins with its level.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    #[must_use]
    pub(super) fn write(self) -> DefaultGuard {
        tracing::subscriber::set_default(self)
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("a lock"))
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a string takes it");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("a lock").push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn the_log_has_errors_for_what_is_no_fault_of_the_client_alone() {
    let world = World::new().await;
    world.keep(object_job()).await;
    world.executions.fail(ErrorKind::AccessDenied);
    let log = Log::default();
    let _writes = log.clone().write();
    for (path, status, errors) in [
        (format!("/jobs/{ID}"), 500, 1),
        ("/jobs/0123456789a-0123456789abcdef0124".to_owned(), 404, 0),
        ("/nowhere".to_owned(), 404, 0),
    ] {
        assert_eq!(world.get(&path).await.status, status);
        let lines = log.take();
        let found: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).collect();
        assert_eq!(found.len(), errors, "{path}: {lines:?}");
        assert!(found.iter().all(|line| line.contains("AccessDenied")), "{found:?}");
    }
}
