//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may say yes to a request, who may
//! sign it, and what nobody may ask for.

use api::Status;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::seams::Access;
use crate::tree;

pub const APPROVAL: Plugin = Plugin { name: "CertificateApproval", mutate: None, validate: Some(approval) };
pub const SIGNING: Plugin = Plugin { name: "CertificateSigning", mutate: None, validate: Some(signing) };
pub const SUBJECT: Plugin = Plugin { name: "CertificateSubjectRestriction", mutate: None, validate: Some(subject) };

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

fn is_request(attributes: &Attributes<'_>, operation: Operation, subresource: &str) -> bool {
    let gvr = &attributes.resource.gvr;
    attributes.operation == operation
        && attributes.subresource == subresource
        && gvr.group == GROUP
        && gvr.resource == "certificatesigningrequests"
}

/// The right is given for one signer, or for all of a domain.
fn may(attributes: &Attributes<'_>, verb: &str, signer: &str) -> bool {
    // Before there is anybody to ask, only the server itself writes.
    let Some(authorizer) = attributes.engine.authorizer() else { return true };
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let access = Access {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..Access::default()
        };
        authorizer.authorize(attributes.user, &access).allowed
    })
}

fn approval(attributes: &Attributes<'_>, request: &Value) -> Result<(), Status> {
    let signer = tree::text(request, "spec.signerName");
    if !is_request(attributes, Operation::Update, "approval") || may(attributes, "approve", signer) {
        return Ok(());
    }
    Err(attributes.forbidden(&format!("user not permitted to approve requests with signerName {signer:?}")))
}

fn signing(attributes: &Attributes<'_>, request: &Value) -> Result<(), Status> {
    let certificate = "status.certificate";
    let same = attributes.old.is_some_and(|old| tree::at(old, certificate) == tree::at(request, certificate));
    let signer = tree::text(request, "spec.signerName");
    if !is_request(attributes, Operation::Update, "status") || same || may(attributes, "sign", signer) {
        return Ok(());
    }
    Err(attributes.forbidden(&format!("user not permitted to sign requests with signerName {signer:?}")))
}

fn subject(attributes: &Attributes<'_>, request: &Value) -> Result<(), Status> {
    let signer = tree::text(request, "spec.signerName");
    if !is_request(attributes, Operation::Create, "") || signer != CLIENT_SIGNER {
        return Ok(());
    }
    let bytes = STANDARD.decode(tree::text(request, "spec.request")).unwrap_or_default();
    match pki::csr::requested(&bytes) {
        Err(why) => Err(attributes.forbidden(&format!("failed to parse CSR: {why}"))),
        Ok(asked) if asked.organizations.iter().any(|group| group == MASTERS) => {
            let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
            Err(attributes.forbidden(&why))
        }
        Ok(_) => Ok(()),
    }
}
