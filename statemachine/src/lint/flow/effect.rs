//! What one state makes of one input.

use super::{Miss, choice};
use crate::lint::{
    document::Node,
    machine::{Language, State, StateType},
    path::{Path, Reading, Root, Step},
    shape::{Look, Object, Shape},
    task,
};

/// Where a state's output goes.
pub(super) struct Onward<'a> {
    pub(super) target: &'a str,
    pub(super) shape: Shape,
    /// By a Catch.
    pub(super) caught: bool,
    /// Nothing of the input is in it.
    pub(super) independent: bool,
    /// Whether the state goes on there is not known.
    pub(super) doubtful: bool,
}

/// What a state makes of an input.
pub(super) struct Effect<'a> {
    pub(super) onward: Vec<Onward<'a>>,
    /// What the branches or the processor are given.
    pub(super) inner: Shape,
    /// Paths that find nothing.
    pub(super) missing: Vec<Miss>,
}

impl<'a> Effect<'a> {
    pub(super) fn of(state: &State<'a>, input: &Shape) -> Self {
        let mut reader = Reader { missing: Vec::new() };
        match state.language {
            Language::JsonPath => json_path(state, input, &mut reader),
            Language::Jsonata => jsonata(state, input, &mut reader),
        }
        .with(reader.missing)
    }

    fn with(mut self, missing: Vec<Miss>) -> Self {
        self.missing = missing;
        self
    }
}

/// Looks paths up, and remembers those that find nothing.
pub(super) struct Reader {
    missing: Vec<Miss>,
}

impl Reader {
    pub(super) fn miss(&mut self, name: &str, node: &Node) {
        self.missing.push((node.at, format!("`{name}`: `{}`", node.text().unwrap_or_default())));
    }

    /// The shape of what a path or function gives.
    fn read(&mut self, name: &str, node: &Node, data: &Shape) -> Shape {
        let Some(text) = node.text().filter(|_| !node.is_open()) else { return Shape::Any };
        let reading = Reading::of(text);
        let looks: Vec<Look> = reading.paths().iter().map(|path| look(path, data)).collect();
        if looks.contains(&Look::Missing) {
            self.miss(name, node);
            return Shape::Any;
        }
        match (reading, looks.into_iter().next()) {
            (Reading::Path(_), Some(Look::There(shape))) => shape,
            _ => Shape::Any,
        }
    }

    /// The field's path applied to the data; the data itself where the field is absent.
    fn filter(&mut self, node: &Node, name: &str, data: Shape) -> Shape {
        match node.get(name) {
            None => data,
            Some(path) if path.is_null() => Shape::Object(Object::default()),
            Some(path) => self.read(name, path, &data),
        }
    }

    fn template(&mut self, template: &Node, data: &Shape) -> Shape {
        if !template.items().is_empty() {
            for item in template.items() {
                self.template(item, data);
            }
            return Shape::Array;
        }
        if template.fields().is_empty() {
            return Shape::literal(template);
        }
        let mut object = Object::default();
        for field in template.fields() {
            let (name, shape) = match field.name.strip_suffix(".$") {
                Some(name) => (name, self.read(&field.name, &field.value, data)),
                None => (field.name.as_str(), self.template(&field.value, data)),
            };
            object.fields.insert(name.to_owned(), shape);
        }
        Shape::Object(object)
    }
}

/// What a path finds; of the context object and variables nothing is known.
pub(super) fn look(path: &Path, data: &Shape) -> Look {
    match path.root {
        Root::Data => data.look(path),
        Root::Context | Root::Variable(_) => Look::Unknown,
    }
}

fn json_path<'a>(state: &State<'a>, raw: &Shape, reader: &mut Reader) -> Effect<'a> {
    let node = state.node;
    let input = reader.filter(node, "InputPath", raw.clone());
    let mut effective = input.clone();
    if let Some(template) = node.get("Parameters").filter(|_| !state.is(StateType::Map)) {
        effective = reader.template(template, &input);
    }
    let (mut result, mut own) = match state.kind {
        Some(StateType::Pass) => {
            (node.get("Result").map_or_else(|| effective.clone(), Shape::literal), node.has("Result"))
        }
        Some(StateType::Task) => (result_of(state), true),
        Some(StateType::Parallel) => (Shape::Array, true),
        Some(StateType::Map) => (map_result(node), true),
        Some(StateType::Choice | StateType::Wait | StateType::Succeed | StateType::Fail) => (input.clone(), false),
        None => (Shape::Any, false),
    };
    for name in ["SecondsPath", "TimestampPath", "ErrorPath", "CausePath", "ItemsPath"] {
        if let Some(path) = node.get(name) {
            reader.read(name, path, &input);
        }
    }
    if let Some(selector) = node.get("ResultSelector") {
        result = reader.template(selector, &result);
    }
    let output = match node.get("ResultPath") {
        None => result,
        Some(path) if path.is_null() => {
            own = false;
            raw.clone()
        }
        Some(path) => {
            own &= path.text() == Some("$");
            placed(raw, path, result)
        }
    };
    let inner = if state.is(StateType::Map) { item(node, &input, reader) } else { effective };
    let mut onward = Vec::new();
    if state.is(StateType::Choice) {
        let choices = choice::follow(state, &input, reader);
        let output = reader.filter(node, "OutputPath", output);
        for (target, doubtful) in choices {
            onward.push(Onward { target, shape: output.clone(), caught: false, independent: false, doubtful });
        }
    } else {
        let output = reader.filter(node, "OutputPath", output);
        for edge in state.edges() {
            let (shape, independent) = match edge.catcher {
                None => (output.clone(), own),
                Some(catcher) => match catcher.get("ResultPath") {
                    None => (Shape::error(), true),
                    Some(path) if path.is_null() => (raw.clone(), false),
                    Some(path) => (placed(raw, path, Shape::error()), path.text() == Some("$")),
                },
            };
            let caught = edge.catcher.is_some();
            onward.push(Onward { target: edge.target, shape, caught, independent, doubtful: false });
        }
    }
    Effect { onward, inner, missing: Vec::new() }
}

/// The input with a result at a reference path.
fn placed(raw: &Shape, path: &Node, result: Shape) -> Shape {
    match path.text().filter(|_| !path.is_open()).and_then(Path::read) {
        Some(path) if path.is_reference() && path.root == Root::Data => raw.clone().place(&path.steps, result),
        _ => Shape::Any,
    }
}

/// What a Distributed Map that writes its results gives is no array.
fn map_result(node: &Node) -> Shape {
    if node.has("ResultWriter") { Shape::Any } else { Shape::Array }
}

/// What the processor of a Map is given for each item.
fn item(node: &Node, input: &Shape, reader: &mut Reader) -> Shape {
    let selector = node.get("ItemSelector").or_else(|| node.get("Parameters"));
    let selected = selector.map(|selector| reader.template(selector, input));
    match selected {
        _ if node.has("ItemBatcher") => Shape::of(&["Items", "BatchInput"]),
        Some(selected) => selected,
        None => Shape::Any,
    }
}

/// What a task gives; "Service integrations" of the Step Functions Developer Guide for the metadata of responses.
fn result_of(state: &State<'_>) -> Shape {
    const METADATA: [&str; 2] = ["SdkHttpMetadata", "SdkResponseMetadata"];
    let own: &[&str] = match task::call(state) {
        Some(("lambda:invoke", None)) => &["ExecutedVersion", "FunctionError", "LogResult", "Payload", "StatusCode"],
        Some(("sns:publish", None)) => &["MessageId", "SequenceNumber"],
        Some(("sqs:sendMessage", None)) => &[
            "MD5OfMessageAttributes",
            "MD5OfMessageBody",
            "MD5OfMessageSystemAttributes",
            "MessageId",
            "SequenceNumber",
        ],
        Some(("dynamodb:getItem", None)) => &["ConsumedCapacity", "Item"],
        Some(("dynamodb:putItem" | "dynamodb:updateItem" | "dynamodb:deleteItem", None)) => {
            &["Attributes", "ConsumedCapacity", "ItemCollectionMetrics"]
        }
        Some(("states:startExecution", None)) => &["ExecutionArn", "StartDate"],
        _ => return Shape::Any,
    };
    Shape::of(&[own, &METADATA].concat())
}

fn jsonata<'a>(state: &State<'a>, input: &Shape, reader: &mut Reader) -> Effect<'a> {
    let node = state.node;
    for name in ["Arguments", "Output", "Assign", "ItemSelector", "Items", "Seconds", "Timestamp", "Error", "Cause"] {
        if let Some(value) = node.get(name) {
            expressions(name, value, input, reader);
        }
    }
    let output = match state.kind {
        _ if node.has("Output") => Shape::Any,
        Some(StateType::Task) => result_of(state),
        Some(StateType::Parallel) => Shape::Array,
        Some(StateType::Map) => map_result(node),
        _ => input.clone(),
    };
    let own = matches!(state.kind, Some(StateType::Task | StateType::Parallel | StateType::Map));
    let choice = state.is(StateType::Choice);
    let mut onward = Vec::new();
    for edge in state.edges() {
        let caught = edge.catcher.is_some();
        let shape = match edge.catcher {
            Some(catcher) if !catcher.has("Output") => Shape::error(),
            Some(_) => Shape::Any,
            // A rule may have an Output of its own.
            None if choice && state.handlers("Choices").iter().any(|rule| rule.has("Output")) => Shape::Any,
            None => output.clone(),
        };
        onward.push(Onward { target: edge.target, shape, caught, independent: own, doubtful: choice });
    }
    let inner = match state.kind {
        Some(StateType::Parallel) if !node.has("Arguments") => input.clone(),
        _ => Shape::Any,
    };
    Effect { onward, inner, missing: Vec::new() }
}

/// Expressions that are nothing but a path into the input; of others it is not known what they do without a value.
fn expressions(name: &str, node: &Node, input: &Shape, reader: &mut Reader) {
    node.items().iter().for_each(|item| expressions(name, item, input, reader));
    node.fields().iter().for_each(|field| expressions(&field.name, &field.value, input, reader));
    let expression = node
        .text()
        .filter(|_| !node.is_open())
        .and_then(|text| text.trim().strip_prefix("{%")?.strip_suffix("%}")?.trim().strip_prefix("$states.input."));
    let Some(expression) = expression else { return };
    let names: Vec<_> = expression.split('.').collect();
    let plain = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if names.iter().all(plain) {
        let steps = names.into_iter().map(|name| Step::Field(name.to_owned())).collect();
        // A path into an array takes the field of each item.
        let array = Look::There(Shape::Array);
        let path = Path { root: Root::Data, steps, selects: false };
        let crosses_array = (0..path.steps.len()).any(|end| {
            input.look(&Path { root: Root::Data, steps: path.steps[..end].to_vec(), selects: false }) == array
        });
        if input.look(&path) == Look::Missing && !crosses_array {
            reader.miss(name, node);
        }
    }
}
