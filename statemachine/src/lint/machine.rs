//! The machine as the rules see it: scopes of states, read as far as they can be, and the ways between states.

use super::document::{Field, Kind, Node};

/// How data is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    JsonPath,
    Jsonata,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateType {
    Task,
    Pass,
    Choice,
    Wait,
    Succeed,
    Fail,
    Parallel,
    Map,
}

impl StateType {
    pub(super) const NAMES: [&str; 8] = ["Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"];

    fn read(name: &str) -> Option<Self> {
        let types =
            [Self::Task, Self::Pass, Self::Choice, Self::Wait, Self::Succeed, Self::Fail, Self::Parallel, Self::Map];
        Self::NAMES.iter().position(|known| *known == name).map(|at| types[at])
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// States that can go on to each other: a machine, a branch of a Parallel, or the processor of a Map.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) node: &'a Node,
    pub(super) states: Vec<State<'a>>,
    pub(super) place: Place,
    /// Runs as Express executions, which end soon and cannot be redriven.
    pub(super) express: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    Branch,
    Processor,
}

#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    pub(super) node: &'a Node,
    /// `None` where the field is missing or unknown.
    pub(super) kind: Option<StateType>,
    pub(super) language: Language,
    /// Where its branches or its processor are among the machine's scopes.
    pub(super) inner: Vec<usize>,
}

/// The scopes, the machine itself first.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) scopes: Vec<Scope<'a>>,
    pub(super) root: &'a Node,
}

/// One way from a state to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<'a> {
    pub(super) target: &'a str,
    pub(super) at: usize,
    /// The catcher, if it is one.
    pub(super) catcher: Option<&'a Node>,
}

impl<'a> Machine<'a> {
    pub(super) fn read(root: &'a Node) -> Self {
        let mut machine = Self { scopes: Vec::new(), root };
        let language = language(root).unwrap_or(Language::JsonPath);
        machine.scope(root, Place::Top, language, false);
        machine
    }

    fn scope(&mut self, node: &'a Node, place: Place, language: Language, express: bool) -> usize {
        let at = self.scopes.len();
        self.scopes.push(Scope { node, states: Vec::new(), place, express });
        let mut states = Vec::new();
        for field in node.get("States").map(Node::fields).unwrap_or_default() {
            states.push(self.state(field, language, express));
        }
        self.scopes[at].states = states;
        at
    }

    fn state(&mut self, field: &'a Field, default: Language, express: bool) -> State<'a> {
        let node = &field.value;
        let kind = node.get("Type").and_then(Node::text).and_then(StateType::read);
        let inherited = language(node).unwrap_or(default);
        let inner = match kind {
            Some(StateType::Parallel) => node
                .get("Branches")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .map(|branch| self.scope(branch, Place::Branch, default, express))
                .collect(),
            Some(StateType::Map) => ["ItemProcessor", "Iterator"]
                .iter()
                .find_map(|name| node.get(name))
                .map(|processor| {
                    let config = processor.get("ProcessorConfig");
                    let kind = config.and_then(|config| config.get("ExecutionType")).and_then(Node::text);
                    let express = express || kind == Some("EXPRESS");
                    self.scope(processor, Place::Processor, default, express)
                })
                .into_iter()
                .collect(),
            _ => Vec::new(),
        };
        State { name: &field.name, at: field.at, node, kind, language: inherited, inner }
    }

    /// Every state with its scope's number.
    pub(super) fn states(&self) -> impl Iterator<Item = (usize, &State<'a>)> {
        self.scopes.iter().enumerate().flat_map(|(at, scope)| scope.states.iter().map(move |state| (at, state)))
    }
}

fn language(node: &Node) -> Option<Language> {
    match node.get("QueryLanguage")?.text()? {
        "JSONata" => Some(Language::Jsonata),
        "JSONPath" => Some(Language::JsonPath),
        _ => None,
    }
}

impl<'a> Scope<'a> {
    /// The state's number.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.states.iter().position(|state| state.name == name)
    }

    pub(super) fn start(&self) -> Option<usize> {
        self.find(self.node.get("StartAt")?.text()?)
    }

    /// Where each state goes on to, by number, catchers only where asked for.
    pub(super) fn successors(&self, at: usize, catchers: bool) -> Vec<usize> {
        let edges = self.states[at].edges();
        let wanted = edges.iter().filter(|edge| catchers || edge.catcher.is_none());
        wanted.filter_map(|edge| self.find(edge.target)).collect()
    }
}

impl<'a> State<'a> {
    pub(super) fn is(&self, kind: StateType) -> bool {
        self.kind == Some(kind)
    }

    pub(super) fn ends(&self) -> bool {
        let end = self.node.get("End").is_some_and(|end| !matches!(end.kind, Kind::Bool(false)));
        end || matches!(self.kind, Some(StateType::Succeed | StateType::Fail))
    }

    pub(super) fn handlers(&self, field: &str) -> &'a [Node] {
        self.node.get(field).map(Node::items).unwrap_or_default()
    }

    /// Where it goes on to, in the order of the definition: `Next`, `Choices`, `Default`, `Catch`.
    pub(super) fn edges(&self) -> Vec<Edge<'a>> {
        let node = self.node;
        let mut edges = Vec::new();
        let mut add = |holder: &'a Node, name: &str, catcher: Option<&'a Node>| {
            if let Some(target) = holder.get(name).filter(|target| !target.is_open())
                && let Some(name) = target.text()
            {
                edges.push(Edge { target: name, at: target.at, catcher });
            }
        };
        match self.kind {
            Some(StateType::Succeed | StateType::Fail) => {}
            Some(StateType::Choice) => {
                for rule in node.get("Choices").map(Node::items).unwrap_or_default() {
                    add(rule, "Next", None);
                }
                add(node, "Default", None);
            }
            _ => add(node, "Next", None),
        }
        if matches!(self.kind, Some(StateType::Task | StateType::Parallel | StateType::Map)) {
            for catcher in self.handlers("Catch") {
                add(catcher, "Next", Some(catcher));
            }
        }
        edges
    }
}

/// What can be reached from `from` by `onward`, `from` included.
pub(super) fn reached(from: Vec<usize>, mut onward: impl FnMut(usize) -> Vec<usize>, states: usize) -> Vec<bool> {
    let mut found = vec![false; states];
    let mut open = from;
    while let Some(at) = open.pop() {
        if !std::mem::replace(&mut found[at], true) {
            open.extend(onward(at));
        }
    }
    found
}
