//! Objects against the rules of their schema: what is broken, and what was broken before and is only warned about.

use api::status::Cause;
use api::validation::Path;
use cel::{Decl, Fault, Program, Value as Cel, view};
use serde_json::Value;

use super::rules::{CALL_COST_MAX, Node, Rule, WRITE_COST_MAX};

const MESSAGE_BYTES_MAX: usize = 5 * 1024;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";
const LIMIT: &str = "operation cancelled: actual cost limit exceeded";

/// What rules say of a write.
#[derive(Default)]
pub struct Verdict {
    pub causes: Vec<Cause>,
    pub warnings: Vec<String>,
}

/// Nothing more can be paid for.
struct Stop;

/// Values that have a former self, and whether they are as they were.
#[derive(Clone, Copy, Default)]
struct Correlation<'v> {
    current: Option<(&'v Value, &'v Value)>,
    /// The nearest value above that has a former self.
    above: Option<(&'v Value, &'v Value)>,
}

impl<'v> Correlation<'v> {
    fn root(new: &'v Value, old: Option<&'v Value>) -> Self {
        Self { current: old.map(|old| (new, old)), above: None }
    }

    fn unchanged(self) -> bool {
        self.current.or(self.above).is_some_and(|(new, old)| new == old)
    }

    fn below(self, inner: Option<(&'v Value, &'v Value)>) -> Self {
        if self.current.is_none() { self } else { Self { current: inner, above: self.current } }
    }

    fn key(self, name: &str) -> Self {
        if self.above.is_none() && matches!(name, "apiVersion" | "kind") {
            return Self::default();
        }
        self.below(self.current.and_then(|(new, old)| Some((new.get(name)?, old.get(name)?))))
    }

    fn item(self, index: usize, node: &Node, former: Option<&'v Value>) -> Self {
        let place = |(new, old): (&'v Value, &'v Value)| {
            let former = if node.by_index { old.get(index) } else { former };
            Some((new.get(index)?, former?))
        };
        self.below(self.current.and_then(place))
    }
}

struct Check {
    verdict: Verdict,
    budget: u64,
}

/// Asks all rules below a node.
pub fn check(node: &Node, new: &Value, old: Option<&Value>) -> Verdict {
    let mut check = Check { verdict: Verdict::default(), budget: WRITE_COST_MAX };
    // What stops the check has been told as a cause.
    let _: Result<(), Stop> = check.node(node, &Path::default(), new, old, Correlation::root(new, old));
    check.verdict
}

impl Check {
    fn node(
        &mut self,
        node: &Node,
        path: &Path,
        new: &Value,
        old: Option<&Value>,
        correlation: Correlation<'_>,
    ) -> Result<(), Stop> {
        if new.is_null() {
            return Ok(());
        }
        let old = old.filter(|old| !old.is_null());
        if let Some(decl) = &node.decl {
            for rule in &node.rules {
                self.rule(rule, decl, path, new, old, correlation)?;
            }
        }
        match new {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let former = old.and_then(|old| old.get(name));
                    if let Some(inner) = &node.additional {
                        self.node(inner, &path.key(name), value, former, correlation.key(name))?;
                    }
                    if let Some(inner) = node.properties.get(name) {
                        self.node(inner, &path.child(name), value, former, correlation.key(name))?;
                    }
                }
            }
            Value::Array(items) => {
                let Some(inner) = &node.items else { return Ok(()) };
                for (index, value) in items.iter().enumerate() {
                    let former = former_item(node, value, old);
                    let correlation = match correlation.current {
                        Some((_, before)) => correlation.item(index, node, former_item(node, value, Some(before))),
                        None => correlation,
                    };
                    self.node(inner, &path.index(index), value, former, correlation)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rule(
        &mut self,
        rule: &Rule,
        decl: &Decl,
        path: &Path,
        new: &Value,
        old: Option<&Value>,
        correlation: Correlation<'_>,
    ) -> Result<(), Stop> {
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => {
                self.verdict.causes.push(path.invalid_whole(&format!("rule compile error: {why}")));
                return Ok(());
            }
        };
        let uses_old = rule.uses_old();
        if uses_old && old.is_none() && !rule.optional_old {
            return Ok(());
        }
        let variables = variables(rule, decl, new, old);
        match self.ask(program, &variables, rule, path)? {
            None | Some(true) => return Ok(()),
            Some(false) => {}
        }
        let at = rule.field.as_ref().map_or_else(|| path.clone(), |field| path.child(field));
        let message = self.message(rule, &variables);
        let (why, stop) = match message {
            Ok(Some(message)) => (message, false),
            Ok(None) if rule.message.is_empty() => (format!("failed rule: {}", rule.text), false),
            Ok(None) => (rule.message.clone(), false),
            Err(why) => (why, true),
        };
        let cause = match rule.reason.as_str() {
            "FieldValueForbidden" if !stop => at.forbidden(&why),
            "FieldValueRequired" if !stop => at.required(&why),
            "FieldValueDuplicate" if !stop => {
                let reason = rule.reason.clone();
                Cause { reason, message: "Duplicate value".to_owned(), ..at.invalid_whole("") }
            }
            _ => at.invalid_whole(&why),
        };
        if !uses_old && correlation.unchanged() {
            self.verdict.warnings.push(format!("{}: {}", cause.field, cause.message));
        } else {
            self.verdict.causes.push(cause);
        }
        if stop { Err(Stop) } else { Ok(()) }
    }

    /// What the rule says; `None` after an error, which has been told.
    fn ask(
        &mut self,
        program: &Program,
        variables: &[(&'static str, Cel<'_>)],
        rule: &Rule,
        path: &Path,
    ) -> Result<Option<bool>, Stop> {
        let evaluated = program.evaluate(variables, CALL_COST_MAX);
        let refuse = |why: String| path.invalid_whole(&why);
        if evaluated.cost > self.budget {
            self.verdict.causes.push(refuse(OUT_OF_BUDGET.to_owned()));
            return Err(Stop);
        }
        self.budget -= evaluated.cost;
        match evaluated.result {
            Ok(value) => Ok(Some(matches!(value, Cel::Bool(true)))),
            Err(Fault::CostExceeded) => {
                let why = "no further validation rules will be run due to call cost exceeds limit for rule";
                self.verdict.causes.push(refuse(format!("'{LIMIT}': {why}: {}", rule.shown())));
                Err(Stop)
            }
            Err(Fault::Error(error)) if error.starts_with("no such overload") => {
                let why = "call arguments did not match a supported operator, function or macro signature for rule";
                self.verdict.causes.push(refuse(format!("'{error}': {why}: {}", rule.shown())));
                Ok(None)
            }
            Err(Fault::Error(error)) => {
                self.verdict.causes.push(refuse(format!("{error} evaluating rule: {}", rule.shown())));
                Ok(None)
            }
        }
    }

    /// The message that an expression makes; `None` where it makes none. An error ends everything.
    fn message(&mut self, rule: &Rule, variables: &[(&'static str, Cel<'_>)]) -> Result<Option<String>, String> {
        let Some(Ok(program)) = &rule.message_program else { return Ok(None) };
        let evaluated = program.evaluate(variables, CALL_COST_MAX);
        if evaluated.cost > self.budget {
            let why = "messageExpression evaluation failed due to running out of cost budget, no further validation \
                       rules will be run";
            return Err(why.to_owned());
        }
        self.budget -= evaluated.cost;
        match evaluated.result {
            Ok(Cel::Text(text)) => {
                let text = text.trim();
                let fits = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
                Ok(fits.then(|| text.to_owned()))
            }
            Err(Fault::CostExceeded) => {
                let why =
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression";
                Err(format!("{why}: {}", rule.text))
            }
            _ => Ok(None),
        }
    }
}

fn variables<'v>(rule: &Rule, decl: &'v Decl, new: &'v Value, old: Option<&'v Value>) -> Vec<(&'static str, Cel<'v>)> {
    let mut variables = vec![("self", view(new, decl))];
    let former = old.map(|old| view(old, decl));
    match (rule.optional_old, former) {
        (true, Some(former)) => variables.push(("oldSelf", Cel::some(former))),
        (true, None) => variables.push(("oldSelf", Cel::Optional(None))),
        (false, Some(former)) => variables.push(("oldSelf", former)),
        (false, None) => {}
    }
    variables
}

/// Only items of lists by key have former selves.
fn former_item<'v>(node: &Node, item: &Value, old: Option<&'v Value>) -> Option<&'v Value> {
    let keys = node.list_keys.as_ref()?;
    let same = |former: &&Value| keys.iter().all(|key| former.get(key) == item.get(key));
    old?.as_array()?.iter().find(same)
}
