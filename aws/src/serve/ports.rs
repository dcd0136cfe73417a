use std::{sync::Arc, time::Instant};

use aws_config::SdkConfig;
use serde_json::Value;
use stepwell_pipeline::{
    ErrorKind, StageError, link::Links, metrics::Metrics, notice::Notifier, progress::Unwatched, queue::Queue,
    stage::StageContext, usage::Meter,
};

use super::CallIds;
use crate::{
    S3Links, S3Stores, SfnExecutions, SnsNotifier, SqsQueue, sdk,
    settings::{StageSettings, Variables},
};

/// The least `maxReceiveCount` that AWS advises for a queue that Lambda reads (Lambda Developer Guide, "Creating and
/// configuring an Amazon SQS event source mapping"), and that of the shipped template.
const RECEIVES_MAX_DEFAULT: u32 = 5;

/// What one call of a function is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The execution that the call belongs to, where it belongs to one.
    pub execution_id: Option<String>,
    /// What the handler is given.
    pub input: Value,
}

/// What a function needs of the outside, made from its settings.
pub trait FunctionPorts: Clone + Send + Sync + 'static {
    /// The function's settings.
    type Settings;

    /// Reads the settings.
    fn settings(variables: &mut Variables<'_>) -> Self::Settings;

    /// Makes the ports. Nothing is called yet.
    fn connect(settings: Self::Settings, config: &SdkConfig) -> Self;

    /// The ports for one call.
    #[must_use]
    fn of_call(self, ids: &CallIds, metrics: Arc<dyn Metrics>) -> Self;

    /// The ports for a call that should come to an end, or to a checkpoint, by a moment.
    #[must_use]
    fn until(self, _moment: Instant) -> Self {
        self
    }

    /// The ports for a call of a stage that is measured.
    #[must_use]
    fn metered(self, _meter: Meter) -> Self {
        self
    }

    /// Takes the call out of what the function is sent: here what the state machine sends,
    /// `{"execution_id": …, "input": …}`.
    ///
    /// # Errors
    /// `InvalidInput`, naming what is missing.
    fn open(mut payload: Value) -> Result<Call, StageError> {
        let missing = |field: &str| {
            let message =
                format!("the payload has no `{field}`; the state machine sends {{\"execution_id\": …, \"input\": …}}");
            StageError::new(ErrorKind::InvalidInput, message)
        };
        let input = payload.get_mut("input").map(Value::take).ok_or_else(|| missing("input"))?;
        let execution_id = payload.get("execution_id").and_then(Value::as_str);
        let execution_id = Some(execution_id.ok_or_else(|| missing("execution_id"))?.to_owned());
        Ok(Call { execution_id, input })
    }
}

fn stage_context(settings: StageSettings, config: &SdkConfig) -> StageContext {
    let limits = settings.limits();
    let stores = Arc::new(S3Stores::new(sdk::s3_client(config)));
    let lineage = settings.lineage.and_then(|wanted| wanted.connect(stores.clone(), &settings.buckets.work));
    let context = StageContext::new(stores, settings.buckets, Arc::new(Unwatched));
    StageContext { limits, hash_key: settings.hash_key, lineage, ..context }
}

impl FunctionPorts for StageContext {
    type Settings = StageSettings;

    fn settings(variables: &mut Variables<'_>) -> StageSettings {
        variables.stage()
    }

    fn connect(settings: StageSettings, config: &SdkConfig) -> Self {
        stage_context(settings, config)
    }

    fn of_call(self, ids: &CallIds, metrics: Arc<dyn Metrics>) -> Self {
        Self { metrics, execution_id: ids.execution_id.clone(), ..self }
    }

    fn until(self, moment: Instant) -> Self {
        StageContext::until(self, moment)
    }

    fn metered(self, meter: Meter) -> Self {
        StageContext::metered(self, meter)
    }
}

/// What `notify` needs.
#[derive(Clone, Debug)]
pub struct NotifyPorts {
    /// The stores.
    pub context: StageContext,
    /// The topic.
    pub notifier: Arc<dyn Notifier>,
}

impl FunctionPorts for NotifyPorts {
    type Settings = (StageSettings, String);

    fn settings(variables: &mut Variables<'_>) -> Self::Settings {
        (variables.stage(), variables.required("TOPIC_ARN"))
    }

    fn connect((settings, topic_arn): Self::Settings, config: &SdkConfig) -> Self {
        let notifier = SnsNotifier::new(aws_sdk_sns::Client::new(config), topic_arn);
        Self { context: stage_context(settings, config), notifier: Arc::new(notifier) }
    }

    fn of_call(self, ids: &CallIds, metrics: Arc<dyn Metrics>) -> Self {
        Self { context: self.context.of_call(ids, metrics), ..self }
    }
}

/// What `trigger` needs. It is sent events of other services, not of the state machine.
#[derive(Clone, Debug)]
pub struct TriggerPorts {
    /// The stores.
    pub context: StageContext,
    /// The state machine.
    pub executions: SfnExecutions,
    /// The events queue and the dead letters.
    pub queue: Arc<dyn Queue>,
    /// Links to objects.
    pub links: Arc<dyn Links>,
    /// The name of the events queue: messages of other queues are data.
    pub events_queue: String,
    /// How often the events queue delivers a message: its `maxReceiveCount`.
    pub receives_max: u32,
    /// How many executions that `trigger` started may run at the same time, where that is limited.
    pub running_max: Option<usize>,
}

/// The settings of `trigger`.
#[derive(Clone, Debug)]
pub struct TriggerSettings {
    stage: StageSettings,
    state_machine_arn: String,
    events_url: String,
    dead_events_url: String,
    receives_max: u32,
    running_max: Option<usize>,
}

impl FunctionPorts for TriggerPorts {
    type Settings = TriggerSettings;

    fn settings(variables: &mut Variables<'_>) -> TriggerSettings {
        TriggerSettings {
            stage: variables.stage(),
            state_machine_arn: variables.required("STATE_MACHINE_ARN"),
            events_url: variables.required("EVENTS_QUEUE_URL"),
            dead_events_url: variables.required("DEAD_EVENTS_QUEUE_URL"),
            receives_max: variables.number("RECEIVES_MAX").unwrap_or(RECEIVES_MAX_DEFAULT),
            running_max: variables.number("RUNNING_MAX"),
        }
    }

    fn connect(settings: TriggerSettings, config: &SdkConfig) -> Self {
        let executions = SfnExecutions::new(aws_sdk_sfn::Client::new(config), settings.state_machine_arn);
        let events_queue = settings.events_url.rsplit('/').next().unwrap_or_default().to_owned();
        let queue = SqsQueue::new(aws_sdk_sqs::Client::new(config), settings.events_url, settings.dead_events_url);
        Self {
            context: stage_context(settings.stage, config),
            executions,
            queue: Arc::new(queue),
            links: Arc::new(S3Links::new(sdk::s3_client(config))),
            events_queue,
            receives_max: settings.receives_max,
            running_max: settings.running_max,
        }
    }

    fn of_call(self, ids: &CallIds, metrics: Arc<dyn Metrics>) -> Self {
        let executions = self.executions.traced(ids.trace.clone());
        Self { context: self.context.of_call(ids, metrics), executions, ..self }
    }

    fn until(self, moment: Instant) -> Self {
        Self { context: self.context.until(moment), ..self }
    }

    fn open(payload: Value) -> Result<Call, StageError> {
        Ok(Call { execution_id: None, input: payload })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_state_machine_sends_is_unwrapped() {
        let call = StageContext::open(json!({"execution_id": "arn", "input": {"bucket": "b"}})).expect("a call");
        assert_eq!(call, Call { execution_id: Some("arn".into()), input: json!({"bucket": "b"}) });
    }

    #[test]
    fn what_else_is_sent_is_refused_by_name() {
        for (payload, missing) in [
            (json!({"bucket": "b", "key": "k"}), "`input`"),
            (json!({"input": {}}), "`execution_id`"),
            (json!({"input": {}, "execution_id": 7}), "`execution_id`"),
            (json!([]), "`input`"),
            (json!(null), "`input`"),
        ] {
            let error = StageContext::open(payload.clone()).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.report().starts_with(&format!("the payload has no {missing}")), "{payload}");
        }
    }

    #[test]
    fn each_function_names_its_own_variables() {
        fn missing<P: FunctionPorts>() -> Vec<&'static str> {
            let mut variables = Variables::new(|_| None);
            P::settings(&mut variables);
            variables.finish().expect_err("nothing is set").names
        }
        let buckets = ["LANDING_BUCKET", "WORK_BUCKET", "LAKE_BUCKET"];
        assert_eq!(missing::<StageContext>(), buckets);
        assert_eq!(missing::<NotifyPorts>(), [&buckets[..], &["TOPIC_ARN"]].concat());
        assert_eq!(
            missing::<TriggerPorts>(),
            [&buckets[..], &["STATE_MACHINE_ARN", "EVENTS_QUEUE_URL", "DEAD_EVENTS_QUEUE_URL"]].concat()
        );
    }
}
