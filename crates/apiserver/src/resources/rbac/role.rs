//! Role: what may be done in one namespace.

use api::validation::name::path_segment;
use k8s_openapi::api::rbac::v1::Role;

use super::validate_role;
use crate::resource::{Hooks, Resource};

pub fn resource() -> Resource {
    Resource {
        create_on_update: true,
        name_rule: path_segment,
        hooks: Hooks { validate: Some(validate_role), ..Hooks::default() },
        ..Resource::of::<Role>()
    }
}
