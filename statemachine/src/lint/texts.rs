//! Texts that name data: paths, intrinsic functions, the context object and variables.

use super::{
    Report,
    document::Node,
    machine::{Language, Machine, State, StateType},
    meant,
    path::{Path, Reading, Root, Step},
};

/// "Intrinsics for JSONPath states in Step Functions", Step Functions Developer Guide.
const FUNCTIONS: [&str; 18] = [
    "States.Array",
    "States.ArrayContains",
    "States.ArrayGetItem",
    "States.ArrayLength",
    "States.ArrayPartition",
    "States.ArrayRange",
    "States.ArrayUnique",
    "States.Base64Decode",
    "States.Base64Encode",
    "States.Format",
    "States.Hash",
    "States.JsonMerge",
    "States.JsonToString",
    "States.MathAdd",
    "States.MathRandom",
    "States.StringSplit",
    "States.StringToJson",
    "States.UUID",
];

/// "Accessing execution data from the Context object in Step Functions", Step Functions Developer Guide.
const CONTEXT: &[(&str, &[&str])] = &[
    ("Execution", &["Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount", "RedriveTime", "RedriveStatus"]),
    ("State", &["EnteredTime", "Name", "RetryCount"]),
    ("StateMachine", &["Id", "Name"]),
    ("Task", &["Token"]),
    ("Map", &["Item"]),
];

/// Fields whose values are templates.
const TEMPLATES: [&str; 7] =
    ["Parameters", "ResultSelector", "ItemSelector", "ItemReader", "ItemBatcher", "ResultWriter", "Assign"];

/// Fields that are a path, or an intrinsic function where the flag is set.
const PATHS: [(&str, bool); 12] = [
    ("InputPath", false),
    ("OutputPath", false),
    ("ItemsPath", false),
    ("SecondsPath", false),
    ("TimestampPath", false),
    ("TimeoutSecondsPath", false),
    ("HeartbeatSecondsPath", false),
    ("MaxConcurrencyPath", false),
    ("ToleratedFailureCountPath", false),
    ("ToleratedFailurePercentagePath", false),
    ("ErrorPath", true),
    ("CausePath", true),
];

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    let mut assigned = Vec::new();
    for (_, state) in machine.states() {
        variables(state, &mut assigned);
    }
    for (_, state) in machine.states() {
        let mut texts = Texts { state, assigned: &assigned, report };
        match state.language {
            Language::JsonPath => texts.json_path(),
            Language::Jsonata => texts.jsonata(),
        }
    }
}

/// The names of the variables that the state assigns, wherever in it.
fn variables<'a>(state: &State<'a>, names: &mut Vec<&'a str>) {
    let rules = ["Choices", "Catch"].iter().flat_map(|field| state.handlers(field));
    for holder in std::iter::once(state.node).chain(rules) {
        let assigned = holder.get("Assign").map(Node::fields).unwrap_or_default();
        names.extend(assigned.iter().map(|field| field.name.strip_suffix(".$").unwrap_or(&field.name)));
    }
}

struct Texts<'r, 's, 'a> {
    state: &'s State<'a>,
    assigned: &'s [&'a str],
    report: &'r mut Report,
}

impl<'a> Texts<'_, '_, 'a> {
    fn json_path(&mut self) {
        let node = self.state.node;
        for name in TEMPLATES {
            if let Some(template) = node.get(name) {
                self.template(template);
            }
        }
        for (name, function) in PATHS {
            if let Some(value) = node.get(name).filter(|value| !value.is_null() || !name.ends_with("putPath")) {
                self.path(name, value, function);
            }
        }
        let catchers = self.state.handlers("Catch");
        for holder in std::iter::once(node).chain(catchers) {
            if let Some(value) = holder.get("ResultPath").filter(|value| !value.is_null()) {
                self.reference("ResultPath", value);
            }
        }
        for rule in self.state.handlers("Choices").iter().chain(catchers) {
            if let Some(template) = rule.get("Assign") {
                self.template(template);
            }
            if self.state.is(StateType::Choice) {
                self.rule(rule);
            }
        }
    }

    fn rule(&mut self, rule: &'a Node) {
        for field in rule.fields() {
            match field.name.as_str() {
                "And" | "Or" => field.value.items().iter().for_each(|rule| self.rule(rule)),
                "Not" => self.rule(&field.value),
                name if name == "Variable" || name.ends_with("Path") => self.path(name, &field.value, false),
                _ => {}
            }
        }
    }

    fn template(&mut self, node: &'a Node) {
        node.items().iter().for_each(|item| self.template(item));
        for field in node.fields() {
            if field.name.ends_with(".$") {
                self.path(&field.name, &field.value, true);
            } else if field.name.ends_with("Path") {
                // Fields of an ItemReader or ItemBatcher that are paths as they stand.
            } else if let Some(text) = field.value.text() {
                let path = text == "$" || text.starts_with("$.") || text.starts_with("$$.");
                if path || FUNCTIONS.iter().any(|name| text.starts_with(&format!("{name}("))) {
                    let what = if path { "path" } else { "function" };
                    let message = format!("`{}` is the text `{text}`, not what that {what} gives", field.name);
                    self.report.state("path-as-text", self.state, field.at, message);
                } else if text.starts_with("{%") {
                    let message =
                        format!("`{}` is a JSONata expression, and the state's language is JSONPath", field.name);
                    self.report.state("path-as-text", self.state, field.at, message);
                    self.report.with_remedy("add `\"QueryLanguage\": \"JSONata\"`, or write a path");
                }
            } else {
                self.template(&field.value);
            }
        }
    }

    fn path(&mut self, name: &str, value: &Node, functions: bool) {
        if value.is_open() {
            return;
        }
        let reading = value.text().map_or(Reading::Wrong, Reading::of);
        let what = if functions { "a path or an intrinsic function" } else { "a path" };
        match &reading {
            Reading::Wrong => self.wrong(name, what, value),
            Reading::Function { .. } if !functions => self.wrong(name, what, value),
            Reading::Function { names, .. } => {
                for function in names.iter().filter(|name| !FUNCTIONS.contains(&name.as_str())) {
                    let message = format!("there is no function `{function}`{}", meant(function, FUNCTIONS));
                    self.report.state("unknown-function", self.state, value.at, message);
                }
            }
            Reading::Path(_) => {}
        }
        for path in reading.paths() {
            self.known(path, value);
        }
    }

    fn reference(&mut self, name: &str, value: &Node) {
        if value.is_open() {
            return;
        }
        let path = value.text().and_then(Path::read);
        if !path.is_some_and(|path| path.is_reference() && path.root == Root::Data) {
            self.wrong(name, "a reference path into the data, as `$.field`, or null", value);
        }
    }

    fn wrong(&mut self, name: &str, what: &str, value: &Node) {
        let given = value.text().map_or_else(|| value.what().to_owned(), |text| format!("`{text}`"));
        self.report.state("path-syntax", self.state, value.at, format!("`{name}` is {given}, not {what}"));
    }

    /// Tells a path whose beginning is not there in any execution.
    fn known(&mut self, path: &Path, value: &Node) {
        match &path.root {
            Root::Data => {}
            Root::Variable(name) => {
                if !self.assigned.contains(&name.as_str()) {
                    let hint = meant(name, self.assigned.iter().copied());
                    let message = format!("no state assigns the variable `${name}`{hint}");
                    self.report.state("unknown-variable", self.state, value.at, message);
                }
            }
            Root::Context => self.context(&path.steps, value),
        }
    }

    fn context(&mut self, steps: &[Step], value: &Node) {
        let Some(Step::Field(first)) = steps.first() else { return };
        let mut refuse = |name: &str, known: &mut dyn Iterator<Item = &'static str>| {
            let message = format!("the context object has no field `{name}`{}", meant(name, known));
            self.report.state("unknown-context-field", self.state, value.at, message);
        };
        match CONTEXT.iter().find(|(name, _)| name == first) {
            None => refuse(first, &mut CONTEXT.iter().map(|(name, _)| *name)),
            Some((_, fields)) => {
                if let Some(Step::Field(second)) = steps.get(1)
                    && !fields.contains(&second.as_str())
                {
                    refuse(&format!("{first}.{second}"), &mut fields.iter().copied());
                }
            }
        }
    }

    fn jsonata(&mut self) {
        let node = self.state.node;
        for name in ["Arguments", "Output", "Assign", "ItemSelector", "Items"] {
            if let Some(value) = node.get(name) {
                self.outside(name, value);
            }
        }
    }

    /// Tells what looks like an expression, and is a text since it lacks the delimiters.
    fn outside(&mut self, name: &str, node: &'a Node) {
        node.items().iter().for_each(|item| self.outside(name, item));
        node.fields().iter().for_each(|field| self.outside(&field.name, &field.value));
        if let Some(text) = node.text()
            && (text.starts_with("$states.") || text.starts_with("$.") || text.starts_with("$$."))
        {
            let message = format!("`{name}` is the text `{text}`, not what that expression gives");
            self.report.state("path-as-text", self.state, node.at, message);
            self.report.with_remedy(format!("write `{{% {text} %}}`, in terms of `$states`"));
        }
    }
}
