//! admissionregistration.k8s.io: who else may change or refuse what is written.

mod match_rules;
pub mod mutatingadmissionpolicy;
pub mod mutatingadmissionpolicybinding;
pub mod mutatingwebhookconfiguration;
mod policy_rules;
pub mod validatingadmissionpolicy;
pub mod validatingadmissionpolicybinding;
pub mod validatingwebhookconfiguration;
mod webhook_rules;

use serde_json::Value;

use super::cells;
use crate::resource::{BuiltIn, Column, Hooks, Resource};
use crate::subresources::scale::selector_text;
use crate::tree;

/// What all kinds of this group have in common.
fn extension<K: BuiltIn>(columns: &'static [Column], hooks: Hooks) -> Resource {
    Resource {
        unconditional_update: false,
        categories: vec!["api-extensions".into()],
        generation: true,
        columns,
        hooks,
        ..Resource::of::<K>()
    }
}

/// A configuration of webhooks.
fn webhooks<K: BuiltIn>(hooks: Hooks) -> Resource {
    let columns = const {
        &[
            Column::integer(
                "Webhooks",
                "Webhooks indicates the number of webhooks registered in this configuration",
                |o, _| cells::count(o, "webhooks"),
            ),
            Column::age(),
        ]
    };
    extension::<K>(columns, hooks)
}

/// A binding of a policy.
fn binding<K: BuiltIn>(hooks: Hooks) -> Resource {
    let columns = const {
        &[
            Column::text(
                "PolicyName",
                "PolicyName indicates the policy definition which the policy binding binded to",
                |o, _| tree::text(o, "spec.policyName").into(),
            ),
            Column::text(
                "ParamRef",
                "ParamRef specifies the parameter resource used to configure the admission control policy",
                |o, _| param_ref(o),
            ),
            Column::age(),
        ]
    };
    extension::<K>(columns, hooks)
}

/// The cell of a policy's kind of parameters.
fn param_kind(policy: &Value) -> Value {
    let Some(kind) = tree::at(policy, "spec.paramKind") else { return cells::UNSET.into() };
    format!("{}/{}", tree::text(kind, "apiVersion"), tree::text(kind, "kind")).into()
}

/// The cell of a binding's parameters.
fn param_ref(binding: &Value) -> Value {
    let Some(reference) = tree::at(binding, "spec.paramRef") else { return cells::UNSET.into() };
    match (tree::text(reference, "name"), tree::text(reference, "namespace")) {
        ("", _) => match reference.get("selector") {
            Some(selector) => selector_text(Some(selector)).into(),
            None => cells::UNSET.into(),
        },
        (name, "") => format!("*/{name}").into(),
        (name, namespace) => format!("{namespace}/{name}").into(),
    }
}
