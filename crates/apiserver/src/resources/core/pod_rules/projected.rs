//! Projected volumes: several sources in one, and files that show fields of the pod.

use std::collections::BTreeSet;

use api::status::Cause;
use api::validation::Path;
use api::validation::name::dns1123_subdomain;
use api::validation::selector::label_selector;
use serde_json::Value;

use super::env::{FILE_FIELDS, field_ref, resource_ref};
use super::mounts::relative_path;
use super::volumes::{key_to_path, mode};
use crate::tree;

const TOKEN_SECS_MIN: i64 = 600;
const TOKEN_SECS_MAX: i64 = 1 << 32;

pub fn downward(source: &Value, path: &Path, out: &mut Vec<Cause>) {
    mode(source, "defaultMode", path, out);
    for file in tree::list(source, "items") {
        downward_file(file, path, out);
    }
}

/// Upstream names the volume, not the item.
fn downward_file(file: &Value, path: &Path, out: &mut Vec<Cause>) {
    let name = tree::text(file, "path");
    if name.is_empty() {
        out.push(path.child("path").required(""));
    }
    relative_path(name, &path.child("path"), out);
    let (field, resource) = (file.get("fieldRef"), file.get("resourceFieldRef"));
    match (field.filter(|field| !field.is_null()), resource.filter(|resource| !resource.is_null())) {
        (Some(field), resource) => {
            field_ref(field, FILE_FIELDS, &path.child("fieldRef"), out);
            if resource.is_some() {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                out.push(path.invalid("resource", why));
            }
        }
        (None, Some(resource)) => resource_ref(resource, &path.child("resourceFieldRef"), true, out),
        (None, None) => out.push(path.required("one of fieldRef and resourceFieldRef is required")),
    }
    mode(file, "mode", path, out);
}

pub fn volume(projected: &Value, path: &Path, out: &mut Vec<Cause>) {
    mode(projected, "defaultMode", path, out);
    let mut paths = BTreeSet::new();
    for (i, source) in tree::list(projected, "sources").iter().enumerate() {
        let at = path.child("sources").index(i);
        let mut count = 0;
        let mut part = |field: &str| {
            let found = source.get(field).filter(|found| !found.is_null());
            count += usize::from(found.is_some());
            found.map(|found| (found, at.child(field)))
        };
        for field in ["secret", "configMap"] {
            if let Some((from, at)) = part(field) {
                keys(from, &at, path, &mut paths, out);
            }
        }
        if let Some((from, at)) = part("downwardAPI") {
            for file in tree::list(from, "items") {
                downward_file(file, &at, out);
                let name = tree::text(file, "path");
                if !name.is_empty() {
                    once(name, name, path, &mut paths, out);
                }
            }
        }
        if let Some((from, at)) = part("serviceAccountToken") {
            token(from, &at, path, out);
        }
        if let Some((from, at)) = part("clusterTrustBundle") {
            trust_bundle(from, &at, out);
            let name = tree::text(from, "path");
            once(name, name, path, &mut paths, out);
        }
        if let Some((from, at)) = part("podCertificate") {
            certificate(from, &at, path, &mut paths, out);
        }
        if count > 1 {
            out.push(at.forbidden("may not specify more than 1 volume type per source"));
        }
    }
}

/// No two sources may write the same file.
fn once<'a>(file: &'a str, told: &str, path: &Path, paths: &mut BTreeSet<&'a str>, out: &mut Vec<Cause>) {
    if !paths.insert(file) {
        out.push(path.invalid(told, "conflicting duplicate paths"));
    }
}

fn keys<'a>(from: &'a Value, at: &Path, path: &Path, paths: &mut BTreeSet<&'a str>, out: &mut Vec<Cause>) {
    let name = tree::text(from, "name");
    if name.is_empty() {
        out.push(at.child("name").required(""));
    }
    for (i, item) in tree::list(from, "items").iter().enumerate() {
        key_to_path(item, &at.child("items").index(i), out);
        let file = tree::text(item, "path");
        if !file.is_empty() {
            once(file, name, path, paths, out);
        }
    }
}

fn token(from: &Value, at: &Path, path: &Path, out: &mut Vec<Cause>) {
    let secs = tree::int(from, "expirationSeconds").unwrap_or_default();
    let at = at.child("expirationSeconds");
    if secs < TOKEN_SECS_MIN {
        out.push(at.invalid(secs, "may not specify a duration less than 10 minutes"));
    }
    if secs > TOKEN_SECS_MAX {
        out.push(at.invalid(secs, "may not specify a duration larger than 2^32 seconds"));
    }
    match tree::text(from, "path") {
        "" => out.push(path.child("path").required("")),
        file => relative_path(file, &path.child("path"), out),
    }
}

fn trust_bundle(from: &Value, at: &Path, out: &mut Vec<Cause>) {
    let text = |field: &str| tree::at(from, field).and_then(Value::as_str);
    match (text("name"), text("signerName")) {
        (Some(_), Some(_)) => out.push(at.invalid(from.clone(), "only one of name and signerName may be used")),
        (Some(name), None) => {
            if name.is_empty() {
                out.push(at.child("name").required("must be a valid object name"));
            }
            let whys = bundle_name(name).into_iter();
            let whys = whys.map(|why| format!("not a valid clustertrustbundlename: {why}")).collect();
            out.extend(at.child("name").invalid_each(name, whys));
            if let Some(selector) = from.get("labelSelector").filter(|selector| !selector.is_null()) {
                let why = "labelSelector must be unset if name is specified";
                out.push(at.child("labelSelector").invalid(selector.clone(), why));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                out.push(at.child("signerName").required("must be a valid signer name"));
            }
            signer_name(signer, &at.child("signerName"), out);
            out.extend(label_selector(from.get("labelSelector"), &at.child("labelSelector")));
        }
        (None, None) => out.push(at.required("either name or signerName must be specified")),
    }
    let file = tree::text(from, "path");
    if file.is_empty() {
        out.push(at.child("path").required(""));
    }
    relative_path(file, &at.child("path"), out);
}

/// `signer:domain:name`, or a name without a signer.
fn bundle_name(name: &str) -> Vec<String> {
    dns1123_subdomain(name.rsplit(':').next().unwrap_or(name))
}

fn signer_name(signer: &str, path: &Path, out: &mut Vec<Cause>) {
    let Some((domain, rest)) = signer.split_once('/') else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        out.push(path.invalid(signer, why));
        return;
    };
    out.extend(path.invalid_each(domain, dns1123_subdomain(domain)));
    for part in rest.split('/') {
        out.extend(path.invalid_each(part, dns1123_subdomain(part)));
    }
}

fn certificate<'a>(from: &'a Value, at: &Path, path: &Path, paths: &mut BTreeSet<&'a str>, out: &mut Vec<Cause>) {
    const KEY_TYPES: &[&str] = &["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
    signer_name(tree::text(from, "signerName"), &at.child("signerName"), out);
    let kind = tree::text(from, "keyType");
    if !KEY_TYPES.contains(&kind) {
        out.push(at.child("keyType").not_supported(kind, KEY_TYPES));
    }
    let files: Vec<(&str, &str)> = ["credentialBundlePath", "keyPath", "certificateChainPath"]
        .into_iter()
        .map(|field| (field, tree::text(from, field)))
        .filter(|(_, file)| !file.is_empty())
        .collect();
    if files.is_empty() {
        let why = "at least one of credentialBundlePath, keyPath and certificateChainPath must be specified";
        out.push(at.required(why));
    }
    for (field, file) in files {
        relative_path(file, &at.child(field), out);
        once(file, file, path, paths, out);
    }
}

/// Without an account there is nobody for whom a token could speak.
pub fn no_tokens(spec: &Value, path: &Path, out: &mut Vec<Cause>) {
    for (i, volume) in tree::list(spec, "volumes").iter().enumerate() {
        for (j, source) in tree::list(volume, "projected.sources").iter().enumerate() {
            if tree::is_set(source, "serviceAccountToken") {
                let at = path.child("volumes").index(i).child("projected").child("sources").index(j);
                let why = "must not be specified when serviceAccountName is not set";
                out.push(at.child("serviceAccountToken").forbidden(why));
            }
        }
    }
}
