//! The definition: its types, read strictly, and its placeholders.

use std::{
    collections::BTreeMap,
    fmt,
    num::{NonZeroU32, NonZeroU64},
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    check,
    path::{Filter, Path, Placement},
    template::Template,
};

/// Why a definition is refused.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The text is not JSON, or an object has the same field twice.
    #[error("cannot read the definition: {0}")]
    Json(#[source] serde_json::Error),
    /// A placeholder has no value.
    #[error("no value is given for the placeholder `${{{0}}}`")]
    NoValue(String),
    /// A `${` has no `}`.
    #[error("a placeholder is not closed: `{0}`")]
    NotClosed(String),
    /// A value is given for a placeholder that the definition does not have.
    #[error("the definition has no placeholder `${{{0}}}`")]
    NoPlaceholder(String),
    /// Something outside the states is wrong or not implemented.
    #[error("the state machine: {0}")]
    Machine(String),
    /// Something in a state is wrong or not implemented.
    #[error("state `{state}`: {message}")]
    State {
        /// The state's name.
        state: String,
        /// What is wrong with it.
        message: String,
    },
}

/// The definition with each `${name}` replaced by its value, escaped for JSON.
///
/// # Errors
/// `NoValue`, `NotClosed` or `NoPlaceholder`, unless placeholders and values match one to one.
pub fn substitute(definition: &str, values: &BTreeMap<String, String>) -> Result<String, DefinitionError> {
    let mut text = String::with_capacity(definition.len());
    let mut unused: Vec<&String> = values.keys().collect();
    let mut rest = definition;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err(DefinitionError::NotClosed(format!("${{{}", after.lines().next().unwrap_or_default())));
        };
        let value = values.get(name).ok_or_else(|| DefinitionError::NoValue(name.to_owned()))?;
        unused.retain(|other| *other != name);
        text.push_str(before);
        let quoted = Value::from(value.as_str()).to_string();
        text.push_str(&quoted[1..quoted.len() - 1]);
        rest = after;
    }
    if let Some(name) = unused.first() {
        return Err(DefinitionError::NoPlaceholder((*name).clone()));
    }
    text.push_str(rest);
    Ok(text)
}

/// A checked state machine.
#[derive(Clone, Debug, PartialEq)]
pub struct StateMachine {
    /// The name of the first state.
    pub start_at: String,
    /// How long an execution may take, in seconds; counted anew after a redrive.
    pub timeout_seconds: Option<NonZeroU64>,
    /// The states by name.
    pub states: BTreeMap<String, State>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct MachineFields {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    start_at: String,
    timeout_seconds: Option<NonZeroU64>,
    states: Map<String, Value>,
}

impl StateMachine {
    /// The state machine that the definition describes, with its placeholders filled in.
    ///
    /// # Errors
    /// `DefinitionError` for whatever the interpreter does not implement, and for a definition that could not run:
    /// a state that does not exist, cannot be reached or never ends, an error name that can never match, delays
    /// that contradict each other.
    pub fn parse(definition: &str, values: &BTreeMap<String, String>) -> Result<Self, DefinitionError> {
        let text = substitute(definition, values)?;
        let Distinct(value) = serde_json::from_str(&text).map_err(DefinitionError::Json)?;
        let fields: MachineFields =
            serde_json::from_value(value).map_err(|error| DefinitionError::Machine(error.to_string()))?;
        let states = fields
            .states
            .into_iter()
            .map(|(name, value)| match serde_json::from_value(value) {
                Ok(state) => Ok((name, state)),
                Err(error) => Err(DefinitionError::State { state: name, message: error.to_string() }),
            })
            .collect::<Result<_, _>>()?;
        let machine = Self { start_at: fields.start_at, timeout_seconds: fields.timeout_seconds, states };
        check::machine(&machine)?;
        Ok(machine)
    }
}

/// A state of one of the types that the interpreter implements.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "Type")]
pub enum State {
    /// Invokes a function.
    Task(Task),
    /// Gives its input on, or makes something of it.
    Pass(Pass),
    /// Goes on to one of several states.
    Choice(Choice),
    /// Ends the execution well.
    Succeed(Succeed),
    /// Ends the execution badly.
    Fail(Fail),
}

/// A state that invokes a Lambda function and waits for what it returns.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Task {
    /// A remark.
    pub comment: Option<String>,
    /// What the task is.
    pub resource: Resource,
    /// Which function is invoked, and with what.
    pub parameters: LambdaInvoke,
    /// Which part of the input the payload is made from.
    #[serde(default)]
    pub input_path: Filter,
    /// Where the result goes in the input.
    #[serde(default)]
    pub result_path: Placement,
    /// Which part of the outcome goes on.
    #[serde(default)]
    pub output_path: Filter,
    /// How long one attempt may take, in seconds.
    pub timeout_seconds: Option<NonZeroU64>,
    /// Which errors are tried again, and how.
    #[serde(default)]
    pub retry: Vec<Retrier>,
    /// Which errors lead to which state.
    #[serde(default)]
    pub catch: Vec<Catcher>,
    /// The next state; the execution ends here where there is none.
    pub next: Option<String>,
    #[serde(default)]
    pub(crate) end: bool,
}

/// The resources that a task can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Resource {
    /// The optimised Lambda integration, which waits for the response.
    #[serde(rename = "arn:aws:states:::lambda:invoke")]
    LambdaInvoke,
}

/// The parameters of a Lambda invocation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct LambdaInvoke {
    /// The function's name or address.
    pub function_name: String,
    /// What the function is given.
    pub payload: Template,
}

/// A state that makes something of its input without invoking anything.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Pass {
    /// A remark.
    pub comment: Option<String>,
    /// Which part of the input is taken.
    #[serde(default)]
    pub input_path: Filter,
    /// What is made of it; all of it where absent.
    pub parameters: Option<Template>,
    /// A fixed result, which stands in place of what was made of the input.
    #[serde(default, deserialize_with = "present")]
    pub result: Option<Value>,
    /// Where the result goes in the input.
    #[serde(default)]
    pub result_path: Placement,
    /// Which part of the outcome goes on.
    #[serde(default)]
    pub output_path: Filter,
    /// The next state; the execution ends here where there is none.
    pub next: Option<String>,
    #[serde(default)]
    pub(crate) end: bool,
}

/// A state that goes on to the first state whose rule holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Choice {
    /// A remark.
    pub comment: Option<String>,
    /// Which part of the input the rules look at.
    #[serde(default)]
    pub input_path: Filter,
    /// Which part of the input goes on.
    #[serde(default)]
    pub output_path: Filter,
    /// The rules, tried in order.
    pub choices: Vec<Rule>,
    /// The state for an input that no rule fits.
    pub default: Option<String>,
}

/// A rule of a choice.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RuleText")]
pub struct Rule {
    /// What must all hold; never empty. Tried in order, up to the first that does not.
    pub comparisons: Vec<Comparison>,
    /// The state to go on to.
    pub next: String,
}

/// What must hold of one value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "ComparisonText")]
pub struct Comparison {
    /// The value that is compared.
    pub variable: Path,
    /// What it must be.
    pub test: Test,
}

/// What a value must be. A value of another type is never equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// A string.
    StringEquals(String),
    /// A boolean.
    BooleanEquals(bool),
    /// There, or not there. Of a value that is not there the other tests fail the execution.
    IsPresent(bool),
}

/// A comparison as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ComparisonText {
    variable: Path,
    string_equals: Option<String>,
    boolean_equals: Option<bool>,
    is_present: Option<bool>,
}

impl TryFrom<ComparisonText> for Comparison {
    type Error = String;

    fn try_from(text: ComparisonText) -> Result<Self, String> {
        let test = match (text.string_equals, text.boolean_equals, text.is_present) {
            (Some(text), None, None) => Test::StringEquals(text),
            (None, Some(value), None) => Test::BooleanEquals(value),
            (None, None, Some(present)) => Test::IsPresent(present),
            _ => return Err("a comparison needs one of `StringEquals`, `BooleanEquals`, `IsPresent`".to_owned()),
        };
        Ok(Self { variable: text.variable, test })
    }
}

/// A rule as it is written: one comparison, or several under `And`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RuleText {
    variable: Option<Path>,
    string_equals: Option<String>,
    boolean_equals: Option<bool>,
    is_present: Option<bool>,
    and: Option<Vec<Comparison>>,
    next: String,
}

impl TryFrom<RuleText> for Rule {
    type Error = String;

    fn try_from(text: RuleText) -> Result<Self, String> {
        let RuleText { variable, string_equals, boolean_equals, is_present, and, next } = text;
        let comparisons = match (variable, and) {
            (Some(variable), None) => {
                vec![ComparisonText { variable, string_equals, boolean_equals, is_present }.try_into()?]
            }
            (None, Some(and)) if !and.is_empty() => and,
            _ => return Err("a rule needs either `Variable` or a filled `And`".to_owned()),
        };
        Ok(Self { comparisons, next })
    }
}

/// A state that ends the execution well.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Succeed {
    /// A remark.
    pub comment: Option<String>,
    /// Which part of the input is taken.
    #[serde(default)]
    pub input_path: Filter,
    /// Which part of that is the execution's output.
    #[serde(default)]
    pub output_path: Filter,
}

/// A state that ends the execution badly.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Fail {
    /// A remark.
    pub comment: Option<String>,
    /// The execution's error.
    pub error: Option<String>,
    /// Where in the input the execution's error is.
    pub error_path: Option<Path>,
    /// The cause of the error.
    pub cause: Option<String>,
    /// Where in the input the cause of the error is.
    pub cause_path: Option<Path>,
}

/// Which errors of a task are tried again, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Retrier {
    /// The names of the errors.
    pub error_equals: Vec<String>,
    /// How long to wait before the first retry, in seconds.
    #[serde(default = "one")]
    pub interval_seconds: NonZeroU32,
    /// How many retries there are at most; none where 0.
    #[serde(default = "three")]
    pub max_attempts: u32,
    /// By how much each wait is longer than the one before.
    #[serde(default = "doubling")]
    pub backoff_rate: f64,
    /// How long a wait may become, in seconds.
    pub max_delay_seconds: Option<NonZeroU32>,
    /// Whether waits are drawn at random.
    #[serde(default)]
    pub jitter_strategy: Jitter,
}

/// Whether waits are drawn at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Jitter {
    /// Waits are as computed.
    #[default]
    None,
    /// Waits are drawn between nothing and the computed wait.
    Full,
}

/// Which errors of a task lead to which state.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Catcher {
    /// The names of the errors.
    pub error_equals: Vec<String>,
    /// Where the error and its cause go in the input.
    #[serde(default)]
    pub result_path: Placement,
    /// The state to go on to.
    pub next: String,
}

// The defaults of "Retrying after error", <https://states-language.net/#errors>.
fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn three() -> u32 {
    3
}

fn doubling() -> f64 {
    2.0
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A JSON value in which no object has the same field twice; `Value` would keep the last and drop the others.
struct Distinct(Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor).map(Distinct)
    }
}

struct DistinctVisitor;

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Distinct(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((name, Distinct(value))) = fields.next_entry::<String, _>()? {
            if read.contains_key(&name) {
                return Err(de::Error::custom(format!("the field `{name}` is there twice")));
            }
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}
