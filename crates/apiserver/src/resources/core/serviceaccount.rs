//! ServiceAccount: the identity of pods.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::resource::{Column, Resource, Subresource};
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
        ..Resource::of::<ServiceAccount>()
    }
}
