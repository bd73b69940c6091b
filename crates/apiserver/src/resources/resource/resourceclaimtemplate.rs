//! ResourceClaimTemplate: the claims that pods get for themselves.

use k8s_openapi::api::resource::v1::ResourceClaimTemplate;

use super::rules;
use crate::resource::{Column, Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        returns_deleted: true,
        columns: const { &[Column::age()] },
        hooks: Hooks {
            validate_create: Some(rules::template_create),
            validate_update: Some(rules::spec_stays),
            ..Hooks::default()
        },
        ..Resource::of::<ResourceClaimTemplate>()
    }
}
