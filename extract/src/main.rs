//! The Lambda function `extract`.

use std::process::ExitCode;

use stepwell_aws::serve;
use stepwell_extract::extract;
use stepwell_pipeline::{request::RunRequest, stage::StageContext};

fn main() -> ExitCode {
    serve("extract", |context: StageContext, input| async move { extract(&context, RunRequest::parse(&input)?).await })
}
