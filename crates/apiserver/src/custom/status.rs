//! What a definition's status shall be: names, establishment, approval. Pure; [`super::controller`] writes it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::tree;
use crate::verbs::timestamp;

pub const APPROVED: &str = "api-approved.kubernetes.io";
const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// A condition of a definition by its type.
pub fn condition<'t>(definition: &'t Value, kind: &str) -> Option<&'t Value> {
    tree::list(definition, "status.conditions").iter().find(|found| tree::text(found, "type") == kind)
}

pub fn is_true(definition: &Value, kind: &str) -> bool {
    condition(definition, kind).is_some_and(|found| found["status"] == "True")
}

/// A condition as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub kind: &'static str,
    pub status: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Condition {
    pub fn new(kind: &'static str, status: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status, reason, message: message.into() }
    }

    fn status(&self) -> &'static str {
        if self.status { "True" } else { "False" }
    }

    fn holds(&self, definition: &Value) -> bool {
        condition(definition, self.kind).is_some_and(|found| {
            found["status"] == self.status() && found["reason"] == self.reason && found["message"] == *self.message
        })
    }

    /// Its time moves on only when its status does.
    pub fn set(&self, definition: &mut Value, now: Timestamp) {
        let since = condition(definition, self.kind)
            .filter(|found| found["status"] == self.status())
            .map_or_else(|| timestamp(now).into(), |found| found["lastTransitionTime"].clone());
        let condition = json!({
            "type": self.kind, "status": self.status(), "lastTransitionTime": since,
            "reason": self.reason, "message": self.message,
        });
        let list = tree::list_mut(definition, "status.conditions");
        match list.iter_mut().find(|found| tree::text(found, "type") == self.kind) {
            Some(found) => *found = condition,
            None => list.push(condition),
        }
    }
}

/// The names that each definition has been given.
#[derive(Default)]
pub struct Names(BTreeMap<(String, String), Given>);

#[derive(Default)]
struct Given {
    resources: Vec<String>,
    kinds: Vec<String>,
    /// It has not got all that it wants.
    waits: bool,
}

impl Names {
    /// Takes note of a definition as it is now.
    pub fn note(&mut self, definition: &Value) {
        let accepted = |name: &str| tree::text(definition, &format!("status.acceptedNames.{name}")).to_owned();
        let mut resources = vec![accepted("plural"), accepted("singular")];
        let short = tree::texts(definition, "status.acceptedNames.shortNames");
        resources.extend(short.into_iter().map(str::to_owned));
        let waits = definition["spec"]["names"] != definition["status"]["acceptedNames"];
        let given = Given { resources, kinds: vec![accepted("kind"), accepted("listKind")], waits };
        let group = tree::text(definition, "spec.group").to_owned();
        self.0.insert((group, tree::text(definition, "metadata.name").to_owned()), given);
    }

    /// Forgets a definition by its name; gives those of its group that may have waited for its names.
    pub fn forget(&mut self, name: &str) -> Vec<String> {
        let group = name.split_once('.').map_or("", |(_, group)| group).to_owned();
        self.0.remove(&(group.clone(), name.to_owned()));
        self.of_group(&group).filter(|(_, given)| given.waits).map(|(name, _)| name.clone()).collect()
    }

    fn of_group<'n>(&'n self, group: &'n str) -> impl Iterator<Item = (&'n String, &'n Given)> {
        let from = (group.to_owned(), String::new());
        self.0.range(from..).take_while(move |((found, _), _)| found == group).map(|((_, name), given)| (name, given))
    }
}

/// The definition with the status that it shall have; `None` when it has it.
pub fn next(definition: &Value, names: &Names, now: Timestamp) -> Option<Value> {
    let mut next = definition.clone();
    let mut conditions = Vec::new();
    if definition["spec"]["names"] != definition["status"]["acceptedNames"] {
        conditions.push(accept_names(&mut next, names));
    }
    let accepted = conditions.first().map_or_else(|| is_true(definition, "NamesAccepted"), |first| first.status);
    if !is_true(definition, "Established") {
        conditions.push(if accepted {
            Condition::new("Established", true, "InitialNamesAccepted", "the initial names have been accepted")
        } else {
            Condition::new("Established", false, "NotAccepted", "not all names are accepted")
        });
    }
    conditions.extend(approval(definition));
    for condition in conditions.iter().filter(|condition| !condition.holds(definition)) {
        condition.set(&mut next, now);
    }
    (next != *definition).then_some(next)
}

/// Takes those of the wanted names that nobody else in the group has.
fn accept_names(definition: &mut Value, names: &Names) -> Condition {
    let group = tree::text(definition, "spec.group").to_owned();
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for (_, given) in names.of_group(&group) {
        resources.extend(given.resources.iter().map(String::as_str));
        kinds.extend(given.kinds.iter().map(String::as_str));
    }
    let mut refused: Option<Condition> = None;
    let mut refuse = |reason, message| refused = Some(Condition::new("NamesAccepted", false, reason, message));
    let in_use = |name: &str| format!("{name:?} is already in use");
    let wanted = definition["spec"]["names"].clone();
    let accepted = definition["status"]["acceptedNames"].clone();
    let own = |name: &str| [tree::text(&accepted, "plural"), tree::text(&accepted, "singular")].contains(&name);
    let mut new = accepted.clone();
    let singles = [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ];
    for (field, reason, used) in singles {
        let name = tree::text(&wanted, field);
        if name != tree::text(&accepted, field) && used.contains(name) {
            refuse(reason, in_use(name));
        } else {
            tree::copy(&mut new, &wanted, field);
        }
        if field == "singular" {
            let present = tree::texts(&accepted, "shortNames");
            let taken = tree::texts(&wanted, "shortNames").into_iter();
            let taken = taken.filter(|name| !present.contains(name) && !own(name) && resources.contains(name));
            let texts: Vec<String> = taken.map(in_use).collect();
            match texts.as_slice() {
                [] => tree::copy(&mut new, &wanted, "shortNames"),
                [one] => refuse("ShortNamesConflict", one.clone()),
                _ => refuse("ShortNamesConflict", format!("[{}]", texts.join(", "))),
            }
        }
    }
    tree::copy(&mut new, &wanted, "categories");
    tree::set(definition, "status.acceptedNames", new);
    refused.unwrap_or_else(|| Condition::new("NamesAccepted", true, "NoConflicts", "no conflicts found"))
}

/// Whether a definition in a group of the Kubernetes community was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    Missing,
    Invalid,
    Bypassed,
    Approved,
}

/// `None` for groups that need no approval; otherwise the state and its reason.
pub fn approval_state(definition: &Value) -> Option<(Approval, String)> {
    let group = tree::text(definition, "spec.group");
    let community = ["k8s.io", "kubernetes.io"];
    if !community.iter().any(|root| group == *root || group.ends_with(&format!(".{root}"))) {
        return None;
    }
    let annotations = tree::at(definition, "metadata.annotations");
    let text = annotations.and_then(|all| all.get(APPROVED)).and_then(Value::as_str).unwrap_or_default();
    let must = format!("protected groups must have approval annotation {APPROVED:?}");
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !rest.starts_with('/')
            && !rest.is_empty()
    });
    Some(if text.is_empty() {
        (Approval::Missing, format!("{must}, {SEE}"))
    } else if text.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {text:?}"))
    } else if is_url {
        (Approval::Approved, format!("approved in {text}"))
    } else {
        (Approval::Invalid, format!("{must} with either a URL or a reason starting with \"unapproved\", {SEE}"))
    })
}

fn approval(definition: &Value) -> Option<Condition> {
    let (state, reason) = approval_state(definition)?;
    let (status, word) = match state {
        Approval::Missing => (false, "MissingAnnotation"),
        Approval::Invalid => (false, "InvalidAnnotation"),
        Approval::Bypassed => (false, "UnapprovedAnnotation"),
        Approval::Approved => (true, "ApprovedAnnotation"),
    };
    Some(Condition::new("KubernetesAPIApprovalPolicyConformant", status, word, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
        json!({
            "metadata": { "name": format!("{plural}.g.io") },
            "spec": { "group": "g.io", "names": {
                "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
                "shortNames": short,
            } },
            "status": { "acceptedNames": { "plural": "", "kind": "" }, "conditions": null },
        })
    }

    fn check(definition: &Value, names: &Names, expected: Expect) -> Value {
        let next = next(definition, names, Timestamp::UNIX_EPOCH).unwrap();
        let mut text = format!("{}\n", next["status"]["acceptedNames"]);
        for condition in tree::list(&next, "status.conditions") {
            let field = |name: &str| tree::text(condition, name);
            text += &format!("{} {} {}: {}\n", field("type"), field("status"), field("reason"), field("message"));
        }
        expected.assert_eq(&text);
        next
    }

    #[test]
    fn free_names_are_accepted_and_taken_ones_wait() {
        let mut names = Names::default();
        let first = check(
            &definition("ws", "W", &["w1"]),
            &names,
            expect![[r#"
                {"kind":"W","listKind":"WList","plural":"ws","shortNames":["w1"],"singular":"w"}
                NamesAccepted True NoConflicts: no conflicts found
                Established True InitialNamesAccepted: the initial names have been accepted
            "#]],
        );
        names.note(&first);
        assert_eq!(next(&first, &names, Timestamp::UNIX_EPOCH), None);
        let second = check(
            &definition("vs", "W", &["w1", "v"]),
            &names,
            expect![[r#"
                {"kind":"","plural":"vs"}
                NamesAccepted False ListKindConflict: "WList" is already in use
                Established False NotAccepted: not all names are accepted
            "#]],
        );
        names.note(&second);
        assert_eq!(names.forget("ws.g.io"), ["vs.g.io"]);
        check(
            &second,
            &names,
            expect![[r#"
                {"kind":"W","listKind":"WList","plural":"vs","shortNames":["w1","v"],"singular":"w"}
                NamesAccepted True NoConflicts: no conflicts found
                Established True InitialNamesAccepted: the initial names have been accepted
            "#]],
        );
    }
}
