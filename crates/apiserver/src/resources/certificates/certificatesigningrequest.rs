//! CertificateSigningRequest: a certificate that somebody asks for.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde_json::Value;

use super::rules;
use crate::resource::{Column, Hooks, Resource, Subresource};
use crate::resources::cells;
use crate::tree;

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["csr".into()],
        name_rule: |_| Vec::new(),
        selectable_fields: &["spec.signerName"],
        subresources: &[Subresource::Approval, Subresource::Status],
        columns: const {
            &[
                Column::age(),
                Column::text(
                    "SignerName",
                    "io.k8s.api.certificates.v1.CertificateSigningRequestSpec.signerName",
                    |o, _| tree::text(o, "spec.signerName").into(),
                ),
                Column::text(
                    "Requestor",
                    "io.k8s.api.certificates.v1.CertificateSigningRequestSpec.request",
                    |o, _| tree::text(o, "spec.username").into(),
                ),
                Column::text(
                    "RequestedDuration",
                    "io.k8s.api.certificates.v1.CertificateSigningRequestSpec.expirationSeconds",
                    |o, _| duration(o),
                ),
                Column::text(
                    "Condition",
                    "io.k8s.api.certificates.v1.CertificateSigningRequestStatus.conditions",
                    |o, _| condition(o),
                ),
            ]
        },
        hooks: Hooks {
            prepare_create: Some(rules::prepare_create),
            prepare_update: Some(rules::prepare_update),
            validate_create: Some(rules::validate_create),
            validate_update: Some(rules::validate_update),
            validate_status: Some(rules::validate_status),
            validate_part: Some(rules::validate_part),
            ..Hooks::default()
        },
        ..Resource::of::<CertificateSigningRequest>()
    }
}

fn duration(request: &Value) -> Value {
    match tree::int(request, "spec.expirationSeconds") {
        Some(secs) => crate::output::age::duration(secs).into(),
        None => cells::NONE.into(),
    }
}

fn condition(request: &Value) -> Value {
    let has = |wanted: &str| {
        tree::list(request, "status.conditions").iter().any(|condition| tree::text(condition, "type") == wanted)
    };
    let mut text = if has("Denied") {
        "Denied".to_owned()
    } else if has("Approved") {
        "Approved".to_owned()
    } else {
        "Pending".to_owned()
    };
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !tree::text(request, "status.certificate").is_empty() {
        text.push_str(",Issued");
    }
    text.into()
}
