//! What lineage is told of a source: that it is read, and what is wrong with it.

use stepwell_pipeline::{
    lineage::{Lineage, Sending, Subject},
    manifest::ExtractManifest,
    run::{Run, Source},
    spec::CheckedSpec,
    stage::StageContext,
};

/// Begins to tell that the execution has begun.
pub(crate) fn begin(context: &StageContext, spec: &CheckedSpec, run: &Run, members: Option<&[Source]>) -> Sending {
    match &context.lineage {
        Some(lineage) => lineage.begin(subject(context, lineage, spec, run, members).started((context.now)())),
        None => Sending::default(),
    }
}

/// Begins to tell what the source is like that has too many rejects: the failure itself says only that it has.
pub(crate) fn refused(
    context: &StageContext,
    spec: &CheckedSpec,
    manifest: &ExtractManifest,
    members: Option<&[Source]>,
) -> Sending {
    match &context.lineage {
        Some(lineage) => {
            let subject = subject(context, lineage, spec, &manifest.run, members);
            lineage.begin(subject.refused((context.now)(), manifest))
        }
        None => Sending::default(),
    }
}

fn subject<'a>(
    context: &'a StageContext,
    lineage: &'a Lineage,
    spec: &'a CheckedSpec,
    run: &'a Run,
    members: Option<&'a [Source]>,
) -> Subject<'a> {
    Subject {
        namespace: lineage.namespace(),
        execution_id: context.execution_id.as_deref().unwrap_or(&run.id),
        redrive_count: 0,
        pipeline: &run.pipeline,
        spec: Some(spec),
        run: Some(run),
        object: None,
        members,
        buckets: &context.buckets,
    }
}
