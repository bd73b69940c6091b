//! Rules of schemas, compiled: those that cannot be, that may become too expensive, or that ask for what there is not.

use api::status::Cause;
use api::validation::Path;
use cel::Decl;
use serde_json::Value;

use crate::custom::rules::{Node, Rule};
use crate::tree;

/// What one rule, and all rules of a schema, may cost by estimate.
const RULE_COST_MAX: u64 = 10_000_000;
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// How many of the most expensive rules are named when all together are too expensive.
const EXPENSIVE_SHOWN: usize = 4;
const ADVICE: &str = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and \
                      strings are declared)";
const RULES: &str = "x-kubernetes-validations";

/// Where a schema stands.
#[derive(Clone)]
struct Place {
    root: bool,
    /// How often a value of it can occur in one object; `None` where nothing bounds that.
    count: Option<u64>,
    /// The list above whose items have no former selves.
    uncorrelatable: Option<Path>,
}

#[derive(Default)]
struct Check {
    causes: Vec<Cause>,
    total: u64,
    expensive: Vec<(u64, Path)>,
}

pub fn check(schema: &Value, path: &Path) -> Vec<Cause> {
    if !crate::custom::has_rules(schema) {
        return Vec::new();
    }
    let mut check = Check::default();
    check.visit(schema, path, &Place { root: true, count: Some(1), uncorrelatable: None });
    if check.total > SCHEMA_COST_MAX {
        check.expensive.sort_by_key(|one| std::cmp::Reverse(one.0));
        let why = "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire \
                   OpenAPIv3 schema";
        let named = check.expensive.iter().take(EXPENSIVE_SHOWN);
        check.causes.extend(named.map(|(_, path)| path.forbidden(why)));
        let name = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema";
        check.causes.push(path.forbidden(&too_expensive(name, check.total, SCHEMA_COST_MAX)));
    }
    check.causes
}

impl Check {
    fn visit(&mut self, schema: &Value, path: &Path, place: &Place) {
        let inner =
            |schema: &Value| Place { root: tree::flag(schema, "x-kubernetes-embedded-resource"), ..place.clone() };
        let times = |bound: &str| {
            let most = schema.get(bound).and_then(Value::as_i64).and_then(|most| u64::try_from(most).ok());
            place.count.zip(most).map(|(count, most)| count.saturating_mul(most))
        };
        if let Some(of) = schema.get("additionalProperties").filter(|of| of.is_object()) {
            let place = Place { count: times("maxProperties"), ..inner(of) };
            self.visit(of, &path.child("additionalProperties"), &place);
        }
        for (name, of) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.visit(of, &path.child("properties").key(name), &inner(of));
        }
        if let Some(of) = schema.get("items").filter(|of| of.is_object()) {
            let at = path.child("items");
            let mut place = Place { count: times("maxItems"), ..inner(of) };
            if tree::text(schema, "x-kubernetes-list-type") != "map" && place.uncorrelatable.is_none() {
                place.uncorrelatable = Some(at.clone());
            }
            self.visit(of, &at, &place);
        }
        if !tree::list(schema, RULES).is_empty() {
            self.rules(schema, path, place);
        }
    }

    fn rules(&mut self, schema: &Value, path: &Path, place: &Place) {
        let Some((decl, rules)) = Node::own(schema, place.root) else {
            let why = "internal error: failed to retrieve type information for x-kubernetes-validations";
            self.causes.push(path.child(RULES).internal(why));
            return;
        };
        for (index, (rule, written)) in rules.iter().zip(tree::list(schema, RULES)).enumerate() {
            self.rule(rule, written, &decl, &path.child(RULES).index(index), place);
        }
    }

    fn rule(&mut self, rule: &Rule, written: &Value, decl: &Decl, path: &Path, place: &Place) {
        let at = path.child("rule");
        let declarations = [("self", decl), ("oldSelf", decl)];
        match &rule.program {
            Ok(program) => {
                let count = place.count.unwrap_or_else(|| occurrences(decl));
                let cost = program.cost_max(&declarations).saturating_mul(count);
                self.observe("estimated rule cost", cost, &at);
            }
            Err(why) => self.causes.push(at.invalid_shown(&shown(written), why)),
        }
        match &rule.message_program {
            Some(Ok(program)) => {
                let cost = program.cost_max(&declarations);
                self.observe("estimated messageExpression cost", cost, &path.child("messageExpression"));
            }
            Some(Err(why)) => {
                self.causes.push(path.child("messageExpression").invalid_shown(&shown(written), why));
            }
            None => {}
        }
        if rule.uses_old() {
            if let Some(list) = &place.uncorrelatable {
                let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
                self.causes.push(at.invalid(tree::text(written, "rule"), &why));
            }
        } else if let Some(optional) = written.get("optionalOldSelf").filter(|optional| optional.is_boolean()) {
            let why = "may not be set if oldSelf is not used in rule";
            self.causes.push(path.child("optionalOldSelf").invalid(optional.clone(), why));
        }
    }

    fn observe(&mut self, name: &str, cost: u64, path: &Path) {
        if cost > RULE_COST_MAX {
            self.causes.push(path.forbidden(&too_expensive(name, cost, RULE_COST_MAX)));
        }
        self.total = self.total.saturating_add(cost);
        self.expensive.push((cost, path.clone()));
    }
}

/// How many values of the least size a request can hold.
fn occurrences(decl: &Decl) -> u64 {
    u64::try_from(cel::schema::REQUEST_BYTES_MAX / (decl.bytes_min + 1)).unwrap_or_default()
}

fn too_expensive(name: &str, cost: u64, most: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // For a message only.
    let times = cost as f64 / most as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    format!("{name} exceeds budget by factor of {factor} {ADVICE}")
}

/// A rule as upstream prints its internal form.
fn shown(rule: &Value) -> String {
    let text = |name: &str| {
        let quoted = Value::from(tree::text(rule, name)).to_string();
        quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    };
    let other = |name: &str| rule.get(name).cloned().unwrap_or_default();
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        other("reason"),
        text("fieldPath"),
        other("optionalOldSelf"),
    )
}
