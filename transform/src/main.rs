//! The Lambda function `transform`.

use std::process::ExitCode;

use stepwell_aws::serve;
use stepwell_pipeline::{handoff, stage::StageContext};
use stepwell_transform::transform;

fn main() -> ExitCode {
    serve("transform", |context: StageContext, input| async move { transform(&context, handoff::parse(&input)?).await })
}
