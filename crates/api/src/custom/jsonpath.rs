//! JSONPath as printer columns use it: `.spec.n`, `.a['b']`, `.l[0]`, `.l[-1]`, `.l[*].n`, `.l[?(@.type=="Ready")].status`,
//! `..name`. What kubectl's own `-o jsonpath` can do besides (ranges, functions, texts) is not for columns.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    All,
    /// All values below, itself included.
    Deep,
    Filter(JsonPath, Operator, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Exists,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    None,
    Value(Value),
    Path(JsonPath),
}

impl JsonPath {
    /// `None` when it is no such path.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.trim().strip_prefix('$').unwrap_or(text.trim());
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("..") {
                steps.push(Step::Deep);
                rest = after;
                if !rest.starts_with(['[', '*']) {
                    rest = name(rest, &mut steps)?;
                }
            } else if let Some(after) = rest.strip_prefix('.') {
                // A lone dot is the whole object.
                rest = if after.is_empty() || after.starts_with('[') { after } else { name(after, &mut steps)? };
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after)?;
                steps.push(bracket(after[..end].trim())?);
                rest = &after[end + 1..];
            } else {
                rest = name(rest, &mut steps)?;
            }
        }
        Some(Self(steps))
    }

    /// All values that the path leads to.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        found
    }

    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.find(value).into_iter().next()
    }
}

/// Reads a name up to the next unescaped `.` or `[`.
fn name<'t>(text: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    let mut read = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' if !read.is_empty() => {
                push_name(read, steps);
                return Some(&text[at..]);
            }
            '.' | '[' => return None,
            '\\' => read.push(letters.next()?.1),
            _ => read.push(letter),
        }
    }
    (!read.is_empty()).then(|| {
        push_name(read, steps);
        ""
    })
}

fn push_name(name: String, steps: &mut Vec<Step>) {
    steps.push(if name == "*" { Step::All } else { Step::Field(name) });
}

/// Where the bracket that was opened before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(inner) = unquoted(text) {
        return Some(Step::Field(inner.to_owned()));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return parse_filter(filter.trim());
    }
    if let Some((from, to)) = text.split_once(':') {
        let bound = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
        return Some(Step::Slice(bound(from.trim())?, bound(to.trim())?));
    }
    text.parse().ok().map(Step::Index)
}

fn unquoted(text: &str) -> Option<&str> {
    let inside = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('\'').or_else(|| inside('"')).filter(|_| text.len() >= 2)
}

fn parse_filter(text: &str) -> Option<Step> {
    const OPERATORS: &[(&str, Operator)] = &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let found = OPERATORS.iter().filter_map(|(sign, operator)| Some((text.find(sign)?, *sign, *operator)));
    let Some((at, sign, operator)) = found.min_by_key(|(at, sign, _)| (*at, usize::MAX - sign.len())) else {
        return Some(Step::Filter(relative(text)?, Operator::Exists, Operand::None));
    };
    let right = text[at + sign.len()..].trim();
    let operand = if let Some(inner) = unquoted(right) {
        Operand::Value(inner.into())
    } else if right.starts_with('@') {
        Operand::Path(relative(right)?)
    } else {
        Operand::Value(serde_json::from_str(right).ok()?)
    };
    Some(Step::Filter(relative(text[..at].trim())?, operator, operand))
}

fn relative(text: &str) -> Option<JsonPath> {
    JsonPath::parse(text.strip_prefix('@')?)
}

impl Step {
    fn apply<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Field(name) => match value {
                Value::Object(fields) => fields.get(name).into_iter().collect(),
                _ => Vec::new(),
            },
            Self::Index(index) => items(value).get(position(*index, items(value).len())).into_iter().collect(),
            Self::Slice(from, to) => {
                let length = items(value).len();
                let (from, to) = (position(from.unwrap_or(0), length), position(to.unwrap_or(i64::MAX), length));
                items(value).get(from.min(length)..to.min(length)).into_iter().flatten().collect()
            }
            Self::All => children(value),
            Self::Deep => {
                let mut found = vec![value];
                children(value).into_iter().for_each(|child| found.extend(Self::Deep.apply(child)));
                found
            }
            Self::Filter(path, operator, operand) => {
                children(value).into_iter().filter(|child| matches(child, path, *operator, operand)).collect()
            }
        }
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Negative indexes count from the end.
fn position(index: i64, length: usize) -> usize {
    let index = if index < 0 { index.saturating_add(i64::try_from(length).unwrap_or(i64::MAX)) } else { index };
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn matches(value: &Value, path: &JsonPath, operator: Operator, operand: &Operand) -> bool {
    let left = path.first(value);
    let right = match operand {
        Operand::None => return left.is_some(),
        Operand::Value(wanted) => Some(wanted),
        Operand::Path(path) => path.first(value),
    };
    let (Some(left), Some(right)) = (left, right) else { return false };
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    match operator {
        Operator::Exists => true,
        Operator::Equal => order.is_some_and(|order| order.is_eq()),
        Operator::NotEqual => order.is_none_or(|order| order.is_ne()),
        Operator::Less => order.is_some_and(|order| order.is_lt()),
        Operator::LessOrEqual => order.is_some_and(|order| order.is_le()),
        Operator::Greater => order.is_some_and(|order| order.is_gt()),
        Operator::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
    }
}
