//! Values while an expression is evaluated. What comes from an object is looked at in place, never copied.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::ast::Literal;
use crate::library::opaque::Opaque;
use crate::schema::{Decl, ListKind};
use crate::types::Type;
use crate::view;

#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    Bytes(Arc<[u8]>),
    /// In nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    List(Rc<Vec<Value<'a>>>),
    Map(Rc<BTreeMap<Key<'a>, Value<'a>>>),
    /// An array or an object of the outside, with what its schema says of it.
    Data(&'a Json, &'a Decl),
    Type(Type),
    Optional(Option<Rc<Value<'a>>>),
    Opaque(Rc<Opaque>),
}

/// A text of the outside or one that was made.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// The key of a map. Integers are one key whether signed or not.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    Bool(bool),
    Number { value: i128, unsigned: bool },
    Text(Text<'a>),
}

impl Key<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Number { .. } => 1,
            Self::Text(_) => 2,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number { value: a, .. }, Self::Number { value: b, .. }) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => (**a).cmp(&**b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

impl<'a> Key<'a> {
    /// The key that a value is; a double is one when it is whole.
    pub fn of(value: &Value<'a>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Number { value: i128::from(*value), unsigned: false },
            Value::Uint(value) => Self::Number { value: i128::from(*value), unsigned: true },
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 1e19 => {
                #[allow(clippy::cast_possible_truncation)] // It is whole and in range.
                let value = *value as i128;
                Self::Number { value, unsigned: false }
            }
            Value::Text(text) => Self::Text(text.clone()),
            _ => return None,
        })
    }

    pub fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Number { value, unsigned: false } => Value::Int(i64::try_from(*value).unwrap_or(i64::MAX)),
            Self::Number { value, unsigned: true } => Value::Uint(u64::try_from(*value).unwrap_or(u64::MAX)),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

impl<'a> Value<'a> {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    pub fn literal(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Uint(value) => Self::Uint(*value),
            Literal::Double(value) => Self::Double(*value),
            Literal::Text(text) => Self::Text(Text::Borrowed(text)),
            Literal::Bytes(bytes) => Self::Bytes(bytes.clone()),
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The type of a value, without what it is made of.
    pub fn ty(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::List(_) | Self::Data(Json::Array(_), _) => Type::list(Type::Dyn),
            Self::Data(_, decl) => match &decl.ty {
                object @ Type::Object(_) => object.clone(),
                _ => Type::map(Type::Dyn, Type::Dyn),
            },
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Type(_) => Type::of_type(Type::Dyn),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Opaque(opaque) => Type::Opaque(opaque.type_name()),
        }
    }

    /// Items, characters, bytes or entries; `None` for what has no size.
    pub fn size(&self) -> Option<usize> {
        Some(match self {
            Self::Text(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.len(),
            Self::Map(entries) => entries.len(),
            Self::Data(Json::Array(items), _) => items.len(),
            Self::Data(Json::Object(fields), decl) => view::visible(fields, decl),
            Self::Opaque(opaque) => opaque.size()?,
            _ => return None,
        })
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_) | Self::Data(Json::Array(_), _))
    }

    pub fn is_map(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Data(Json::Object(_), _))
    }

    /// The items of a list.
    pub fn items(&self) -> Vec<Self> {
        match self {
            Self::List(items) => items.to_vec(),
            Self::Data(Json::Array(items), decl) => items.iter().map(|item| view::item(item, decl)).collect(),
            _ => Vec::new(),
        }
    }

    pub fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::List(items) => items.get(index).cloned(),
            Self::Data(Json::Array(items), decl) => items.get(index).map(|item| view::item(item, decl)),
            _ => None,
        }
    }

    /// The keys of a map.
    pub fn keys(&self) -> Vec<Self> {
        match self {
            Self::Map(entries) => entries.keys().map(Key::value).collect(),
            Self::Data(Json::Object(fields), decl) => view::keys(fields, decl),
            _ => Vec::new(),
        }
    }

    /// What a map has under a key.
    pub fn entry(&self, key: &Self) -> Option<Self> {
        match self {
            Self::Map(entries) => entries.get(&Key::of(key)?).cloned(),
            Self::Data(Json::Object(fields), decl) => view::field(fields, decl, key.as_text()?),
            _ => None,
        }
    }

    /// Equality across numeric types; values of different types are simply not equal.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => **a == **b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a.name() == b.name(),
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (None, None) => true,
                _ => false,
            },
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (a, b) if a.is_list() && b.is_list() => lists_equal(a, b),
            (a, b) if a.is_map() && b.is_map() => {
                let same = |key: &Self| match (a.entry(key), b.entry(key)) {
                    (Some(a), Some(b)) => a.equals(&b),
                    _ => false,
                };
                a.size() == b.size() && a.keys().iter().all(same)
            }
            _ => self.compare(other).is_some_and(Ordering::is_eq),
        }
    }

    /// The order of what has one.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        #[allow(clippy::cast_precision_loss)] // So upstream compares integers with doubles, but for the great ones.
        Some(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Uint(a), Self::Uint(b)) => a.cmp(b),
            (Self::Int(a), Self::Uint(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Self::Uint(a), Self::Int(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b)?,
            (Self::Double(a), Self::Int(b)) => a.partial_cmp(&(*b as f64))?,
            (Self::Double(a), Self::Uint(b)) => a.partial_cmp(&(*b as f64))?,
            (Self::Int(a), Self::Double(b)) => (*a as f64).partial_cmp(b)?,
            (Self::Uint(a), Self::Double(b)) => (*a as f64).partial_cmp(b)?,
            (Self::Text(a), Self::Text(b)) => (**a).cmp(&**b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            _ => return None,
        })
    }

    pub fn is_in(&self, list: &Self) -> bool {
        match list {
            Self::List(items) => items.iter().any(|item| item.equals(self)),
            Self::Data(Json::Array(items), decl) => items.iter().any(|item| view::item(item, decl).equals(self)),
            _ => false,
        }
    }

    /// Whether it is the value that its type starts with.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) | Self::Duration(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::Timestamp(value) => *value == Timestamp::UNIX_EPOCH,
            Self::Optional(value) => value.is_none(),
            Self::Type(_) | Self::Opaque(_) => false,
            _ => self.size() == Some(0),
        }
    }
}

/// Sets are equal in any order, and so are lists by key.
fn lists_equal<'a>(a: &Value<'a>, b: &Value<'a>) -> bool {
    if a.size() != b.size() {
        return false;
    }
    let unordered = |value: &Value<'_>| match value {
        Value::Data(_, decl) => !matches!(decl.list_kind(), ListKind::Atomic),
        _ => false,
    };
    if unordered(a) || unordered(b) {
        return a.items().iter().all(|item| item.is_in(b)) && b.items().iter().all(|item| item.is_in(a));
    }
    let count = a.size().unwrap_or_default();
    (0..count).all(|index| match (a.item(index), b.item(index)) {
        (Some(a), Some(b)) => a.equals(&b),
        _ => false,
    })
}
