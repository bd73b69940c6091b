//! What a CertificateSigningRequest must be, who fills it in, and what each of its writers may change.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::resource::HookContext;
use crate::resources::fields::path;
use crate::tree;

const LIFE_SECS_MIN: i64 = 600;
const DOMAIN_LEN_MAX: usize = 253;
const SIGNER_LEN_MAX: usize = 571;
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const FINAL: &[&str] = &["Approved", "Denied", "Failed"];
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Who asks is who is asking: nobody writes that down himself.
pub fn prepare_create(request: &mut Value, context: &HookContext<'_>) {
    tree::set(request, "status", json!({}));
    for field in ["username", "uid", "groups", "extra"] {
        tree::remove(request, &format!("spec.{field}"));
    }
    let user = context.user;
    tree::set(request, "spec.username", user.name.as_str());
    if !user.uid.is_empty() {
        tree::set(request, "spec.uid", user.uid.as_str());
    }
    if !user.groups.is_empty() {
        tree::set(request, "spec.groups", user.groups.clone());
    }
    if !user.extra.is_empty() {
        tree::set(request, "spec.extra", crate::seams::extra_tree(&user.extra));
    }
}

/// The request itself is for life. Whoever adds a condition need not say when; a signer may not touch the approval.
pub fn prepare_update(new: &mut Value, old: &Value, context: &HookContext<'_>) {
    tree::copy(new, old, "spec");
    if context.subresource.is_empty() {
        return;
    }
    if context.subresource == "status" {
        keep_approval(new, old);
    }
    let now = crate::verbs::timestamp(context.now);
    let before = tree::list(old, "status.conditions").to_vec();
    if !tree::is_set(new, "status.conditions") {
        return;
    }
    for condition in tree::list_mut(new, "status.conditions") {
        tree::set_default(condition, "lastUpdateTime", now.as_str());
        if tree::is_set(condition, "lastTransitionTime") {
            continue;
        }
        let same = |old: &&Value| ["type", "status"].iter().all(|field| old.get(*field) == condition.get(*field));
        let since = before.iter().find(same).and_then(|old| old.get("lastTransitionTime")).cloned();
        tree::set(condition, "lastTransitionTime", since.unwrap_or_else(|| now.clone().into()));
    }
}

/// Approvals and denials as often as there were, and as they were.
fn keep_approval(new: &mut Value, old: &Value) {
    for kind in ["Approved", "Denied"] {
        let of_kind = |request: &Value| -> Vec<Value> {
            let all = tree::list(request, "status.conditions").iter();
            all.filter(|condition| tree::text(condition, "type") == kind).cloned().collect()
        };
        let before = of_kind(old);
        if of_kind(new).len() != before.len() || before.is_empty() {
            continue;
        }
        let mut before = before.into_iter();
        for condition in tree::list_mut(new, "status.conditions") {
            if tree::text(condition, "type") == kind
                && let Some(kept) = before.next()
            {
                *condition = kept;
            }
        }
    }
}

pub fn validate_create(request: &Value) -> Vec<Cause> {
    validate(request, None)
}

pub fn validate_update(new: &Value, old: &Value) -> Vec<Cause> {
    changes(new, old, false, false)
}

pub fn validate_status(new: &Value, old: &Value) -> Vec<Cause> {
    changes(new, old, false, true)
}

/// The only other part is the approval.
pub fn validate_part(_part: &str, new: &Value, old: &Value) -> Vec<Cause> {
    changes(new, old, true, false)
}

/// What an older version let in may stay as it is.
fn validate(request: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let at = path("spec");
    let pem = tree::text(request, "spec.request");
    let bytes = STANDARD.decode(pem).unwrap_or_default();
    if let Err(why) = pki::csr::requested(&bytes) {
        let shown = if pem.is_empty() { Value::Null } else { pem.into() };
        causes.push(at.child("request").invalid(shown, &why));
    }
    let usages = tree::texts(request, "spec.usages");
    if usages.is_empty() {
        causes.push(at.child("usages").required(""));
    }
    let at_usages = at.child("usages");
    for (i, usage) in usages.iter().enumerate().filter(|(_, usage)| !USAGES.contains(usage)) {
        causes.push(at_usages.index(i).not_supported(*usage, USAGES));
    }
    for (i, usage) in usages.iter().enumerate().filter(|(i, usage)| usages[..*i].contains(usage)) {
        causes.push(at_usages.index(i).duplicate(*usage));
    }
    let signer = tree::text(request, "spec.signerName");
    if signer == LEGACY_SIGNER && old.is_none() {
        let why = "the legacy signerName is not allowed via this API version";
        causes.push(at.child("signerName").invalid(signer, why));
    } else {
        causes.extend(signer_name(signer, &at.child("signerName")));
    }
    if let Some(secs) = tree::int(request, "spec.expirationSeconds").filter(|secs| *secs < LIFE_SECS_MIN) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        causes.push(at.child("expirationSeconds").invalid(secs, why));
    }
    causes.extend(conditions(request));
    let certificate = tree::text(request, "status.certificate");
    if !certificate.is_empty() {
        let bytes = STANDARD.decode(certificate).unwrap_or_default();
        if let Err(why) = pki::csr::check_certificates(&bytes) {
            causes.push(path("status.certificate").invalid("<certificate data>", &why));
        }
    }
    causes
}

fn conditions(request: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen = Vec::new();
    for (i, condition) in tree::list(request, "status.conditions").iter().enumerate() {
        let at = path("status.conditions").index(i);
        let (kind, status) = (tree::text(condition, "type"), tree::text(condition, "status"));
        if kind.is_empty() {
            causes.push(at.child("type").required(""));
        }
        let allowed: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            causes.push(at.child("status").required(""));
        } else if !allowed.contains(&status) {
            causes.push(at.child("status").not_supported(status, allowed));
        }
        let opposite = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !opposite.is_empty() && seen.contains(&opposite) {
            let why = "Approved and Denied conditions are mutually exclusive";
            causes.push(at.child("type").invalid(kind, why));
        }
        if seen.contains(&kind) {
            causes.push(at.child("type").duplicate(kind));
        }
        seen.push(kind);
    }
    causes
}

/// `example.com/signer-name`.
fn signer_name(name: &str, at: &Path) -> Vec<Cause> {
    if name.is_empty() {
        return vec![at.required("")];
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, rest] = parts.as_slice() else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![at.invalid(name, why)];
    };
    let mut causes = Vec::new();
    if domain.len() > DOMAIN_LEN_MAX {
        causes.push(at.too_long(DOMAIN_LEN_MAX));
    }
    causes.extend(labels(domain, dns1123_label, at));
    if !domain.contains('.') {
        causes.push(at.invalid(*domain, "should be a domain with at least two segments separated by dots"));
    }
    causes.extend(labels(rest, dns1123_subdomain, at));
    if name.len() > SIGNER_LEN_MAX {
        causes.push(at.too_long(SIGNER_LEN_MAX));
    }
    causes
}

/// What is wrong with the first label that is wrong.
fn labels(text: &str, rule: fn(&str) -> Vec<String>, at: &Path) -> Vec<Cause> {
    let wrong = text.split('.').map(|label| (label, rule(label))).find(|(_, whys)| !whys.is_empty());
    let whys =
        wrong.map(|(label, whys)| whys.into_iter().map(|why| format!("validating label {label:?}: {why}")).collect());
    at.invalid_each(text, whys.unwrap_or_default())
}

fn changes(new: &Value, old: &Value, approves: bool, signs: bool) -> Vec<Cause> {
    let mut causes = validate(new, Some(old));
    let at = path("status.conditions");
    let of_kind = |request: &Value, kind: &str| -> Vec<Value> {
        let all = tree::list(request, "status.conditions").iter();
        all.filter(|condition| tree::text(condition, "type") == kind).cloned().collect()
    };
    for kind in FINAL.iter().filter(|kind| of_kind(new, kind).len() < of_kind(old, kind).len()) {
        causes.push(at.forbidden(&format!("updates may not remove a condition of type {kind:?}")));
    }
    for kind in ["Approved", "Denied"].iter().filter(|_| !approves) {
        let (now, before) = (of_kind(new, kind), of_kind(old, kind));
        if now.len() > before.len() {
            causes.push(at.forbidden(&format!("updates may not add a condition of type {kind:?}")));
        } else if now.len() == before.len() && now != before {
            causes.push(at.forbidden(&format!("updates may not modify a condition of type {kind:?}")));
        }
    }
    let certificate = |request: &Value| tree::text(request, "status.certificate").to_owned();
    if certificate(new) != certificate(old) {
        let at = path("status.certificate");
        if !signs {
            causes.push(at.forbidden("updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            causes.push(at.forbidden("updates may not modify existing certificate content"));
        }
    }
    causes
}
