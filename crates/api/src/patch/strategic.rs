//! Strategic merge patch: lists merged by key, with `$patch`, `$retainKeys`, `$setElementOrder/...` and
//! `$deleteFromPrimitiveList/...`.
//!
//! A port of the documented behaviour: what decides between merging and replacing is the field's patch strategy in the
//! schema, and the order of merged lists is the patch's (or `$setElementOrder`'s) with the server's own items kept in place
//! relative to those that both know.

use serde_json::{Map as Json, Value};

use crate::go;
use crate::schema::{Field, Schema};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

type Fields = Json<String, Value>;

/// Why a patch cannot be applied; upstream answers each in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The patch is not of the form that the directive asks for.
    Format(&'static str),
    /// Lists of lists.
    Rejected,
    /// What upstream does not tell from a failure of its own.
    Failed(String),
}

pub fn merge(original: Value, patch: Value, schema: Option<Schema<'_>>) -> Result<Value, Refusal> {
    match (original, patch) {
        (Value::Object(original), Value::Object(patch)) => Ok(Value::Object(merge_fields(original, patch, schema)?)),
        (_, patch) => Ok(patch),
    }
}

fn merge_fields(mut original: Fields, mut patch: Fields, schema: Option<Schema<'_>>) -> Result<Fields, Refusal> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None => {}
        Some("replace") => {
            patch.remove(DIRECTIVE);
            return Ok(patch);
        }
        Some("delete") => return Ok(Fields::new()),
        Some(_) => return Err(unknown_directive(&Value::Object(patch))),
    }
    retain_keys(&mut original, &mut patch)?;
    set_element_order(&mut original, &mut patch, schema)?;
    for (name, change) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut original, list, &change);
            continue;
        }
        if change.is_null() {
            original.remove(&name);
            continue;
        }
        let child = schema.and_then(|schema| schema.child(&name));
        let field = schema.and_then(|schema| schema.field(&name));
        let merged = match (original.remove(&name), change) {
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(merge_fields(old, new, child)?),
            (Some(Value::Array(old)), Value::Array(new)) => merge_list(old, new, field, child)?,
            (_, new) => without_directives(new),
        };
        original.insert(name, merged);
    }
    Ok(original)
}

/// `$retainKeys`: fields of the original that the list does not name are dropped.
fn retain_keys(original: &mut Fields, patch: &mut Fields) -> Result<(), Refusal> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(RETAIN_KEYS_FORMAT) };
    let names: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
    if patch.iter().any(|(name, change)| !name.starts_with('$') && !change.is_null() && !names.contains(&name.as_str()))
    {
        return Err(RETAIN_KEYS_FORMAT);
    }
    original.retain(|name, _| names.contains(&name.as_str()));
    Ok(())
}

fn delete_from(original: &mut Fields, list: &str, unwanted: &Value) {
    let Some(unwanted) = unwanted.as_array() else { return };
    if let Some(Value::Array(items)) = original.get_mut(list) {
        items.retain(|item| !unwanted.contains(item));
    }
}

/// `$setElementOrder/list`: merges the list if the patch has it, then orders the result.
fn set_element_order(original: &mut Fields, patch: &mut Fields, schema: Option<Schema<'_>>) -> Result<(), Refusal> {
    let orders: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in orders {
        let name = directive[SET_ORDER.len()..].to_owned();
        let order = list_or_refuse(patch.remove(&directive).unwrap_or_default())?;
        let changes = patch.get(&name).cloned().map(list_or_refuse).transpose()?.unwrap_or_default();
        let key = schema.and_then(|schema| schema.field(&name)).and_then(|field| field.patch.key.as_deref());
        check_order(&changes, &order, key)?;
        if let Some(unwanted) = patch.remove(&format!("{DELETE_FROM}{name}")) {
            delete_from(original, &name, &unwanted);
        }
        let field = schema.and_then(|schema| schema.field(&name));
        let child = schema.and_then(|schema| schema.child(&name));
        let old = match original.remove(&name) {
            Some(Value::Array(old)) => old,
            Some(other) => return Err(not_a_list(&other)),
            None => Vec::new(),
        };
        let merged = match patch.remove(&name) {
            Some(Value::Array(new)) => match merge_list(old.clone(), new, field, child)? {
                Value::Array(merged) => merged,
                _ => old.clone(),
            },
            Some(_) | None => old.clone(),
        };
        if !merged.is_empty() {
            original.insert(name, Value::Array(ordered(merged, &order, &old, key)));
        }
    }
    Ok(())
}

const RETAIN_KEYS_FORMAT: Refusal = Refusal::Format("invalid patch format of retainKeys");

fn unknown_directive(item: &Value) -> Refusal {
    let directive = item.get(DIRECTIVE).map(go::value).unwrap_or_default();
    Refusal::Failed(format!("unknown patch type: {directive} in map: {}", go::value(item)))
}

fn list_or_refuse(value: Value) -> Result<Vec<Value>, Refusal> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(not_a_list(&other)),
    }
}

fn not_a_list(value: &Value) -> Refusal {
    let found = match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    Refusal::Failed(format!("expected a []interface {{}}, but received a {found}"))
}

/// What a list changes stands in it in the order that `$setElementOrder` gives.
fn check_order(changes: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Refusal> {
    let of = |item: &Value| key.map_or_else(|| Some(item.clone()), |key| item.get(key).cloned());
    let mut left = changes.iter().filter(|item| key.is_none() || directive(item) != Some("delete")).peekable();
    for item in order {
        left.next_if(|change| of(change) == of(item));
    }
    if order.is_empty() || left.peek().is_none() {
        return Ok(());
    }
    let shown = |items: &[Value]| go::value(&Value::Array(items.to_vec()));
    let (changes, order) = (shown(changes), shown(order));
    let why = format!("The order in patch list:\n{changes}\n doesn't match $setElementOrder list:\n{order}\n");
    Err(Refusal::Failed(why))
}

fn merge_list(
    old: Vec<Value>,
    new: Vec<Value>,
    field: Option<&Field>,
    list: Option<Schema<'_>>,
) -> Result<Value, Refusal> {
    let Some(field) = field.filter(|field| field.patch.merge) else {
        return Ok(without_directives(Value::Array(new)));
    };
    let item = list.and_then(Schema::item);
    if old.iter().chain(&new).any(Value::is_array) {
        return Err(Refusal::Rejected);
    }
    let Some(key) = field.patch.key.as_deref() else {
        let mut merged = old.clone();
        for item in &new {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(Value::Array(ordered(merged, &new, &old, None)));
    };
    if new.iter().any(|item| directive(item) == Some("replace")) {
        let kept = new.into_iter().filter(|item| directive(item).is_none()).map(without_directives).collect();
        return Ok(Value::Array(kept));
    }
    let mut merged = old.clone();
    let mut present = Vec::new();
    // Deletions come first: a key that is deleted and given in one patch is given anew.
    let (deleted, given): (Vec<_>, Vec<_>) = new.into_iter().partition(|item| directive(item) == Some("delete"));
    for change in deleted.into_iter().chain(given) {
        let Some(value) = change.get(key).cloned() else {
            let why = format!("map: {} does not contain declared merge key: {key}", go::value(&change));
            return Err(Refusal::Failed(why));
        };
        let at = merged.iter().position(|item| item.get(key) == Some(&value));
        match (directive(&change), at) {
            (Some("delete"), at) => {
                // Every item of that key goes, should there be several.
                if at.is_some() {
                    merged.retain(|item| item.get(key) != Some(&value));
                }
                continue;
            }
            (None, Some(at)) => {
                let target = merged[at].take();
                merged[at] = merge(target, change.clone(), item)?;
            }
            (None, None) => merged.push(without_directives(change.clone())),
            (Some("merge"), _) => {
                return Err(Refusal::Failed("merging lists cannot yet be specified in the patch".to_owned()));
            }
            (Some(_), _) => return Err(unknown_directive(&change)),
        }
        present.push(change);
    }
    Ok(Value::Array(ordered(merged, &present, &old, Some(key))))
}

fn directive(item: &Value) -> Option<&str> {
    item.get(DIRECTIVE).and_then(Value::as_str)
}

/// Orders a merged list: items that `order` names in its order, the rest in the order they had in `old`, and where both
/// kinds are in `old`, the older order between them.
fn ordered(merged: Vec<Value>, order: &[Value], old: &[Value], key: Option<&str>) -> Vec<Value> {
    let same = |a: &Value, b: &Value| match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    rest.sort_by_key(|item| place(old, item).unwrap_or(usize::MAX));
    let mut result = Vec::with_capacity(named.len() + rest.len());
    let (mut named, mut rest) = (named.into_iter().peekable(), rest.into_iter().peekable());
    loop {
        let rest_first = match (rest.peek(), named.peek()) {
            (None, None) => return result,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(left), Some(right)) => match (place(old, left), place(old, right)) {
                (Some(left), Some(right)) => left < right,
                _ => false,
            },
        };
        result.extend(if rest_first { rest.next() } else { named.next() });
    }
}

/// A value that is new to the object: nulls and directives in it say nothing.
fn without_directives(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(name, value)| {
                    let directive = name == DIRECTIVE
                        || name == RETAIN_KEYS
                        || name.starts_with(SET_ORDER)
                        || name.starts_with(DELETE_FROM);
                    !directive && !value.is_null()
                })
                .map(|(name, value)| (name, without_directives(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(
            items.into_iter().filter(|item| directive(item) != Some("delete")).map(without_directives).collect(),
        ),
        scalar => scalar,
    }
}
