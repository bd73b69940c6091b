//! LimitRange: how much each pod or claim of a namespace may ask for.

use k8s_openapi::api::core::v1::LimitRange;

use super::limitrange_rules;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        create_on_update: true,
        short_names: vec!["limits".into()],
        hooks: Hooks { validate: Some(limitrange_rules::validate), ..Hooks::default() },
        ..Resource::of::<LimitRange>()
    }
}
