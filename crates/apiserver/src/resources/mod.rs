//! The built-in resources: one small file each, and one line here. The order is that of discovery.

pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod coordination;
pub mod core;
pub mod discovery;
pub mod events;
pub mod rbac;

use crate::resource::Resource;

/// Every built-in resource.
pub fn all() -> Vec<Resource> {
    vec![
        core::configmap::resource(),
        core::endpoints::resource(),
        core::event::resource(),
        core::namespace::resource(),
        core::node::resource(),
        core::pod::resource(),
        core::secret::resource(),
        core::service::resource(),
        core::serviceaccount::resource(),
        events::event::resource(),
        authentication::self_subject_review(),
        authentication::token_review(),
        authorization::local_subject_access_review(),
        authorization::self_subject_access_review(),
        authorization::self_subject_rules_review(),
        authorization::subject_access_review(),
        apps::deployment::resource(),
        apps::replicaset::resource(),
        coordination::lease::resource(),
        discovery::endpointslice::resource(),
        rbac::clusterrole::resource(),
        rbac::clusterrolebinding::resource(),
        rbac::role::resource(),
        rbac::rolebinding::resource(),
    ]
}
