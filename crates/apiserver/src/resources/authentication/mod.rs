//! authentication.k8s.io: who is it.

use api::Gvr;

use crate::resource::{Resource, Review};

const GROUP: &str = "authentication.k8s.io";

pub fn self_subject_review() -> Resource {
    let gvr = Gvr::new(GROUP, "v1", "selfsubjectreviews");
    let schema = "io.k8s.api.authentication.v1.SelfSubjectReview";
    Resource::review(gvr, "SelfSubjectReview", "selfsubjectreview", schema, Review::SelfSubject)
}

pub fn token_review() -> Resource {
    let gvr = Gvr::new(GROUP, "v1", "tokenreviews");
    Resource::review(gvr, "TokenReview", "tokenreview", "io.k8s.api.authentication.v1.TokenReview", Review::Token)
}
