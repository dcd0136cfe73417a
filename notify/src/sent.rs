use stepwell_pipeline::{
    failure::ExecutionContext,
    run::short_hash,
    stage::StageContext,
    store::{self, ObjectRef},
};
use tracing::warn;

/// The mark of a failure that was told, so that neither a repetition nor the other way to the same notice tells it again.
pub(crate) struct Sent<'a> {
    context: &'a StageContext,
    mark: ObjectRef,
}

impl<'a> Sent<'a> {
    /// The mark of an execution's failure. A redriven execution may fail anew.
    pub(crate) fn of(context: &'a StageContext, execution: &ExecutionContext) -> Self {
        let name = short_hash(&[&execution.id, &execution.name]);
        let key = format!("notices/sent/{name}-{}", execution.redrive_count);
        Self { context, mark: ObjectRef::new(&context.buckets.work, key) }
    }

    /// Whether it was told. Where that cannot be found out it was not: a notice too many does less harm than one too few.
    pub(crate) async fn is_known(&self) -> bool {
        match store::head(&*self.context.stores, &self.mark).await {
            Ok(found) => found.is_some(),
            Err(error) => {
                warn!(error = error.report(), "cannot see whether the notice was sent");
                false
            }
        }
    }

    /// Remembers that it was told.
    pub(crate) async fn remember(&self, subject: &str) {
        if let Err(error) = store::put(&*self.context.stores, &self.mark, subject.to_owned()).await {
            warn!(error = error.report(), "cannot remember that the notice was sent");
        }
    }
}
