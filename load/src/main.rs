//! The Lambda function `load`.

use std::process::ExitCode;

use stepwell_aws::serve;
use stepwell_load::load;
use stepwell_pipeline::{handoff, stage::StageContext};

fn main() -> ExitCode {
    serve("load", |context: StageContext, input| async move { load(&context, handoff::parse(&input)?).await })
}
