//! What becomes of a failure: whether its cause and its input are kept, and whether a redrive can go on.

use super::{
    Found, Report,
    document::Node,
    machine::{Language, Machine, Scope, State, StateType, reached},
    shape::Shape,
};

pub(super) fn check(machine: &Machine<'_>, report: &mut Report) {
    for scope in &machine.scopes {
        check_scope(scope, report);
    }
}

/// The states of a scope, told apart by whether executions come there without a failure.
struct Failure<'s, 'a> {
    scope: &'s Scope<'a>,
    /// By number: reached without any Catch.
    normal: Vec<bool>,
}

fn check_scope(scope: &Scope<'_>, report: &mut Report) {
    let Some(start) = scope.start() else { return };
    let states = scope.states.len();
    let normal = reached(vec![start], |at| scope.successors(at, false), states);
    let failure = Failure { scope, normal };
    let mut traps: Vec<usize> = Vec::new();
    for (at, state) in scope.states.iter().enumerate() {
        for edge in state.edges() {
            let (Some(catcher), Some(target)) = (edge.catcher, scope.find(edge.target)) else { continue };
            let handling = failure.handling(target);
            failure.check_cause(state, catcher, &handling, report);
            failure.check_input(state, catcher, &handling, report);
            // A handler that fails itself may end in a last resort: the trap is told where the work fails.
            if failure.normal[at] && !scope.express && !traps.contains(&target) {
                traps.extend(failure.check_trap(state, edge.at, target, &handling, report));
            }
        }
    }
}

impl<'a> Failure<'_, 'a> {
    /// The states that handle the failure: from the target on, those that come only after a Catch, without the Catches
    /// of their own.
    fn handling(&self, target: usize) -> Vec<usize> {
        if self.normal[target] {
            return Vec::new();
        }
        let onward = |at| self.scope.successors(at, false).into_iter().filter(|next| !self.normal[*next]).collect();
        let found = reached(vec![target], onward, self.scope.states.len());
        (0..found.len()).filter(|at| found[*at]).collect()
    }

    fn states(&self, handling: &[usize]) -> impl Iterator<Item = &State<'a>> {
        handling.iter().map(|at| &self.scope.states[*at])
    }

    fn check_cause(&self, state: &State<'_>, catcher: &Node, handling: &[usize], report: &mut Report) {
        let dropped = match state.language {
            Language::JsonPath => catcher.get("ResultPath").is_some_and(Node::is_null) && !catcher.has("Assign"),
            Language::Jsonata => {
                let kept = |name| catcher.get(name).is_some_and(|value: &Node| value.mentions("$states.errorOutput"));
                catcher.has("Output") && !kept("Output") && !kept("Assign")
            }
        };
        let fail = self.states(handling).find(|state| state.is(StateType::Fail));
        if let Some(fail) = fail.filter(|_| dropped) {
            let message = format!("the error is dropped, and the execution then fails in `{}`", fail.name);
            report.state("catch-loses-cause", state, catcher.at, message);
        }
    }

    fn check_input(&self, state: &State<'_>, catcher: &Node, handling: &[usize], report: &mut Report) {
        let replaced = match (state.language, catcher.get("ResultPath")) {
            (Language::JsonPath, None) => true,
            (Language::JsonPath, Some(path)) => path.text() == Some("$"),
            (Language::Jsonata, _) => !catcher.has("Output"),
        };
        let knows = self.states(handling).any(|state| {
            let mut knows = false;
            state.node.each_text(&mut |text| knows |= names_input(text));
            knows
        });
        if !replaced || catcher.has("Assign") || knows {
            return;
        }
        if let Some(task) = self.states(handling).find(|state| state.is(StateType::Task) && uses_data(state)) {
            let message = format!("the error replaces the input, which `{}` then does not know", task.name);
            report.state("catch-loses-input", state, catcher.at, message);
        }
    }

    /// The target, if all that comes of it is a Fail state that a redrive enters again.
    fn check_trap(
        &self,
        state: &State<'_>,
        at: usize,
        target: usize,
        handling: &[usize],
        report: &mut Report,
    ) -> Option<usize> {
        let back = |from: &usize| self.scope.successors(*from, false).iter().any(|next| self.normal[*next]);
        let fail = self.states(handling).find(|state| state.is(StateType::Fail))?;
        if handling.iter().any(back) {
            return None;
        }
        let message =
            format!("what is caught here ends in the Fail state `{}`, which a redrive enters again", fail.name);
        report.state("redrive-trap", state, at, message);
        Some(target)
    }
}

/// Whether a text names what the failed state was given by another way than its own input.
fn names_input(text: &str) -> bool {
    let context = ["$$", "$$.Execution"].contains(&text) || text.contains("$$.Execution.Input");
    let jsonata = text.contains("$states.context.Execution.Input") || text.contains("$states.context.Execution %");
    context || jsonata || has_variable(text)
}

/// Whether a text names a variable that states assign.
fn has_variable(text: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let rest = &text[at + 1..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let function = rest[name.len()..].starts_with('(');
        !name.is_empty() && name != "states" && !function
    })
}

/// Whether the task is given something of its input.
fn uses_data(task: &State<'_>) -> bool {
    let given = task.node.get("Parameters").or_else(|| task.node.get("Arguments"));
    given.is_none_or(|given| {
        let mut uses = false;
        given.each_text(&mut |text| {
            uses |= (text.contains('$') && !text.starts_with("$$") && !text.starts_with("${"))
                || text.contains("$states.input");
        });
        uses
    })
}

/// Tells a Fail state that has the error in its input, on every way, and ends the execution in constants.
pub(super) fn check_fail<'a>(state: &State<'_>, inputs: impl Iterator<Item = &'a Shape>) -> Option<Found> {
    let constant =
        |name: &str| state.node.get(name).is_none_or(|value| value.text().is_some_and(|text| !text.contains("{%")));
    let named = state.node.has("ErrorPath") || state.node.has("CausePath");
    if named || !constant("Error") || !constant("Cause") {
        return None;
    }
    let places = inputs.map(Shape::error_place).collect::<Option<Vec<_>>>()?;
    let place = places.first()?;
    let message = format!("the error that led here is in `{place}`, and the execution fails without it");
    let mut found = Found::new("fail-loses-error", Some(state.name), state.at, message);
    found.remedy = Some(match state.language {
        Language::JsonPath => {
            format!("replace Error and Cause by `\"ErrorPath\": \"{place}.Error\", \"CausePath\": \"{place}.Cause\"`")
        }
        Language::Jsonata => {
            let input = format!("$states.input{}", &place[1..]);
            format!("write `\"Error\": \"{{% {input}.Error %}}\", \"Cause\": \"{{% {input}.Cause %}}\"`")
        }
    });
    Some(found)
}
