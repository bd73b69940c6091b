//! Binding: puts a pod on a node; the older form of pods/binding.

use api::Gvr;

use crate::resource::{Resource, Review};

pub fn resource() -> Resource {
    let gvr = Gvr::new("", "v1", "bindings");
    Resource::review(gvr, "Binding", "binding", "io.k8s.api.core.v1.Binding", Review::Binding)
}
