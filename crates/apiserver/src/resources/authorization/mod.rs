//! authorization.k8s.io: may they.

use k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::authorization::v1::SelfSubjectRulesReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;

use crate::resource::{Resource, Review};

pub fn local_subject_access_review() -> Resource {
    Resource::question::<LocalSubjectAccessReview>(Review::LocalSubjectAccess)
}

pub fn self_subject_access_review() -> Resource {
    Resource::question::<SelfSubjectAccessReview>(Review::SelfSubjectAccess)
}

pub fn self_subject_rules_review() -> Resource {
    Resource::question::<SelfSubjectRulesReview>(Review::SelfSubjectRules)
}

pub fn subject_access_review() -> Resource {
    Resource::question::<SubjectAccessReview>(Review::SubjectAccess)
}
