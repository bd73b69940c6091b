//! Roles and bindings, compiled: from a subject to the rules that it has, cluster-wide and by namespace.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use api::Object;
use cache::Table;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Rule;
use crate::seams::Access;
use crate::tokens::service_account_of;
use crate::user::User;

/// A subject as a key. Users and groups of equal names differ by the first field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(Box<str>),
    Group(Box<str>),
}

/// One binding's grant to its subjects.
#[derive(Debug)]
pub struct Grant {
    binding_kind: &'static str,
    binding: Box<str>,
    role_kind: Box<str>,
    role: Box<str>,
    subject: Box<str>,
    rules: Arc<[Rule]>,
}

impl fmt::Display for Grant {
    /// As upstream explains an allowed request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { binding_kind, binding, role_kind, role, subject, .. } = self;
        write!(f, "{binding_kind} {binding:?} of {role_kind} {role:?} to {subject}")
    }
}

type Grants = HashMap<Subject, Vec<Arc<Grant>>>;
/// Namespace and name.
type InNamespace = (Box<str>, Box<str>);

#[derive(Debug, Default)]
pub struct Index {
    cluster: Grants,
    namespaced: HashMap<Box<str>, Grants>,
    cluster_roles: HashMap<Box<str>, Arc<[Rule]>>,
    roles: HashMap<InNamespace, Arc<[Rule]>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireRole {
    rules: Option<Vec<Rule>>,
    aggregation_rule: Option<WireAggregation>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireAggregation {
    cluster_role_selectors: Vec<WireSelector>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireSelector {
    match_labels: HashMap<Box<str>, Box<str>>,
    match_expressions: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBinding {
    pub role_ref: WireRoleRef,
    #[serde(default)]
    subjects: Option<Vec<WireSubject>>,
}

#[derive(Deserialize)]
pub(super) struct WireRoleRef {
    pub kind: Box<str>,
    pub name: Box<str>,
}

#[derive(Deserialize)]
struct WireSubject {
    kind: Box<str>,
    name: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
}

impl Index {
    /// From the tables of ClusterRoles, ClusterRoleBindings, Roles and RoleBindings.
    pub fn new([cluster_roles, cluster_bindings, roles, bindings]: &[Option<Table>; 4]) -> Self {
        let mut index = Self { cluster_roles: compile_cluster_roles(objects(cluster_roles)), ..Self::default() };
        for role in objects(roles) {
            let rules = decode::<WireRole>(role).and_then(|role| role.rules).unwrap_or_default();
            index.roles.insert((role.namespace().into(), role.name().into()), rules.into());
        }
        for binding in objects(cluster_bindings) {
            let granted = index.grants("ClusterRoleBinding", binding);
            granted.into_iter().for_each(|(subject, grant)| index.cluster.entry(subject).or_default().push(grant));
        }
        for binding in objects(bindings) {
            let granted = index.grants("RoleBinding", binding);
            let grants = index.namespaced.entry(binding.namespace().into()).or_default();
            granted.into_iter().for_each(|(subject, grant)| grants.entry(subject).or_default().push(grant));
        }
        index
    }

    fn grants(&self, binding_kind: &'static str, object: &Object) -> Vec<(Subject, Arc<Grant>)> {
        let Some(binding) = decode::<WireBinding>(object) else { return Vec::new() };
        let Some(rules) = self.role(&binding.role_ref.kind, object.namespace(), &binding.role_ref.name) else {
            return Vec::new();
        };
        let grant = |subject: &WireSubject| {
            let (key, text) = subject.key()?;
            let grant = Grant {
                binding_kind,
                binding: object.name().into(),
                role_kind: binding.role_ref.kind.clone(),
                role: binding.role_ref.name.clone(),
                subject: text.into(),
                rules: rules.clone(),
            };
            Some((key, Arc::new(grant)))
        };
        binding.subjects.iter().flatten().filter_map(grant).collect()
    }

    /// The rules of a role, which is in `namespace` unless it is a ClusterRole.
    pub fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<&Arc<[Rule]>> {
        match kind {
            "ClusterRole" => self.cluster_roles.get(name),
            _ => self.roles.get(&(namespace.into(), name.into())),
        }
    }

    /// The grant by which the user may, if any.
    pub fn grant<'a>(&'a self, user: &'a User, access: &Access) -> Option<&'a Grant> {
        let mut grants = self.grants_of(user, &access.namespace);
        grants.find(|grant| grant.rules.iter().any(|rule| rule.matches(access)))
    }

    /// Everything that the user may do in the namespace.
    pub fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.grants_of(user, namespace).flat_map(|grant| grant.rules.iter())
    }

    fn grants_of<'a>(&'a self, user: &'a User, namespace: &str) -> impl Iterator<Item = &'a Grant> + use<'a> {
        let groups = user.groups.iter().map(|group| Subject::Group(group.as_str().into()));
        let subjects: Vec<Subject> = std::iter::once(Subject::User(user.name.as_str().into())).chain(groups).collect();
        let maps = [Some(&self.cluster), self.namespaced.get(namespace)];
        let pairs = maps
            .into_iter()
            .flatten()
            .flat_map(move |map| subjects.iter().filter_map(|subject| map.get(subject)).collect::<Vec<_>>());
        pairs.flatten().map(|grant| &**grant)
    }
}

impl WireSubject {
    fn key(&self) -> Option<(Subject, String)> {
        let Self { kind, name, namespace } = self;
        match &**kind {
            "User" => Some((Subject::User(name.clone()), format!("User {name:?}"))),
            "Group" => Some((Subject::Group(name.clone()), format!("Group {name:?}"))),
            "ServiceAccount" => {
                let user = format!("system:serviceaccount:{namespace}:{name}");
                service_account_of(&user)?;
                let text = format!("ServiceAccount \"{name}/{namespace}\"");
                Some((Subject::User(user.into()), text))
            }
            _ => None,
        }
    }
}

/// The rules of every ClusterRole, with those that it aggregates, directly or through others.
fn compile_cluster_roles<'a>(objects: impl Iterator<Item = &'a Object>) -> HashMap<Box<str>, Arc<[Rule]>> {
    let roles: Vec<ClusterRole<'_>> =
        objects.filter_map(|object| Some(ClusterRole { object, wire: decode(object)? })).collect();
    let compile = |role: &ClusterRole<'_>| {
        let (mut rules, mut visited) = (Vec::new(), Vec::new());
        role.collect(&roles, &mut rules, &mut visited);
        (role.object.name().into(), rules.into())
    };
    roles.iter().map(compile).collect()
}

struct ClusterRole<'a> {
    object: &'a Object,
    wire: WireRole,
}

impl<'a> ClusterRole<'a> {
    /// Adds the role's rules and those of the roles that it selects. `visited` ends circles.
    fn collect(&'a self, roles: &'a [Self], rules: &mut Vec<Rule>, visited: &mut Vec<&'a str>) {
        if visited.contains(&self.object.name()) {
            return;
        }
        visited.push(self.object.name());
        let new: Vec<Rule> = self.wire.rules.iter().flatten().filter(|rule| !rules.contains(rule)).cloned().collect();
        rules.extend(new);
        for selector in self.wire.aggregation_rule.iter().flat_map(|rule| &rule.cluster_role_selectors) {
            for role in roles.iter().filter(|role| selector.selects(role.object)) {
                role.collect(roles, rules, visited);
            }
        }
    }
}

impl WireSelector {
    /// Expressions are not known to be used by anyone here; a selector with some selects nothing.
    fn selects(&self, role: &Object) -> bool {
        self.match_expressions.is_empty() && self.match_labels.iter().all(|(key, value)| role.label(key) == Some(value))
    }
}

fn objects(table: &Option<Table>) -> impl Iterator<Item = &Object> {
    table.iter().flat_map(Table::iter)
}

fn decode<T: DeserializeOwned>(object: &Object) -> Option<T> {
    match serde_json::from_slice(object.json()) {
        Ok(decoded) => Some(decoded),
        Err(error) => {
            tracing::warn!(name = object.name(), %error, "cannot read a role or binding");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    fn table(objects: &[Value]) -> Option<Table> {
        let mut table = Table::new(Arc::new([]));
        for (revision, object) in objects.iter().enumerate() {
            let mut object = object.clone();
            object["metadata"]["resourceVersion"] = json!((revision + 1).to_string());
            table.put(Object::decode(Bytes::from(object.to_string()), &[]).unwrap());
        }
        Some(table)
    }

    fn role(namespace: &str, name: &str, resource: &str, label: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "labels": {"part": label}},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    }

    fn binding(namespace: &str, name: &str, (role_kind, role): (&str, &str), subject: Value) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name},
            "roleRef": {"kind": role_kind, "name": role}, "subjects": [subject]})
    }

    fn index() -> Index {
        let aggregate = json!({"metadata": {"name": "sum"}, "rules": [],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"part": "sum"}}]}});
        Index::new(&[
            table(&[role("", "nodes", "nodes", "x"), role("", "pods", "pods", "sum"), aggregate]),
            table(&[
                binding("", "ann-reads-nodes", ("ClusterRole", "nodes"), json!({"kind": "User", "name": "ann"})),
                binding("", "nowhere", ("ClusterRole", "missing"), json!({"kind": "User", "name": "ann"})),
                binding("", "devs-sum", ("ClusterRole", "sum"), json!({"kind": "Group", "name": "devs"})),
            ]),
            table(&[role("n", "secrets", "secrets", "x")]),
            table(&[
                binding(
                    "n",
                    "bot",
                    ("Role", "secrets"),
                    json!({"kind": "ServiceAccount", "name": "bot", "namespace": "m"}),
                ),
                binding("o", "bot", ("Role", "secrets"), json!({"kind": "User", "name": "ann"})),
                binding("n", "eve", ("ClusterRole", "nodes"), json!({"kind": "User", "name": "eve"})),
            ]),
        ])
    }

    fn check(user: &str, namespace: &str, resource: &str, expected: &Expect) {
        let (name, group) = user.split_once('+').unwrap_or((user, ""));
        let user = User { name: name.to_owned(), groups: vec![group.to_owned()], ..User::default() };
        let access = Access {
            verb: "get".to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            ..Access::default()
        };
        let text = index().grant(&user, &access).map_or_else(|| "no".to_owned(), ToString::to_string);
        expected.assert_eq(&text);
    }

    #[test]
    fn bindings_grant_to_their_subjects_in_their_place() {
        check(
            "ann",
            "",
            "nodes",
            &expect![[r#"ClusterRoleBinding "ann-reads-nodes" of ClusterRole "nodes" to User "ann""#]],
        );
        check("bob", "", "nodes", &expect!["no"]);
        check("bob+ann", "", "nodes", &expect!["no"]);
        check(
            "bob+devs",
            "any",
            "pods",
            &expect![[r#"ClusterRoleBinding "devs-sum" of ClusterRole "sum" to Group "devs""#]],
        );
        check("bob+devs", "any", "nodes", &expect!["no"]);
        check(
            "system:serviceaccount:m:bot",
            "n",
            "secrets",
            &expect![[r#"RoleBinding "bot" of Role "secrets" to ServiceAccount "bot/m""#]],
        );
        check("system:serviceaccount:m:bot", "m", "secrets", &expect!["no"]);
        check("ann", "o", "secrets", &expect!["no"]);
        check("eve", "n", "nodes", &expect![[r#"RoleBinding "eve" of ClusterRole "nodes" to User "eve""#]]);
        check("eve", "", "nodes", &expect!["no"]);
    }
}
