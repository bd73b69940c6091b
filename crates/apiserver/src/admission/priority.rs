//! Priority: a pod's class as a number, and one default class at most.

use api::{Gvr, Status};
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::resources::scheduling::priorityclass::SYSTEM;
use crate::tree;

pub const PLUGIN: Plugin = Plugin { name: "Priority", mutate: Some(mutate), validate: Some(validate) };

const CLASSES: Gvr = Gvr::new("scheduling.k8s.io", "v1", "priorityclasses");
const PREEMPTS: &str = "PreemptLowerPriority";

/// What a class gives to its pods.
struct Class {
    name: String,
    value: i64,
    preemption: String,
}

impl Class {
    fn of(tree: &Value) -> Self {
        let preemption = tree::text(tree, "preemptionPolicy");
        Self {
            name: tree::text(tree, "metadata.name").to_owned(),
            value: tree::int(tree, "value").unwrap_or_default(),
            preemption: if preemption.is_empty() { PREEMPTS } else { preemption }.to_owned(),
        }
    }
}

fn find(attributes: &Attributes<'_>, name: &str) -> Option<Class> {
    if let Some(class) = attributes.cached(&CLASSES, "", name).and_then(|class| class.tree().ok()) {
        return Some(Class::of(&class));
    }
    // A server that is still starting has its own classes already.
    let (name, value, _) = SYSTEM.iter().find(|(known, ..)| *known == name)?;
    Some(Class { name: (*name).to_owned(), value: *value, preemption: PREEMPTS.to_owned() })
}

/// The class of pods that name none; of several, the lowest.
fn default_class(attributes: &Attributes<'_>) -> Option<Class> {
    let table = attributes.engine.table(&CLASSES)?;
    // Hardly any class is one, which its bytes tell without a tree.
    let may_be = table.iter().filter(|class| String::from_utf8_lossy(class.json()).contains("\"globalDefault\":true"));
    let trees = may_be.filter_map(|class| class.tree().ok());
    let defaults = trees.filter(|class| tree::flag(class, "globalDefault")).map(|class| Class::of(&class));
    defaults.min_by_key(|class| class.value)
}

fn mutate(attributes: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    if attributes.is("", "pods") && attributes.operation == Operation::Update {
        // What was computed at creation stays, even if the writer leaves it out.
        for field in ["spec.priority", "spec.preemptionPolicy"] {
            if let (false, Some(old)) = (tree::is_set(pod, field), attributes.old) {
                tree::copy(pod, old, field);
            }
        }
        return Ok(());
    }
    if !attributes.creates_pod() {
        return Ok(());
    }
    let asked = tree::text(pod, "spec.priorityClassName").to_owned();
    let class = if asked.is_empty() {
        default_class(attributes)
    } else {
        let why = format!("no PriorityClass with name {asked} was found");
        Some(find(attributes, &asked).ok_or_else(|| attributes.forbidden(&why))?)
    };
    let class = class.unwrap_or_else(|| Class { name: String::new(), value: 0, preemption: PREEMPTS.to_owned() });
    if let Some(number) = tree::int(pod, "spec.priority").filter(|number| *number != class.value) {
        let why = format!(
            "the integer value of priority ({number}) must not be provided in pod spec; priority admission controller \
             computed {} from the given PriorityClass name",
            class.value
        );
        return Err(attributes.forbidden(&why));
    }
    let policy = tree::text(pod, "spec.preemptionPolicy");
    if !policy.is_empty() && policy != class.preemption {
        let why = format!(
            "the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; priority admission \
             controller computed {} from the given PriorityClass name",
            class.preemption
        );
        return Err(attributes.forbidden(&why));
    }
    if !class.name.is_empty() {
        tree::set(pod, "spec.priorityClassName", class.name);
    }
    tree::set(pod, "spec.priority", class.value);
    tree::set(pod, "spec.preemptionPolicy", class.preemption);
    Ok(())
}

fn validate(attributes: &Attributes<'_>, class: &Value) -> Result<(), Status> {
    let writes = attributes.operation != Operation::Delete && attributes.is("scheduling.k8s.io", "priorityclasses");
    if !writes || !tree::flag(class, "globalDefault") {
        return Ok(());
    }
    match default_class(attributes) {
        Some(other) if attributes.operation == Operation::Create || other.name != attributes.name => {
            let name = other.name;
            let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(attributes.forbidden(&why))
        }
        _ => Ok(()),
    }
}
