//! Walks over objects by schema, for server-side apply: the set of an object's fields, the difference of two objects, the
//! merge of a configuration into an object, and the removal of a set of fields.
//!
//! The rules are structured-merge-diff's: structs and maps are granular unless atomic, lists are atomic unless they are
//! sets or maps by key; an atomic value is one leaf.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map as Json, Value};

use super::set::Set;
use crate::name::Str;
use crate::schema::{ListKind, Schema, Type, defaults};

/// A place in a schema. `schema` is `None` where anything may be; then maps are granular and lists atomic.
#[derive(Clone, Copy)]
pub struct Place<'s> {
    schema: Option<Schema<'s>>,
    atomic: bool,
}

enum Shape<'s> {
    Leaf,
    Fields,
    Set,
    Keyed(&'s [Str]),
}

impl<'s> Place<'s> {
    pub fn root(schema: Schema<'s>) -> Self {
        Self { schema: Some(schema), atomic: false }
    }

    fn child(self, name: &str) -> Self {
        let field = self.schema.and_then(|schema| schema.field(name));
        Self {
            schema: self.schema.and_then(|schema| schema.child(name)),
            atomic: field.is_some_and(|field| field.atomic),
        }
    }

    fn item(self) -> Self {
        Self { schema: self.schema.and_then(Schema::item), atomic: false }
    }

    /// Whether `name` is a field that the type declares (not an entry of a map).
    fn declares(self, name: &str) -> bool {
        self.schema.is_some_and(|schema| schema.field(name).is_some())
    }

    fn shape(self, value: &Value) -> Shape<'s> {
        if self.atomic {
            return Shape::Leaf;
        }
        match (self.schema.map(Schema::ty), value) {
            (None, Value::Object(_)) => Shape::Fields,
            (Some(Type::Struct(of)), Value::Object(_)) if !of.atomic => Shape::Fields,
            (Some(Type::Map(map)), Value::Object(_)) if !map.atomic => Shape::Fields,
            (Some(Type::List(list)), Value::Array(_)) => match &list.kind {
                ListKind::Atomic => Shape::Leaf,
                ListKind::Set => Shape::Set,
                ListKind::Map(keys) => Shape::Keyed(keys),
            },
            _ => Shape::Leaf,
        }
    }

    /// The step to an item of an associative list; `None` if a key is missing that has no default.
    fn step(self, shape: &Shape<'_>, item: &Value) -> Option<String> {
        match shape {
            Shape::Keyed(keys) => {
                let mut entries = Json::new();
                for key in *keys {
                    let value = item.get(&**key).filter(|value| !value.is_null()).cloned();
                    let of = self.item().schema;
                    let value = value.or_else(|| defaults::default_of(of?, key).cloned())?;
                    entries.insert(key.to_string(), value);
                }
                Some(format!("k:{}", Value::Object(entries)))
            }
            _ => Some(format!("v:{item}")),
        }
    }

    fn steps(self, shape: &Shape<'_>, items: &[Value]) -> Vec<String> {
        items.iter().enumerate().map(|(at, item)| self.step(shape, item).unwrap_or_else(|| format!("i:{at}"))).collect()
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// All fields of a configuration: its leaves, the items of its lists and the entries of its maps.
pub fn fields_of(value: &Value, place: Place<'_>) -> Set {
    let mut set = Set::default();
    let shape = place.shape(value);
    match (&shape, value) {
        (Shape::Fields, Value::Object(fields)) => {
            for (name, value) in fields {
                let mut child = fields_of(value, place.child(name));
                let empty = value.is_null() || value.as_object().is_some_and(Json::is_empty);
                child.own |= empty || !place.declares(name);
                if !child.is_empty() {
                    set.children.insert(format!("f:{name}"), child);
                }
            }
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(items)) => {
            for (step, item) in place.steps(&shape, items).into_iter().zip(items) {
                let mut child = fields_of(item, place.item());
                child.own = true;
                set.children.insert(step, child);
            }
        }
        _ => set.own = true,
    }
    set
}

#[derive(Debug, Default)]
pub struct Comparison {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Comparison {
    pub fn each(&mut self) -> [&mut Set; 3] {
        [&mut self.added, &mut self.modified, &mut self.removed]
    }
}

pub fn compare(old: &Value, new: &Value, place: Place<'_>) -> Comparison {
    let mut found = Comparison::default();
    if old != new {
        compare_at(Some(old), Some(new), place, &mut Vec::new(), &mut found);
    }
    found
}

/// Compares what is known to differ, so that what is the same before and after, which is most of an object, costs no walk.
fn compare_at(
    old: Option<&Value>,
    new: Option<&Value>,
    place: Place<'_>,
    path: &mut Vec<String>,
    found: &mut Comparison,
) {
    match (old, new) {
        (None, Some(new)) => return found.added.put(path, all_of(new, place)),
        (Some(old), None) => return found.removed.put(path, all_of(old, place)),
        _ => {}
    }
    let Some(model) = new.filter(|value| !value.is_null()).or(old).or(new) else { return };
    let shape = place.shape(model);
    let differ = |value: Option<&Value>| value.is_some_and(|v| !v.is_null() && v.is_object() != model.is_object());
    if matches!(shape, Shape::Leaf) || is_empty(old) && is_empty(new) || differ(old) {
        if let (Some(old), Some(new)) = (old, new)
            && !same(old, new)
        {
            found.modified.insert(path);
        }
        return;
    }
    let no_items = Vec::new();
    if let Shape::Fields = shape {
        let no_fields = Json::new();
        let old = old.and_then(Value::as_object).unwrap_or(&no_fields);
        let new = new.and_then(Value::as_object).unwrap_or(&no_fields);
        let before = old.iter().map(|(name, value)| (name, Some(value), new.get(name)));
        let added =
            new.iter().filter(|(name, _)| !old.contains_key(*name)).map(|(name, value)| (name, None, Some(value)));
        for (name, old, new) in before.chain(added).filter(|(_, old, new)| old != new) {
            path.push(format!("f:{name}"));
            compare_at(old, new, place.child(name), path, found);
            path.pop();
        }
    } else {
        let old = old.and_then(Value::as_array).unwrap_or(&no_items);
        let new = new.and_then(Value::as_array).unwrap_or(&no_items);
        let mut pairs: BTreeMap<String, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
        for (step, item) in place.steps(&shape, old).into_iter().zip(old) {
            pairs.entry(step).or_default().0 = Some(item);
        }
        for (step, item) in place.steps(&shape, new).into_iter().zip(new) {
            pairs.entry(step).or_default().1 = Some(item);
        }
        for (step, (old, new)) in pairs.into_iter().filter(|(_, (old, new))| old != new) {
            path.push(step);
            compare_at(old, new, place.item(), path, found);
            path.pop();
        }
    }
}

/// Everything in a value that only one side has, the value itself included.
fn all_of(value: &Value, place: Place<'_>) -> Set {
    let mut set = Set { own: true, ..Set::default() };
    let shape = place.shape(value);
    match (&shape, value) {
        (Shape::Fields, Value::Object(fields)) => {
            set.children
                .extend(fields.iter().map(|(name, value)| (format!("f:{name}"), all_of(value, place.child(name)))));
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(items)) => {
            let steps = place.steps(&shape, items).into_iter();
            set.children.extend(steps.zip(items).map(|(step, item)| (step, all_of(item, place.item()))));
        }
        _ => {}
    }
    set
}

/// Equality that does not tell 1 from 1.0.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// The live object with the configuration merged over it.
pub fn merge(live: &Value, config: &Value, place: Place<'_>) -> Value {
    let shape = place.shape(config);
    match (&shape, live, config) {
        (Shape::Fields, Value::Object(old), Value::Object(new)) => {
            let mut merged = old.clone();
            for (name, value) in new {
                let value = match old.get(name) {
                    Some(live) if !(value.is_null() && !live.is_null() && !live.is_string()) => {
                        merge(live, value, place.child(name))
                    }
                    Some(live) => live.clone(),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(old), Value::Array(new)) => {
            Value::Array(merge_items(old, new, &shape, place))
        }
        _ => config.clone(),
    }
}

/// Merges two associative lists: the configuration's order wins, and what only the live object has stays where it stood
/// relative to the items that both have.
fn merge_items(old: &[Value], new: &[Value], shape: &Shape<'_>, place: Place<'_>) -> Vec<Value> {
    let (old_steps, new_steps) = (place.steps(shape, old), place.steps(shape, new));
    let old_at: BTreeMap<&String, &Value> = old_steps.iter().zip(old).rev().collect();
    let new_at: BTreeMap<&String, &Value> = new_steps.iter().zip(new).rev().collect();
    let mut shared = new_steps.iter().filter(|step| old_at.contains_key(step)).peekable();
    let mut merged_steps: BTreeSet<&String> = BTreeSet::new();
    let mut out = Vec::with_capacity(old.len().max(new.len()));
    let (mut l, mut r) = (0, 0);
    let pair = |step: &String| match (old_at.get(step), new_at.get(step)) {
        (Some(live), Some(config)) => merge(live, config, place.item()),
        (Some(one), None) | (None, Some(one)) => (**one).clone(),
        (None, None) => Value::Null,
    };
    while l < old.len() || r < new.len() {
        if l < old.len() && r < new.len() {
            let step = &old_steps[l];
            if *step == new_steps[r] {
                merged_steps.insert(step);
                out.push(pair(step));
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            if new_at.contains_key(step) && shared.peek().is_some_and(|next| *next != step) {
                l += 1;
                continue;
            }
        }
        if l < old.len() {
            let step = &old_steps[l];
            if !new_at.contains_key(step) {
                out.push(old[l].clone());
                l += 1;
                continue;
            }
            if merged_steps.contains(step) {
                l += 1;
            }
        }
        if r < new.len() {
            let step = &new_steps[r];
            merged_steps.insert(step);
            out.push(pair(step));
            r += 1;
            shared.next_if(|next| *next == step);
        }
    }
    out
}

/// The value without the members of `set`; `None` when nothing is left.
pub fn remove(value: &Value, set: &Set, place: Place<'_>) -> Option<Value> {
    let shape = place.shape(value);
    match (&shape, value) {
        (Shape::Fields, Value::Object(fields)) => {
            let mut kept = Json::new();
            for (name, value) in fields {
                let value = match set.children.get(&format!("f:{name}")) {
                    Some(child) if child.own => None,
                    Some(child) => remove(value, child, place.child(name)),
                    None => Some(value.clone()),
                };
                kept.extend(value.map(|value| (name.clone(), value)));
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(items)) => {
            let mut kept = Vec::new();
            for (step, item) in place.steps(&shape, items).iter().zip(items) {
                match set.children.get(step) {
                    Some(child) if child.own => {}
                    Some(child) => kept.extend(remove(item, child, place.item())),
                    None => kept.push(item.clone()),
                }
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => Some(value.clone()),
    }
}

/// The set with every declared field on the way to a member made a member too.
pub fn with_named_fields(set: &Set, place: Place<'_>) -> Set {
    let children = set.children.iter().map(|(step, child)| {
        let name = step.strip_prefix("f:");
        let mut child = with_named_fields(child, name.map_or_else(|| place.item(), |name| place.child(name)));
        child.own |= name.is_some_and(|name| place.declares(name)) && !child.children.is_empty();
        (step.clone(), child)
    });
    Set { own: set.own, children: children.collect() }
}

/// Why a configuration cannot be applied: fields that the type does not have, list items without keys or with equal ones.
pub fn check(value: &Value, place: Place<'_>, at: &str, found: &mut Vec<String>) {
    let shape = place.shape(value);
    match (place.schema.map(Schema::ty), value) {
        (Some(Type::Struct(of)), Value::Object(fields)) => {
            for (name, value) in fields {
                let path = format!("{at}.{name}");
                if !place.declares(name) && !of.preserve_unknown {
                    found.push(format!("{path}: field not declared in schema"));
                } else {
                    check(value, place.child(name), &path, found);
                }
            }
        }
        (Some(Type::Map(_)), Value::Object(fields)) => {
            fields.iter().for_each(|(name, value)| check(value, place.child(name), &format!("{at}.{name}"), found));
        }
        (Some(Type::List(_)), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let step =
                    if matches!(shape, Shape::Leaf) { Some(format!("i:{index}")) } else { place.step(&shape, item) };
                let Some(step) = step else {
                    let key = missing_key(&shape, item);
                    found.push(format!(
                        "{at}: element {index}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
                    ));
                    continue;
                };
                let mut one = Set::default();
                one.insert(std::slice::from_ref(&step));
                let path = format!("{at}{}", one.paths().concat());
                if !seen.insert(step) {
                    found.push(format!("{at}: duplicate entries for key {}", one.paths().concat()));
                }
                check(item, place.item(), &path, found);
            }
        }
        (Some(Type::Struct(of)), _) if of.any => {}
        (Some(ty), value) if !scalar_fits(ty, value) => found.push(scalar_fault(at, ty, value)),
        (
            Some(Type::Struct(_) | Type::Map(_)),
            Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_),
        ) => {
            found.push(format!("{at}: expected map, got &{{{value}}}"));
        }
        (Some(Type::List(_)), Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Object(_)) => {
            found.push(format!("{at}: expected list, got &{{{value}}}"));
        }
        _ => {}
    }
}

fn scalar_fits(ty: &Type, value: &Value) -> bool {
    let scalar = !value.is_array() && !value.is_object();
    match ty {
        _ if value.is_null() => true,
        Type::Int32 | Type::Int64 | Type::Double => value.is_number(),
        Type::String | Type::Time | Type::MicroTime | Type::Bytes => value.is_string(),
        Type::Bool => value.is_boolean(),
        Type::Quantity | Type::IntOrString => scalar,
        _ => true,
    }
}

fn scalar_fault(at: &str, ty: &Type, value: &Value) -> String {
    let of = match value {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::String(_) | Value::Null => "string",
    };
    match ty {
        Type::Int32 | Type::Int64 | Type::Double => format!("{at}: expected numeric (int or float), got {of}"),
        Type::Bool => format!("{at}: expected boolean, got &value.valueUnstructured{{Value:{value}}}"),
        Type::Quantity | Type::IntOrString => {
            format!("{at}: expected any scalar, got &{{{}}}", crate::go::value(value))
        }
        _ => format!("{at}: expected string, got &value.valueUnstructured{{Value:{value}}}"),
    }
}

fn missing_key<'k>(shape: &Shape<'k>, item: &Value) -> &'k str {
    match shape {
        Shape::Keyed(keys) => {
            keys.iter().find(|key| item.get(&***key).is_none_or(Value::is_null)).map_or("", |key| key)
        }
        _ => "",
    }
}
