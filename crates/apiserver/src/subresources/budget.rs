//! Whether a disruption budget lets a pod be evicted: the question that pods/eviction asks first. A healthy pod that may
//! go is counted on the budget at once, so that two evictions never share what is left for one.

use api::status::{About, Cause, Details};
use api::{Key, Status};
use serde_json::{Value, json};

use crate::resources::policy::poddisruptionbudget::GVR;
use crate::tree;
use crate::verbs::{self, Call, CommitError, Existing, Expect};

const ATTEMPTS_MAX: usize = 16;
/// Evictions that the budget's controller has not yet seen done.
const DISRUPTED_MAX: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// How a pod may go.
pub(super) enum Leave {
    /// No budget speaks of it, or the budget has counted it.
    Free,
    /// It is not ready, so the budget of this name lets it go as it is now, and only so.
    AsItIs(String),
}

pub(super) async fn ask(call: &Call, pod: &Value, dry_run: bool) -> Result<Leave, Status> {
    let Some(key) = budget_of(call, pod)? else { return Ok(Leave::Free) };
    let Some(budgets) = at_budgets(call) else { return Ok(Leave::Free) };
    for _ in 0..ATTEMPTS_MAX {
        let Some(existing) = Existing::read(&budgets, &key).await? else { return Ok(Leave::Free) };
        let mut budget = existing.tree.clone();
        if !is_ready(pod) && lets_unready_go(&budget) {
            return Ok(Leave::AsItIs(key.name.to_string()));
        }
        count(&mut budget, call, tree::text(pod, "metadata.name"))?;
        if dry_run {
            return Ok(Leave::Free);
        }
        let bytes = verbs::encode(&budgets, &budget);
        match verbs::put(&budgets, &key, Expect::At(existing.revision), bytes).await {
            Ok(_) => return Ok(Leave::Free),
            Err(CommitError::Conflict | CommitError::Outrun) => {}
            Err(CommitError::Failed(status)) => return Err(status),
        }
    }
    let why = format!("couldn't update PodDisruptionBudget {:?} due to conflicts", key.name);
    let details = Details { retry_after_seconds: 10, ..Details::default() };
    Err(Status::failure(504, "Timeout", format!("Timeout: {why}")).with_details(details))
}

/// The call as if it were for budgets.
fn at_budgets(call: &Call) -> Option<Call> {
    let resource = call.engine.registry().get(&GVR)?.clone();
    Some(Call {
        engine: call.engine.clone(),
        stored: resource.clone(),
        cache: call.engine.caches().get(&GVR)?.clone(),
        resource,
        context: call.context.clone(),
        form: call.form,
        warnings: Vec::new(),
    })
}

/// The one budget that selects the pod. Upstream's eviction knows no answer where there are several.
fn budget_of(call: &Call, pod: &Value) -> Result<Option<Key>, Status> {
    let Some(table) = call.engine.table(&GVR) else { return Ok(None) };
    let labels = tree::at(pod, "metadata.labels");
    let mut found: Vec<Key> = Vec::new();
    for object in table.in_namespace(tree::text(pod, "metadata.namespace")) {
        let budget = object.tree().map_err(Status::internal)?;
        // A selector that cannot be read selects nothing.
        let selector = api::selector::LabelSelector::from_object(tree::at(&budget, "spec.selector"));
        if selector.is_ok_and(|selector| selector.matches_tree(labels)) {
            found.push(object.key());
        }
    }
    if found.len() > 1 {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Status::failure(500, "", why));
    }
    Ok(found.pop())
}

fn is_ready(pod: &Value) -> bool {
    let ready = |one: &&Value| tree::text(one, "type") == "Ready";
    tree::list(pod, "status.conditions").iter().find(ready).is_some_and(|one| tree::text(one, "status") == "True")
}

fn lets_unready_go(budget: &Value) -> bool {
    let number = |field: &str| tree::int(budget, &format!("status.{field}")).unwrap_or_default();
    let desired = number("desiredHealthy");
    tree::text(budget, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow"
        || (number("currentHealthy") >= desired && desired > 0)
}

/// Takes one disruption from what the budget still allows, for this pod.
fn count(budget: &mut Value, call: &Call, pod: &str) -> Result<(), Status> {
    let name = tree::text(budget, "metadata.name").to_owned();
    let number = |field: &str| tree::int(budget, field).unwrap_or_default();
    let allowed = number("status.disruptionsAllowed");
    let forbidden = |why: &str| {
        let about = About { group: &GVR.group, resource: "poddisruptionbudget", name: &name };
        Status::forbidden(about, why)
    };
    if number("status.observedGeneration") < number("metadata.generation") {
        return Err(still_processed(&name));
    }
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = tree::at(budget, "status.disruptedPods").and_then(Value::as_object).map_or(0, |pods| pods.len());
    if disrupted > DISRUPTED_MAX {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        let mut conditions = tree::list(budget, "status.conditions").iter();
        let condition = conditions.find(|one| tree::text(one, "type") == "DisruptionAllowed");
        let unsynced = condition.filter(|one| tree::text(one, "reason") == "SyncFailed");
        let why = match unsynced {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                tree::text(condition, "message")
            ),
            None => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                number("status.desiredHealthy"),
                number("status.currentHealthy")
            ),
        };
        return Err(refused(why, 0));
    }
    tree::set(budget, "status.disruptionsAllowed", allowed - 1);
    let now = verbs::timestamp(call.now());
    if allowed == 1 {
        exhausted(budget, &now);
    }
    tree::map_mut(budget, "status.disruptedPods").insert(pod.to_owned(), now.into());
    Ok(())
}

/// Says on the budget that nothing is left.
fn exhausted(budget: &mut Value, now: &str) {
    let generation = tree::int(budget, "status.observedGeneration").unwrap_or_default();
    let conditions = tree::list_mut(budget, "status.conditions");
    let mut new = json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "lastTransitionTime": now, "observedGeneration": generation,
    });
    match conditions.iter_mut().find(|one| tree::text(one, "type") == "DisruptionAllowed") {
        Some(present) => {
            if tree::text(present, "status") == "False" {
                tree::copy(&mut new, present, "lastTransitionTime");
            }
            *present = new;
        }
        None => conditions.push(new),
    }
}

pub(super) fn still_processed(budget: &str) -> Status {
    refused(format!("The disruption budget {budget} is still being processed by the server."), 10)
}

fn refused(why: String, retry_after_seconds: u32) -> Status {
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message: why, field: String::new() };
    let details = Details { causes: vec![cause], retry_after_seconds, ..Details::default() };
    Status::failure(429, "TooManyRequests", REFUSED).with_details(details)
}
