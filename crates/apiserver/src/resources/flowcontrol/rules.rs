//! What flow schemas and priority levels must be.

use api::status::Cause;
use api::validation::Path;
use api::validation::name::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use super::defaults;
use crate::resources::fields::{one_of_at, path};
use crate::tree;

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
const HASH_BITS_MAX: u32 = 60;
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub fn flow_schema(schema: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &schema["spec"];
    let name = tree::text(schema, "metadata.name");
    let precedence = tree::int(spec, "matchingPrecedence").unwrap_or_default();
    let at_precedence = at.child("matchingPrecedence");
    let mut causes = Vec::new();
    if precedence <= 0 {
        causes.push(at_precedence.invalid(precedence, "must be a positive value"));
    }
    if precedence > PRECEDENCE_MAX {
        causes.push(at_precedence.invalid(precedence, &format!("must not be greater than {PRECEDENCE_MAX}")));
    }
    if precedence == 1 && name != "exempt" {
        let why = "only the schema named 'exempt' may have matchingPrecedence 1";
        causes.push(at_precedence.invalid(precedence, why));
    }
    let methods = &["ByNamespace", "ByUser"];
    let at_method = at.child("distinguisherMethod").child("type");
    causes.extend(one_of_at(tree::at(spec, "distinguisherMethod.type"), &at_method, methods));
    let at_level = at.child("priorityLevelConfiguration").child("name");
    match tree::text(spec, "priorityLevelConfiguration.name") {
        "" => causes.push(at_level.required("must reference a priority level")),
        level => causes.extend(at_level.invalid_each(level, dns1123_subdomain(level))),
    }
    for (i, rule) in tree::list(spec, "rules").iter().enumerate() {
        causes.extend(policy_rule(rule, &at.child("rules").index(i)));
    }
    if defaults::mandatory("FlowSchema", name).is_some_and(|fixed| fixed["spec"] != *spec) {
        causes.push(at.invalid(spec.clone(), &format!("spec of '{name}' must equal the fixed value")));
    }
    causes
}

fn policy_rule(rule: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let subjects = tree::list(rule, "subjects");
    if subjects.is_empty() {
        causes.push(at.child("subjects").required("subjects must contain at least one value"));
    }
    for (i, one) in subjects.iter().enumerate() {
        causes.extend(subject(one, &at.child("subjects").index(i)));
    }
    let (resources, others) = (tree::list(rule, "resourceRules"), tree::list(rule, "nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        causes.push(at.required("at least one of resourceRules and nonResourceRules has to be non-empty"));
    }
    for (i, one) in resources.iter().enumerate() {
        causes.extend(resource_rule(one, &at.child("resourceRules").index(i)));
    }
    for (i, one) in others.iter().enumerate() {
        causes.extend(path_rule(one, &at.child("nonResourceRules").index(i)));
    }
    causes
}

fn subject(one: &Value, at: &Path) -> Vec<Cause> {
    const KINDS: &[(&str, &str)] = &[("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = tree::text(one, "kind");
    let Some((_, field)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return vec![at.child("kind").not_supported(kind, &["Group", "ServiceAccount", "User"])];
    };
    let here = at.child(field);
    let mut causes = match one.get(field) {
        None => vec![here.required(&format!("{field} is required when subject kind is '{kind}'"))],
        Some(account) if kind == "ServiceAccount" => service_account(account, &here),
        Some(named) if tree::text(named, "name").is_empty() => vec![here.child("name").required("")],
        Some(_) => Vec::new(),
    };
    // Upstream asks for the user before the group, and for accounts first.
    for (other, name) in KINDS.iter().filter(|(other, _)| *other != kind) {
        if one.get(name).is_some() {
            causes.push(at.child(name).forbidden(&format!("{name} is forbidden when subject kind is not '{other}'")));
        }
    }
    causes
}

fn service_account(account: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = match tree::text(account, "name") {
        "" => vec![at.child("name").required("")],
        "*" => Vec::new(),
        name => at.child("name").invalid_each(name, dns1123_subdomain(name)),
    };
    match tree::text(account, "namespace") {
        "" => causes.push(at.child("namespace").required("must specify namespace for service account")),
        namespace => causes.extend(at.child("namespace").invalid_each(namespace, dns1123_label(namespace))),
    }
    causes
}

fn verbs(rule: &Value, at: &Path) -> Vec<Cause> {
    let verbs = tree::texts(rule, "verbs");
    let at = at.child("verbs");
    if verbs.is_empty() {
        return vec![at.required("verbs must contain at least one value")];
    }
    if verbs.contains(&"*") {
        return alone(&verbs, &at, "verbs");
    }
    if verbs.iter().any(|verb| !VERBS.contains(verb)) {
        return vec![at.not_supported(verbs, VERBS)];
    }
    Vec::new()
}

/// `*` stands by itself.
fn alone(list: &[&str], at: &Path, what: &str) -> Vec<Cause> {
    if list.len() < 2 || !list.contains(&"*") {
        return Vec::new();
    }
    vec![at.invalid(list.to_vec(), &format!("if '*' is present, must not specify other {what}"))]
}

fn resource_rule(rule: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = verbs(rule, at);
    let lists = [
        ("apiGroups", "resource rules must supply at least one api group", "api groups"),
        ("resources", "resource rules must supply at least one resource", "resources"),
    ];
    for (field, why, what) in lists {
        let list = tree::texts(rule, field);
        if list.is_empty() {
            causes.push(at.child(field).required(why));
        }
        causes.extend(alone(&list, &at.child(field), what));
    }
    let at = at.child("namespaces");
    let namespaces = tree::texts(rule, "namespaces");
    if namespaces.is_empty() && !tree::flag(rule, "clusterScope") {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        causes.push(at.required(why));
    } else if namespaces.contains(&"*") {
        causes.extend(alone(&namespaces, &at, "namespaces"));
    } else {
        for (i, namespace) in namespaces.into_iter().enumerate() {
            let whys = dns1123_label(namespace).into_iter();
            let whys = whys.map(|why| format!("each member of this list must be '*' or a DNS-1123 label; {why}"));
            causes.extend(at.index(i).invalid_each(namespace, whys.collect()));
        }
    }
    causes
}

fn path_rule(rule: &Value, at: &Path) -> Vec<Cause> {
    let mut causes = verbs(rule, at);
    let urls = tree::texts(rule, "nonResourceURLs");
    let at = at.child("nonResourceURLs");
    if urls.is_empty() {
        causes.push(at.required("nonResourceURLs must contain at least one value"));
    } else if urls.contains(&"*") {
        causes.extend(alone(&urls, &at, "non-resource URLs"));
    } else {
        let wrong = urls.into_iter().enumerate().filter_map(|(i, url)| Some(at.index(i).invalid(url, url_fault(url)?)));
        causes.extend(wrong);
    }
    causes
}

fn url_fault(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    if url == "/" {
        None
    } else if url.is_empty() {
        Some("must not be empty")
    } else if !url.starts_with('/') {
        Some("must start with slash")
    } else if url.contains(' ') {
        Some("must not contain white-space")
    } else if url.contains("//") {
        Some("must not contain double slash")
    } else if stars > 1 || stars == 1 && !url.ends_with("/*") {
        Some("wildcard can only do suffix matching")
    } else {
        None
    }
}

pub fn priority_level(level: &Value) -> Vec<Cause> {
    let at = path("spec");
    let spec = &level["spec"];
    let (name, kind) = (tree::text(level, "metadata.name"), tree::text(spec, "type"));
    let mut causes = Vec::new();
    if (name == "exempt") != (kind == "Exempt") {
        causes.push(at.child("type").invalid(kind, "type must be 'Exempt' if and only if name is 'exempt'"));
    }
    let (limited, exempt) = (spec.get("limited"), spec.get("exempt"));
    match (kind, limited, exempt) {
        ("Exempt", limited, exempt) => {
            if limited.is_some() {
                causes.push(at.child("limited").forbidden("must be nil if the type is not Limited"));
            }
            if let Some(exempt) = exempt {
                causes.extend(shares(exempt, &at.child("exempt")));
                causes.extend(lendable(exempt, &at.child("exempt")));
            }
        }
        ("Limited", limited, exempt) => {
            if exempt.is_some() {
                causes.push(at.child("exempt").forbidden("must be nil if the type is Limited"));
            }
            match limited {
                None => causes.push(at.child("limited").required("must not be empty when type is Limited")),
                Some(limited) => causes.extend(validate_limited(limited, &at.child("limited"))),
            }
        }
        (other, ..) => causes.push(at.child("type").not_supported(other, &["Exempt", "Limited"])),
    }
    causes.extend(fixed(name, spec, &at));
    causes
}

/// Two levels are what they are, but for the shares of the exempt one.
fn fixed(name: &str, spec: &Value, at: &Path) -> Option<Cause> {
    let mut fixed = defaults::mandatory("PriorityLevelConfiguration", name)?;
    let exempt = name == "exempt";
    if exempt {
        tree::copy(&mut fixed["spec"], spec, "exempt");
    }
    if fixed["spec"] == *spec {
        return None;
    }
    let but = if exempt { " except the 'spec.exempt' field" } else { "" };
    Some(at.invalid(spec.clone(), &format!("spec of '{name}'{but} must equal the fixed value")))
}

fn shares(limits: &Value, at: &Path) -> Option<Cause> {
    let shares = tree::int(limits, "nominalConcurrencyShares").filter(|shares| *shares < 0)?;
    Some(at.child("nominalConcurrencyShares").invalid(shares, "must be a non-negative integer"))
}

fn lendable(limits: &Value, at: &Path) -> Option<Cause> {
    let percent = tree::int(limits, "lendablePercent").filter(|percent| !(0..=100).contains(percent))?;
    Some(at.child("lendablePercent").invalid(percent, "must be between 0 and 100, inclusive"))
}

fn validate_limited(limited: &Value, at: &Path) -> Vec<Cause> {
    let mut causes: Vec<Cause> = shares(limited, at).into_iter().collect();
    let here = at.child("limitResponse");
    let queuing = tree::at(limited, "limitResponse.queuing");
    match (tree::text(limited, "limitResponse.type"), queuing) {
        ("Reject", None) => {}
        ("Reject", Some(_)) => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            causes.push(here.child("queuing").forbidden(why));
        }
        ("Queue", None) => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            causes.push(here.child("queuing").required(why));
        }
        ("Queue", Some(queuing)) => causes.extend(queues(queuing, &here.child("queuing"))),
        (other, _) => causes.push(here.child("type").not_supported(other, &["Queue", "Reject"])),
    }
    causes.extend(lendable(limited, at));
    if let Some(percent) = tree::int(limited, "borrowingLimitPercent").filter(|percent| *percent < 0) {
        let why = "if specified, must be a non-negative integer";
        causes.push(at.child("borrowingLimitPercent").invalid(percent, why));
    }
    causes
}

fn queues(queuing: &Value, at: &Path) -> Vec<Cause> {
    let number = |field: &str| tree::int(queuing, field).unwrap_or_default();
    let (length, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    let mut causes = Vec::new();
    if length <= 0 {
        causes.push(at.child("queueLengthLimit").invalid(length, "must be positive"));
    }
    if queues <= 0 {
        causes.push(at.child("queues").invalid(queues, "must be positive"));
    } else if queues > QUEUES_MAX {
        causes.push(at.child("queues").invalid(queues, &format!("must not be greater than {QUEUES_MAX}")));
    }
    let at = at.child("handSize");
    if hand <= 0 {
        causes.push(at.invalid(hand, "must be positive"));
    } else if hand > queues {
        causes.push(at.invalid(hand, &format!("should not be greater than queues ({queues})")));
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"
        );
        causes.push(at.invalid(hand, &why));
    }
    causes
}

/// How many bits choose a hand out of the queues.
fn entropy_bits(queues: i64, hand: i64) -> u32 {
    #[allow(clippy::cast_precision_loss)] // Both are small.
    let bits: f64 = (0..hand).map(|taken| ((queues - taken) as f64).log2()).sum();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Positive and at most a few thousand.
    let bits = bits.ceil().clamp(0.0, 1e6) as u32;
    bits
}

/// Conditions of a status: each sort once, and named.
pub fn status(new: &Value, _old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut kinds = Vec::new();
    for (i, condition) in tree::list(new, "status.conditions").iter().enumerate() {
        let at = path("status.conditions").index(i).child("type");
        let kind = tree::text(condition, "type");
        if kinds.contains(&kind) {
            causes.push(at.duplicate(kind));
        }
        kinds.push(kind);
        if kind.is_empty() {
            causes.push(at.required("must not be empty"));
        }
    }
    causes
}
