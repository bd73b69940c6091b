//! Lease: a heartbeat, or a lock that runs out.

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::Value;

use crate::causes::{forbidden, invalid_value};
use crate::resource::{Column, Hooks, Resource};
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        buffered: true,
        create_on_update: true,
        unconditional_update: false,
        columns: const {
            &[
                Column::text("Holder", "io.k8s.api.coordination.v1.LeaseSpec.holderIdentity", |lease, _| {
                    tree::text(lease, "spec.holderIdentity").into()
                }),
                Column::age(),
            ]
        },
        hooks: Hooks { validate: Some(validate), ..Hooks::default() },
        ..Resource::of::<Lease>()
    }
}

fn validate(lease: &Value) -> Vec<api::status::Cause> {
    let mut causes = Vec::new();
    if let Some(secs) = tree::int(lease, "spec.leaseDurationSeconds").filter(|secs| *secs <= 0) {
        causes.push(invalid_value("spec.leaseDurationSeconds", &secs.into(), "must be greater than 0"));
    }
    if let Some(count) = tree::int(lease, "spec.leaseTransitions").filter(|count| *count < 0) {
        causes.push(invalid_value("spec.leaseTransitions", &count.into(), "must be greater than or equal to 0"));
    }
    let strategy = tree::text(lease, "spec.strategy");
    if !tree::text(lease, "spec.preferredHolder").is_empty() && strategy.is_empty() {
        causes.push(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"));
    }
    causes
}
