//! ResourceClaimTemplate: the claims that pods get for themselves.

use api::Gvr;

use super::rules;
use crate::resource::{Column, Hooks, Resource, Scope};

pub fn resource() -> Resource {
    let gvr = Gvr::new("resource.k8s.io", "v1", "resourceclaimtemplates");
    Resource {
        returns_deleted: true,
        columns: const { &[Column::age()] },
        hooks: Hooks {
            validate_create: Some(rules::template_create),
            validate_update: Some(rules::spec_stays),
            ..Hooks::default()
        },
        ..Resource::new(
            gvr,
            "ResourceClaimTemplate",
            "resourceclaimtemplate",
            Scope::Namespaced,
            "io.k8s.api.resource.v1.ResourceClaimTemplate",
        )
    }
}
