//! ServiceAccount: the identity of pods.

use api::Gvr;

use crate::resource::{Column, Resource, Scope, Subresource};
use crate::tree;

pub fn resource() -> Resource {
    let gvr = Gvr::new("", "v1", "serviceaccounts");
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
        ..Resource::new(gvr, "ServiceAccount", "serviceaccount", Scope::Namespaced, "io.k8s.api.core.v1.ServiceAccount")
    }
}
