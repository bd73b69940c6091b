//! ServiceAccount: the identity of pods.

use api::validation::Path;
use k8s_openapi::api::core::v1::ServiceAccount;
use serde_json::Value;

use crate::resource::{Column, Hooks, Resource, Subresource};
use crate::resources::warnings::annotation;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["sa".into()],
        subresources: &[Subresource::Token],
        returns_deleted: true,
        columns: const {
            &[
                Column::text("Secrets", "io.k8s.api.core.v1.ServiceAccount.secrets", |object, _| {
                    tree::list(object, "secrets").len().into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks { warn: Some(warn), ..Hooks::default() },
        ..Resource::of::<ServiceAccount>()
    }
}

/// Whoever sets the annotation anew is told what to do instead.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    const ENFORCED: (&str, &str) = (
        "kubernetes.io/enforce-mountable-secrets",
        "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets",
    );
    let warning = |account| annotation(account, ENFORCED, &Path::default());
    if old.and_then(warning).is_some() { Vec::new() } else { warning(new).into_iter().collect() }
}
