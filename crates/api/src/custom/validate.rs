//! Values against [`Keywords`], in the order and with the words of upstream's validator (kube-openapi).
//!
//! What an update left as it was is not refused anew (KEP-4008): below, a value equal to its former self is valid.

use serde_json::{Map as Json, Value};

use super::formats;
use super::keywords::{Additional, Keywords, go_float};
use crate::status::Cause;
use crate::validation::Path;

/// All causes; paths are from the root.
pub fn validate(keywords: &Keywords, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    check(keywords, value, old, "").causes
}

/// What a schema says of a value, and how many of its checks were made: of several alternatives the causes of the one with
/// the most checks are told.
#[derive(Default)]
struct Outcome {
    causes: Vec<Cause>,
    matches: usize,
}

impl Outcome {
    fn is_valid(&self) -> bool {
        self.causes.is_empty()
    }

    fn merge(&mut self, other: Self) {
        self.causes.extend(other.causes);
        self.matches += other.matches;
    }
}

/// The path in messages (`spec.n`) as a field path.
fn field(at: &str) -> Path {
    Path::new(at.trim_start_matches('.'))
}

fn check(keywords: &Keywords, value: &Value, old: Option<&Value>, at: &str) -> Outcome {
    let mut outcome = Outcome::default();
    if old == Some(value) {
        return outcome;
    }
    check_type(keywords, value, at, &mut outcome);
    if value.is_null() {
        check_enum(keywords, value, at, &mut outcome);
        return outcome;
    }
    check_junctors(keywords, value, old, at, &mut outcome);
    match value {
        Value::String(text) => check_string(keywords, text, at, &mut outcome),
        Value::Number(_) => check_number(keywords, value, at, &mut outcome),
        Value::Array(items) => check_list(keywords, items, old, at, &mut outcome),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    check_enum(keywords, value, at, &mut outcome);
    if let Value::Object(fields) = value {
        check_object(keywords, fields, old, at, &mut outcome);
    }
    outcome.matches += 1;
    outcome
}

/// The JSON type, and for numbers the format that their size has.
fn json_type(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_f64() => ("number", "float64"),
        Value::Number(_) => ("integer", "int64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn check_type(keywords: &Keywords, value: &Value, at: &str, outcome: &mut Outcome) {
    let types = keywords.types;
    if types.is_empty() && keywords.format.is_empty() {
        return;
    }
    outcome.matches += 1;
    let (found, format) = json_type(value);
    let mut fail = |wanted: &str, found: &str| outcome.causes.push(type_cause(at, wanted, found));
    if value.is_null() {
        if !types.is_empty() && !keywords.nullable {
            fail(&types.join(","), found);
        }
        return;
    }
    let is_float_integer = value.as_f64().is_some_and(|n| found == "number" && n.fract() == 0.0);
    let fits = types.contains(&found)
        || (is_float_integer && types.contains(&"integer"))
        || (found == "integer" && types.contains(&"number"));
    let is_text = matches!(value, Value::String(_) | Value::Array(_));
    if !is_text && !keywords.format.is_empty() && !fits && keywords.format != format {
        return fail(&keywords.format, format);
    }
    let numeric = types.contains(&"number") || types.contains(&"integer");
    if !numeric && !keywords.format.is_empty() && is_text {
        outcome.matches += 1;
        return;
    }
    if fits {
        outcome.matches += 1;
    } else {
        fail(&types.join(","), found);
    }
}

fn type_cause(at: &str, wanted: &str, found: &str) -> Cause {
    let why = format!("{at} in body must be of type {wanted}: {found:?}");
    field(at).type_invalid(found, why.trim_start_matches('.'))
}

/// `Invalid value: 11: spec.n in body should be ...`.
fn cause(at: &str, value: impl Into<Value>, should: &str) -> Cause {
    field(at).invalid(value, &format!("{} in body should {should}", at.trim_start_matches('.')))
}

fn check_junctors(keywords: &Keywords, value: &Value, old: Option<&Value>, at: &str, outcome: &mut Outcome) {
    outcome.matches += 2;
    let whole = |text: &str| {
        let why = format!("{at:?} must {text}");
        Path::default().invalid("", &why)
    };
    if !keywords.any_of.is_empty() {
        let mut best: Option<Outcome> = None;
        let mut valid = None;
        for schema in &keywords.any_of {
            let found = check(schema, value, old, at);
            if found.is_valid() {
                valid = Some(found);
                break;
            }
            if best.as_ref().is_none_or(|best| found.matches > best.matches) {
                best = Some(found);
            }
        }
        match (valid, best) {
            (Some(valid), _) => outcome.merge(valid),
            (None, best) => {
                outcome.causes.push(whole("validate at least one schema (anyOf)"));
                best.into_iter().for_each(|best| outcome.merge(best));
            }
        }
    }
    if !keywords.one_of.is_empty() {
        let (mut valid, mut best, mut count) = (None, None::<Outcome>, 0);
        for schema in &keywords.one_of {
            let found = check(schema, value, old, at);
            if found.is_valid() {
                (count, best) = (count + 1, None);
                valid.get_or_insert(found);
            } else if count == 0 && best.as_ref().is_none_or(|best| found.matches > best.matches) {
                best = Some(found);
            }
        }
        if count == 1 {
            valid.into_iter().for_each(|valid| outcome.merge(valid));
        } else {
            let found =
                if count == 0 { "Found none valid".to_owned() } else { format!("Found {count} valid alternatives") };
            outcome.causes.push(whole(&format!("validate one and only one schema (oneOf). {found}")));
            best.into_iter().for_each(|best| outcome.merge(best));
        }
    }
    if !keywords.all_of.is_empty() {
        let mut valid = 0;
        for schema in &keywords.all_of {
            let found = check(schema, value, old, at);
            valid += usize::from(found.is_valid());
            outcome.merge(found);
        }
        if valid != keywords.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            outcome.causes.push(whole(&format!("validate all the schemas (allOf){none}")));
        }
    }
    if keywords.not.as_ref().is_some_and(|not| check(not, value, None, at).is_valid()) {
        outcome.causes.push(whole("not validate the schema (not)"));
    }
}

fn check_string(keywords: &Keywords, text: &str, at: &str, outcome: &mut Outcome) {
    outcome.matches += 1;
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(most) = keywords.max_length.filter(|most| length > *most) {
        outcome.causes.push(field(at).too_long(usize::try_from(most).unwrap_or_default()));
    } else if let Some(least) = keywords.min_length.filter(|least| length < *least) {
        outcome.causes.push(cause(at, text, &format!("be at least {least} chars long")));
    } else if let Some(pattern) = keywords.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        outcome.causes.push(cause(at, text, &format!("match '{}'", pattern.text)));
    }
    if let Some(fits) = formats::check(&keywords.format, text) {
        outcome.matches += 1;
        if !fits {
            let why = format!("{} in body must be of type {}: {text:?}", at.trim_start_matches('.'), keywords.format);
            outcome.causes.push(field(at).type_invalid(text, &why));
        }
    }
}

fn check_number(keywords: &Keywords, value: &Value, at: &str, outcome: &mut Outcome) {
    outcome.matches += 1;
    let Some(number) = value.as_f64() else { return };
    let mut push = |should: String| outcome.causes.push(cause(at, value.clone(), &should));
    if let Some(factor) = keywords.multiple_of.filter(|factor| *factor > 0.0 && !is_multiple(value, *factor)) {
        push(format!("be a multiple of {}", go_float(factor)));
    }
    if let Some(most) = keywords.maximum {
        let strict = keywords.exclusive_maximum;
        if if strict { number >= most } else { number > most } {
            push(format!("be less than {}{}", if strict { "" } else { "or equal to " }, go_float(most)));
        }
    }
    if let Some(least) = keywords.minimum {
        let strict = keywords.exclusive_minimum;
        if if strict { number <= least } else { number < least } {
            push(format!("be greater than {}{}", if strict { "" } else { "or equal to " }, go_float(least)));
        }
    }
}

fn is_multiple(value: &Value, factor: f64) -> bool {
    let quotient = value.as_f64().unwrap_or_default() / factor;
    (quotient - quotient.round()).abs() < 1e-9
}

fn check_list(keywords: &Keywords, items: &[Value], old: Option<&Value>, at: &str, outcome: &mut Outcome) {
    outcome.matches += 1;
    if let Some(schema) = &keywords.items {
        for (index, item) in items.iter().enumerate() {
            let before = old.and_then(|old| former_item(&keywords.list_keys, item, old));
            outcome.merge(check(schema, item, before, &format!("{at}[{index}]")));
        }
    }
    let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if let Some(least) = keywords.min_items.filter(|least| count < *least) {
        outcome.causes.push(cause(at, count, &format!("have at least {least} items")));
    }
    if let Some(most) = keywords.max_items.filter(|most| count > *most) {
        outcome.causes.push(field(at).too_many(items.len(), usize::try_from(most).unwrap_or_default()));
    }
    let repeated = || items.iter().enumerate().any(|(index, item)| items[..index].contains(item));
    if keywords.unique_items && repeated() {
        let why = format!("{} in body shouldn't contain duplicates", at.trim_start_matches('.'));
        outcome.causes.push(field(at).invalid("", &why));
    }
}

/// The item of the old list with the same keys.
fn former_item<'v>(keys: &[String], item: &Value, old: &'v Value) -> Option<&'v Value> {
    if keys.is_empty() {
        return None;
    }
    old.as_array()?.iter().find(|before| keys.iter().all(|key| before.get(key) == item.get(key)))
}

fn check_enum(keywords: &Keywords, value: &Value, at: &str, outcome: &mut Outcome) {
    if keywords.enumeration.is_empty() {
        outcome.matches += 1;
        return;
    }
    if keywords.enumeration.iter().any(|allowed| allowed == value && !value.is_null()) {
        outcome.matches += 1;
        return;
    }
    let texts: Vec<String> = keywords
        .enumeration
        .iter()
        .map(|allowed| allowed.as_str().map_or_else(|| allowed.to_string(), str::to_owned))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    outcome.causes.push(field(at).not_supported(value.clone(), &texts));
}

fn check_object(
    keywords: &Keywords,
    fields: &Json<String, Value>,
    old: Option<&Value>,
    at: &str,
    outcome: &mut Outcome,
) {
    outcome.matches += 1;
    let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    if let Some(least) = keywords.min_properties.filter(|least| count < *least) {
        outcome.causes.push(cause(at, count, &format!("have at least {least} properties")));
        return;
    }
    if let Some(most) = keywords.max_properties.filter(|most| count > *most) {
        outcome.causes.push(field(at).too_many(fields.len(), usize::try_from(most).unwrap_or_default()));
        return;
    }
    let child_path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    for (name, value) in fields.iter().filter(|(name, _)| keywords.property(name).is_none()) {
        match &keywords.additional {
            Additional::Any => {}
            Additional::None => {
                let why = format!("{} in body is a forbidden property", child_path(name));
                outcome.causes.push(field(at).invalid(name.as_str(), &why));
            }
            Additional::Schema(schema) => {
                let before = old.and_then(|old| old.get(name));
                outcome.merge(check(schema, value, before, &format!("{at}.{name}")));
            }
        }
    }
    for (name, schema) in &keywords.properties {
        if let Some(value) = fields.get(name) {
            let before = old.and_then(|old| old.get(name));
            outcome.merge(check(schema, value, before, &child_path(name)));
        }
    }
    for name in keywords.required.iter().filter(|name| !fields.contains_key(name.as_str())) {
        outcome.causes.push(field(&child_path(name)).required(""));
    }
}
