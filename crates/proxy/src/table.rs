//! All services' rules, and what changes between two states of one: additions and removals of elements.

use std::collections::BTreeMap;

use api::Key as ServiceKey;

use crate::rule::{Key, Rules, Value};

/// What one transaction does to the ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    pub removed: Rules,
    pub added: Rules,
}

impl Delta {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// The rules of every service. Elements that several services share (an endpoint's hairpin) are counted.
#[derive(Default)]
pub struct ServiceTable {
    services: BTreeMap<ServiceKey, Rules>,
    union: BTreeMap<Key, (Value, u32)>,
}

impl ServiceTable {
    /// Replaces the rules of one service (an empty set removes it); tells what changed in the union.
    pub fn put(&mut self, service: &ServiceKey, rules: Rules) -> Delta {
        let before = self.services.remove(service).unwrap_or_default();
        let mut delta = Delta::default();
        for (key, value) in &before {
            if rules.get(key) != Some(value) {
                self.drop_one(*key, value, &mut delta);
            }
        }
        for (key, value) in &rules {
            if before.get(key) != Some(value) {
                self.add_one(*key, value, &mut delta);
            }
        }
        if !rules.is_empty() {
            self.services.insert(service.clone(), rules);
        }
        delta
    }

    /// Everything, for a first load and for the tracer.
    pub fn rules(&self) -> Rules {
        self.union.iter().map(|(key, (value, _))| (*key, value.clone())).collect()
    }

    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    fn drop_one(&mut self, key: Key, value: &Value, delta: &mut Delta) {
        match self.union.get_mut(&key) {
            Some((_, count)) if *count > 1 => *count -= 1,
            _ => {
                self.union.remove(&key);
                delta.removed.insert(key, value.clone());
            }
        }
    }

    fn add_one(&mut self, key: Key, value: &Value, delta: &mut Delta) {
        let (kept, count) = self.union.entry(key).or_insert_with(|| (value.clone(), 0));
        *count += 1;
        if *count == 1 {
            delta.added.insert(key, value.clone());
        } else if kept != value {
            // Two services claim one front; the API server allocates addresses so that this cannot stay. The later one wins.
            delta.removed.insert(key, kept.clone());
            *kept = value.clone();
            delta.added.insert(key, value.clone());
        }
    }
}
