//! The EndpointSlices of one owner, brought to hold what they shall.
//!
//! A plan changes as few slices as it can, because every change is sent to every node: endpoints stay in the slice they
//! are in, removed ones leave gaps, and new ones fill the fullest slice with room.

use std::collections::BTreeMap;

use api::{Gvr, Key, Object};
use cache::index::BY_SERVICE;
use cache::{Action, Plan, PlanError, Precondition, Snapshot, Step};
use serde_json::{Value, json};

use crate::owners::controller_reference;
use crate::tree::{Tree, set, tree_of, without_nulls};

pub(crate) const ENDPOINT_SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Slices of one address family and one set of ports.
pub(crate) type Group = (String, String);

pub(crate) fn group_of(family: &str, ports: &Value) -> Group {
    let mut ports = ports.as_array().cloned().unwrap_or_default();
    ports.sort_by_key(Value::to_string);
    (family.to_owned(), Value::Array(ports).to_string())
}

/// A Service's slices that are `ours`, by group.
pub(crate) fn present(
    snapshot: &Snapshot,
    service: &Key,
    ours: fn(&Object) -> bool,
) -> Result<BTreeMap<Group, Vec<Value>>, PlanError> {
    let mut slices = BTreeMap::<Group, Vec<Value>>::new();
    let place = service.to_string();
    for slice in snapshot.by_index(&ENDPOINT_SLICES, BY_SERVICE.name, &place).filter(|slice| ours(slice)) {
        let tree = tree_of(slice)?;
        slices.entry(group_of(tree.text("addressType"), tree.at("ports"))).or_default().push(tree);
    }
    Ok(slices)
}

/// What all slices of an owner have in common.
pub(crate) struct Slices<'a> {
    pub owner: &'a Object,
    pub labels: Value,
    /// Where the owner's are copied: null if it has none.
    pub annotations: Option<Value>,
    /// By what an endpoint is known again.
    pub identity: fn(&Value) -> String,
    pub endpoints_max: usize,
}

impl Slices<'_> {
    /// The writes that make the present slices hold exactly the wanted endpoints. A wanted group without endpoints has one
    /// empty slice.
    pub fn plan(&self, mut present: BTreeMap<Group, Vec<Value>>, wanted: BTreeMap<Group, Vec<Value>>) -> Plan {
        let mut plan = Plan::nothing();
        for (group, endpoints) in &wanted {
            let slices = present.remove(group).unwrap_or_default();
            self.fill(&mut plan, group, endpoints, &slices);
        }
        for slice in present.into_values().flatten() {
            plan.push(delete(&slice));
        }
        plan
    }

    fn fill(&self, plan: &mut Plan, group: &Group, endpoints: &[Value], slices: &[Value]) {
        let mut missing: BTreeMap<String, &Value> =
            endpoints.iter().map(|endpoint| ((self.identity)(endpoint), endpoint)).collect();
        let mut contents: Vec<Vec<Value>> = Vec::new();
        for slice in slices.iter() {
            // What is still wanted stays where it is, in its newest form.
            let old = slice.items("endpoints").iter();
            let kept = old.filter_map(|endpoint| missing.remove(&(self.identity)(endpoint)).cloned());
            contents.push(kept.collect());
        }
        let mut missing: Vec<Value> = missing.into_values().cloned().collect();
        let mut by_fill: Vec<usize> = (0..slices.len()).collect();
        by_fill.sort_by_key(|index| std::cmp::Reverse(contents[*index].len()));
        for index in by_fill {
            let room = self.endpoints_max.saturating_sub(contents[index].len()).min(missing.len());
            contents[index].extend(missing.drain(..room));
        }
        let mut kept_any = false;
        for (slice, content) in slices.iter().zip(contents) {
            let is_last = !kept_any && endpoints.is_empty();
            if content.is_empty() && !is_last {
                plan.push(delete(slice));
                continue;
            }
            kept_any = true;
            plan.steps.extend(self.update(slice, content));
        }
        while !missing.is_empty() || (endpoints.is_empty() && !kept_any) {
            kept_any = true;
            let some: Vec<Value> = missing.drain(..missing.len().min(self.endpoints_max)).collect();
            plan.push(self.create(group, some));
        }
    }

    fn update(&self, slice: &Value, endpoints: Vec<Value>) -> Option<Step> {
        let is_same = slice.items("endpoints") == endpoints.as_slice()
            && *slice.at("metadata.labels") == self.labels
            && self.annotations.as_ref().is_none_or(|wanted| slice.at("metadata.annotations") == wanted);
        if is_same {
            return None;
        }
        let mut object = slice.clone();
        object["endpoints"] = Value::Array(endpoints);
        set(&mut object, "metadata.labels", self.labels.clone());
        if let Some(annotations) = &self.annotations {
            set(&mut object, "metadata.annotations", annotations.clone());
        }
        let key = Key::new(object.text("metadata.namespace"), object.text("metadata.name"));
        Some(Action::Update { resource: ENDPOINT_SLICES, key, subresource: "".into(), object }.into())
    }

    fn create(&self, group: &Group, endpoints: Vec<Value>) -> Step {
        let ports: Value = serde_json::from_str(&group.1).unwrap_or_default();
        let namespace = self.owner.namespace();
        let metadata = without_nulls(&json!({
            "generateName": format!("{}-", self.owner.name()),
            "namespace": namespace,
            "labels": self.labels,
            "annotations": self.annotations,
            "ownerReferences": [controller_reference(self.owner)],
        }));
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": group.0,
            "endpoints": endpoints,
            "ports": ports,
        });
        Action::Create { resource: ENDPOINT_SLICES, namespace: namespace.into(), object }.into()
    }
}

fn delete(slice: &Value) -> Action {
    Action::Delete {
        resource: ENDPOINT_SLICES,
        key: Key::new(slice.text("metadata.namespace"), slice.text("metadata.name")),
        precondition: Precondition { uid: Some(slice.text("metadata.uid").into()), revision: None },
        propagation: None,
        grace_period_secs: None,
    }
}
