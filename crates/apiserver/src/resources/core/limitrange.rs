//! LimitRange: how much each pod or claim of a namespace may ask for.

use api::Gvr;

use super::limitrange_rules;
use crate::resource::{Hooks, Resource, Scope};

pub fn resource() -> Resource {
    let gvr = Gvr::new("", "v1", "limitranges");
    Resource {
        create_on_update: true,
        short_names: vec!["limits".into()],
        hooks: Hooks { validate: Some(limitrange_rules::validate), ..Hooks::default() },
        ..Resource::new(gvr, "LimitRange", "limitrange", Scope::Namespaced, "io.k8s.api.core.v1.LimitRange")
    }
}
