//! Binding: puts a pod on a node; the older form of pods/binding.

use k8s_openapi::api::core::v1::Binding;

use crate::resource::{Resource, Review};

pub fn resource() -> Resource {
    Resource::question::<Binding>(Review::Binding)
}
