//! The rules of a schema (`x-kubernetes-validations`), compiled: a tree of those nodes that have rules or have them below.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules>

use std::collections::BTreeMap;

use cel::{Decl, Env, Program, Type};
use serde_json::Value;

use crate::resources::apiextensions::schema_rules::field_at;
use crate::tree;

/// What a rule may cost once, and all rules of a write together.
pub const CALL_COST_MAX: u64 = 1_000_000;
pub const WRITE_COST_MAX: u64 = 10_000_000;
const SELF_TYPE: &str = "selfType";

/// A node of a schema.
pub struct Node {
    /// `None` where expressions cannot see the data.
    pub decl: Option<Decl>,
    pub rules: Vec<Rule>,
    pub items: Option<Box<Node>>,
    pub additional: Option<Box<Node>>,
    pub properties: BTreeMap<String, Node>,
    /// The keys by which items of an update are matched with their former selves.
    pub list_keys: Option<Vec<String>>,
    /// Whether items are matched by their place when it is asked what has changed.
    pub by_index: bool,
}

pub struct Rule {
    pub text: String,
    pub message: String,
    pub reason: String,
    /// Where causes point to, below the node.
    pub field: Option<String>,
    pub optional_old: bool,
    /// The reason why it cannot be compiled.
    pub program: Result<Program, String>,
    pub message_program: Option<Result<Program, String>>,
}

impl Node {
    /// `None` where there are no rules. `root`: the schema is of a whole object.
    pub fn compile(schema: &Value, root: bool) -> Option<Self> {
        let nested = |schema: &Value| Self::compile(schema, tree::flag(schema, "x-kubernetes-embedded-resource"));
        let child = |name: &str| schema.get(name).filter(|child| child.is_object()).and_then(nested).map(Box::new);
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let properties: BTreeMap<String, Self> =
            properties.filter_map(|(name, schema)| Some((name.clone(), nested(schema)?))).collect();
        let (items, additional) = (child("items"), child("additionalProperties"));
        let texts = tree::list(schema, "x-kubernetes-validations");
        if texts.is_empty() && items.is_none() && additional.is_none() && properties.is_empty() {
            return None;
        }
        let own = if texts.is_empty() { None } else { Self::own(schema, root) };
        let (decl, rules) = own.map(|(decl, rules)| (Some(decl), rules)).unwrap_or_default();
        let list_type = tree::text(schema, "x-kubernetes-list-type");
        let keys = || tree::texts(schema, "x-kubernetes-list-map-keys").into_iter().map(str::to_owned).collect();
        Some(Self {
            rules,
            decl,
            items,
            additional,
            properties,
            list_keys: (list_type == "map").then(keys),
            by_index: list_type.is_empty(),
        })
    }

    /// The rules of a schema without those below it; `None` where expressions cannot see the data.
    pub fn own(schema: &Value, root: bool) -> Option<(Decl, Vec<Rule>)> {
        let decl = Decl::of_schema(schema, root, SELF_TYPE)?;
        let texts = tree::list(schema, "x-kubernetes-validations").iter();
        let rules = texts.map(|rule| Rule::compile(rule, schema, &decl.ty)).collect();
        Some((decl, rules))
    }
}

impl Rule {
    fn compile(rule: &Value, schema: &Value, ty: &Type) -> Self {
        let text = |name: &str| tree::text(rule, name).to_owned();
        let optional_old = tree::flag(rule, "optionalOldSelf");
        let old = if optional_old { Type::optional(ty.clone()) } else { ty.clone() };
        let env = Env::kubernetes().with("self", ty.clone()).with("oldSelf", old);
        let message_expression = text("messageExpression");
        let field = text("fieldPath");
        Self {
            program: compiled(&env, &text("rule"), &Type::Bool),
            message_program: (!message_expression.is_empty())
                .then(|| compiled(&env, &message_expression, &Type::String)),
            text: text("rule").trim().to_owned(),
            message: text("message").trim().to_owned(),
            reason: text("reason"),
            field: (!field.is_empty()).then(|| field_at(schema, &field).map_or(field.clone(), |(_, path)| path)),
            optional_old,
        }
    }

    pub fn uses_old(&self) -> bool {
        self.program.as_ref().is_ok_and(|program| program.refers_to("oldSelf"))
    }

    /// What messages call the rule.
    pub fn shown(&self) -> &str {
        if self.message.is_empty() { &self.text } else { &self.message }
    }
}

fn compiled(env: &Env, text: &str, wanted: &Type) -> Result<Program, String> {
    let name = if *wanted == Type::Bool { "" } else { "messageExpression " };
    let program = env.compile(text).map_err(|issues| format!("{name}compilation failed: {issues}"))?;
    match (program.result_type(), wanted) {
        (found, wanted) if found == wanted => Ok(program),
        (_, Type::Bool) => Err("cel expression must evaluate to a bool".to_owned()),
        _ => Err("messageExpression must evaluate to a string".to_owned()),
    }
}
