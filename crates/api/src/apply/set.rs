//! Sets of fields: who owns what, in the form of `FieldsV1`.
//!
//! A set is a trie whose steps are the texts that upstream writes: `f:name` a field, `k:{...}` an item of a list by its
//! keys, `v:...` an item of a set, `i:n` an item by position; `.` says that the node itself belongs to the set. Canonical
//! JSON in the steps makes equal steps equal texts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map as Json, Value};

/// Deeper sets are cut off when they are read.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether the node itself is a member.
    pub own: bool,
    pub children: BTreeMap<String, Set>,
}

impl Set {
    /// Reads `FieldsV1`. Steps that are not understood are left out.
    pub fn parse(fields: &Value) -> Self {
        let mut set = Self::default();
        set.read(fields, DEPTH_MAX);
        set
    }

    fn read(&mut self, fields: &Value, depth: usize) {
        let Some(entries) = fields.as_object().filter(|_| depth > 0) else { return };
        for (step, below) in entries {
            let Some(step) = canonical(step) else { continue };
            let child = self.children.entry(step).or_default();
            let leaf = below.as_object().is_none_or(Json::is_empty);
            child.own |= leaf || below.get(".").is_some();
            child.read(below, depth - 1);
        }
    }

    /// Writes `FieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut fields = Json::new();
        for (step, child) in &self.children {
            let mut below = child.to_json();
            if child.own
                && let Value::Object(entries) = &mut below
                && !entries.is_empty()
            {
                entries.insert(".".to_owned(), Value::Object(Json::new()));
            }
            fields.insert(step.clone(), below);
        }
        Value::Object(fields)
    }

    pub fn is_empty(&self) -> bool {
        !self.own && self.children.values().all(Self::is_empty)
    }

    pub fn insert(&mut self, path: &[String]) {
        let mut at = self;
        for step in path {
            at = at.children.entry(step.clone()).or_default();
        }
        at.own = true;
    }

    /// Puts a whole set at a path that has none yet.
    pub fn put(&mut self, path: &[String], set: Self) {
        let mut at = self;
        for step in path {
            at = at.children.entry(step.clone()).or_default();
        }
        *at = set;
    }

    pub fn union(&mut self, other: &Self) {
        self.own |= other.own;
        for (step, child) in &other.children {
            match self.children.get_mut(step) {
                Some(own) => own.union(child),
                None => drop(self.children.insert(step.clone(), child.clone())),
            }
        }
    }

    /// Takes away the members of the other set.
    pub fn subtract(&mut self, other: &Self) {
        self.own &= !other.own;
        for (step, gone) in &other.children {
            if let Some(child) = self.children.get_mut(step) {
                child.subtract(gone);
                if child.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, child)| {
            let rest = other.children.get(step).map_or_else(|| child.clone(), |other| child.difference(other));
            (!rest.is_empty()).then(|| (step.clone(), rest))
        });
        Self { own: self.own && !other.own, children: children.collect() }
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, child)| {
            let common = child.intersection(other.children.get(step)?);
            (!common.is_empty()).then(|| (step.clone(), common))
        });
        Self { own: self.own && other.own, children: children.collect() }
    }

    /// Takes away the member at a path of steps; what hangs below it stays.
    pub fn disown(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return self.own = false };
        if let Some(child) = self.children.get_mut(*first) {
            child.disown(rest);
            if child.is_empty() {
                self.children.remove(*first);
            }
        }
    }

    /// Takes away a field named by a dotted path, with all below it.
    pub fn remove_field(&mut self, path: &str) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let step = format!("f:{first}");
        match rest {
            None => drop(self.children.remove(&step)),
            Some(rest) => {
                if let Some(child) = self.children.get_mut(&step) {
                    child.remove_field(rest);
                    if child.is_empty() {
                        self.children.remove(&step);
                    }
                }
            }
        }
    }

    /// The members as upstream prints paths: `.spec.containers[name="c"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.print(String::new(), &mut paths);
        paths
    }

    fn print(&self, at: String, paths: &mut Vec<String>) {
        if self.own {
            paths.push(at.clone());
        }
        for (step, child) in &self.children {
            child.print(format!("{at}{}", print_step(step)), paths);
        }
    }
}

fn print_step(step: &str) -> String {
    let (kind, text) = step.split_at(2);
    match kind {
        "f:" => format!(".{text}"),
        "i:" => format!("[{text}]"),
        "v:" => format!("[={text}]"),
        _ => {
            let mut keys = String::new();
            if let Ok(Value::Object(entries)) = serde_json::from_str(text) {
                for (name, value) in &entries {
                    let comma = if keys.is_empty() { "" } else { "," };
                    // Writing to a String cannot fail.
                    write!(keys, "{comma}{name}={value}").ok();
                }
            }
            format!("[{keys}]")
        }
    }
}

/// A step with its JSON in canonical form; `None` if it is no step.
fn canonical(step: &str) -> Option<String> {
    let (kind, text) = step.split_at_checked(2)?;
    match kind {
        "f:" | "i:" => Some(step.to_owned()),
        "k:" | "v:" => Some(format!("{kind}{}", serde_json::from_str::<Value>(text).ok()?)),
        _ => None,
    }
}
