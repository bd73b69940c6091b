//! ResourceQuota: nothing new beyond what the namespace may use. What an object uses is added to the quotas' status in
//! the very commit that writes the object, so that neither is ever there without the other. What a deletion gives back,
//! and what a new quota finds, the quota controller counts.

use std::collections::BTreeSet;

use api::quantity::Quantity;
use api::usage::{Amounts, amounts, concerns, in_scope, unsaid, usage};
use api::{Gvr, Key, Revision, Status};
use serde_json::Value;

use super::{Attributes, Operation};
use crate::tree;

pub const QUOTAS: Gvr = Gvr::new("", "v1", "resourcequotas");

/// A quota as it is once the object is written.
pub struct Charge {
    pub key: Key,
    pub revision: Revision,
    pub quota: Value,
}

/// Whether the write can use more than before. Events are never counted.
fn counts(attributes: &Attributes<'_>) -> bool {
    let gvr = &attributes.resource.gvr;
    let (group, resource) = (&*gvr.group, &*gvr.resource);
    match (attributes.operation, attributes.subresource) {
        (Operation::Create, "") => resource != "events" && attributes.resource.is_namespaced(),
        (Operation::Update, "") => group.is_empty() && matches!(resource, "services" | "persistentvolumeclaims"),
        (Operation::Update, "resize") => group.is_empty() && resource == "pods",
        _ => false,
    }
}

/// What writing the object means for the quotas of its namespace, or why they forbid it.
pub fn charge(attributes: &Attributes<'_>, object: &Value) -> Result<Vec<Charge>, Status> {
    let mut charges = Vec::new();
    if !counts(attributes) {
        return Ok(charges);
    }
    let Some(table) = attributes.engine.table(&QUOTAS) else { return Ok(charges) };
    let gvr = &attributes.resource.gvr;
    let mut found = Vec::new();
    for quota in table.in_namespace(attributes.namespace) {
        let tree = quota.tree().map_err(Status::internal)?;
        let hard = amounts(tree::at(&tree, "status.hard"));
        if hard.keys().any(|name| concerns(gvr, name)) && in_scope(&tree, gvr, object) {
            check_known(attributes, object, &tree, &hard)?;
            found.push((quota.key(), quota.revision(), tree, hard));
        }
    }
    if found.is_empty() {
        return Ok(charges);
    }
    let delta = delta(attributes, object)?;
    for (key, revision, mut quota, hard) in found {
        let more: Amounts =
            delta.iter().filter(|(name, _)| hard.contains_key(*name)).map(|(n, a)| (n.clone(), *a)).collect();
        if more.is_empty() {
            continue;
        }
        let mut used = amounts(tree::at(&quota, "status.used"));
        let before = used.clone();
        api::usage::add(&mut used, &more);
        let exceeded: BTreeSet<&String> = more.keys().filter(|name| used[*name] > hard[*name]).collect();
        if !exceeded.is_empty() {
            let show = |amounts: &Amounts| {
                let parts = exceeded
                    .iter()
                    .map(|name| format!("{name}={}", amounts.get(*name).copied().unwrap_or(Quantity::ZERO)));
                parts.collect::<Vec<_>>().join(",")
            };
            let name = &key.name;
            let (asked, used, limited) = (show(&more), show(&before), show(&hard));
            let why = format!("exceeded quota: {name}, requested: {asked}, used: {used}, limited: {limited}");
            return Err(attributes.forbidden(&why));
        }
        let shown: serde_json::Map<String, Value> =
            used.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())).collect();
        tree::set(&mut quota, "status.used", shown);
        charges.push(Charge { key, revision, quota });
    }
    Ok(charges)
}

/// A quota can only be kept if containers say what they need, and if somebody has counted.
fn check_known(attributes: &Attributes<'_>, object: &Value, quota: &Value, hard: &Amounts) -> Result<(), Status> {
    let name = tree::text(quota, "metadata.name");
    let gvr = &attributes.resource.gvr;
    if gvr.group.is_empty() && gvr.resource == "pods" {
        let unsaid = unsaid(object, hard);
        if !unsaid.is_empty() {
            return Err(attributes.forbidden(&format!("failed quota: {name}: must specify {unsaid}")));
        }
    }
    let used = amounts(tree::at(quota, "status.used"));
    let asked: Vec<&str> = hard.keys().filter(|name| concerns(gvr, name)).map(String::as_str).collect();
    if asked.iter().all(|name| used.contains_key(*name)) {
        return Ok(());
    }
    Err(attributes.forbidden(&format!("status unknown for quota: {name}, resources: {}", asked.join(","))))
}

/// How much more the object uses than what it replaces.
fn delta(attributes: &Attributes<'_>, object: &Value) -> Result<Amounts, Status> {
    let gvr = &attributes.resource.gvr;
    let now = attributes.engine.clock().now();
    let mut delta = usage(gvr, object, now);
    let negative: Vec<&str> =
        delta.iter().filter(|(_, amount)| **amount < Quantity::ZERO).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        let why = format!("quota usage is negative for resource(s): {}", negative.join(","));
        return Err(attributes.forbidden(&why));
    }
    if let Some(old) = attributes.old {
        for (name, amount) in usage(gvr, old, now) {
            let left = delta.get(&name).copied().unwrap_or(Quantity::ZERO) - amount;
            delta.insert(name, left);
        }
    }
    delta.retain(|_, amount| !amount.is_zero());
    Ok(delta)
}
