//! authentication.k8s.io: who is it.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authentication::v1::TokenReview;

use crate::resource::{Resource, Review};

pub fn self_subject_review() -> Resource {
    Resource::question::<SelfSubjectReview>(Review::SelfSubject)
}

pub fn token_review() -> Resource {
    Resource::question::<TokenReview>(Review::Token)
}
