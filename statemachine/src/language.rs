//! What the Amazon States Language fixes, for the interpreter's checks and for the lint.

/// The longest timeout in seconds and the most attempts that the service takes.
pub(crate) const MOST: u64 = 99_999_999;

/// The most characters of a state's name.
pub(crate) const LONGEST_NAME: usize = 80;

/// The errors of the language itself that a retrier or catcher of a Task without heartbeat can match.
pub(crate) const TASK_ERRORS: [&str; 4] =
    ["States.ALL", "States.DataLimitExceeded", "States.TaskFailed", "States.Timeout"];

/// All errors of the language itself; "Handling errors in Step Functions workflows", Step Functions Developer Guide.
pub(crate) const STATES_ERRORS: [&str; 17] = [
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
    "States.TaskFailed",
    "States.Timeout",
];

/// The comparisons of a Choice with JSONPath; those that compare also come with `Path` at the end.
pub(crate) const COMPARISONS: [&str; 23] = [
    "BooleanEquals",
    "IsBoolean",
    "IsNull",
    "IsNumeric",
    "IsPresent",
    "IsString",
    "IsTimestamp",
    "NumericEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "StringEquals",
    "StringGreaterThan",
    "StringGreaterThanEquals",
    "StringLessThan",
    "StringLessThanEquals",
    "StringMatches",
    "TimestampEquals",
    "TimestampGreaterThan",
    "TimestampGreaterThanEquals",
    "TimestampLessThan",
    "TimestampLessThanEquals",
];
