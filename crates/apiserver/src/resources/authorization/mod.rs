//! authorization.k8s.io: may they.

use api::Gvr;

use crate::resource::{Resource, Review};

const GROUP: &str = "authorization.k8s.io";

pub fn local_subject_access_review() -> Resource {
    let gvr = Gvr::new(GROUP, "v1", "localsubjectaccessreviews");
    let schema = "io.k8s.api.authorization.v1.LocalSubjectAccessReview";
    let (kind, singular) = ("LocalSubjectAccessReview", "localsubjectaccessreview");
    Resource::review(gvr, kind, singular, schema, Review::LocalSubjectAccess)
}

pub fn self_subject_access_review() -> Resource {
    let gvr = Gvr::new(GROUP, "v1", "selfsubjectaccessreviews");
    let schema = "io.k8s.api.authorization.v1.SelfSubjectAccessReview";
    Resource::review(gvr, "SelfSubjectAccessReview", "selfsubjectaccessreview", schema, Review::SelfSubjectAccess)
}

pub fn self_subject_rules_review() -> Resource {
    let gvr = Gvr::new(GROUP, "v1", "selfsubjectrulesreviews");
    let schema = "io.k8s.api.authorization.v1.SelfSubjectRulesReview";
    Resource::review(gvr, "SelfSubjectRulesReview", "selfsubjectrulesreview", schema, Review::SelfSubjectRules)
}

pub fn subject_access_review() -> Resource {
    let gvr = Gvr::new(GROUP, "v1", "subjectaccessreviews");
    let schema = "io.k8s.api.authorization.v1.SubjectAccessReview";
    Resource::review(gvr, "SubjectAccessReview", "subjectaccessreview", schema, Review::SubjectAccess)
}
