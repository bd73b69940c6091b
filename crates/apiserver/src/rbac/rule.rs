//! One rule of a role: what it matches, and whether rules together cover another one.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::seams::Access;

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    pub api_groups: Vec<Box<str>>,
    pub resources: Vec<Box<str>>,
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<Box<str>>,
    pub resource_names: Vec<Box<str>>,
    pub verbs: Vec<Box<str>>,
}

fn has(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|item| **item == *wanted)
}

fn has_or_all(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|item| **item == *wanted || **item == *"*")
}

impl Rule {
    /// The two rules of cluster-admin.
    pub fn everything() -> [Self; 2] {
        let all: Vec<Box<str>> = vec!["*".into()];
        let resources = Self { api_groups: all.clone(), resources: all.clone(), verbs: all.clone(), ..Self::default() };
        [resources, Self { non_resource_urls: all.clone(), verbs: all, ..Self::default() }]
    }

    pub fn matches(&self, access: &Access) -> bool {
        if !has_or_all(&self.verbs, &access.verb) {
            return false;
        }
        match &access.path {
            Some(path) => self.matches_path(path),
            None => {
                has_or_all(&self.api_groups, &access.group)
                    && self.matches_resource(&access.resource, &access.subresource)
                    && (self.resource_names.is_empty() || has(&self.resource_names, &access.name))
            }
        }
    }

    /// `*` is every resource with its subresources, `*/log` that subresource of every resource.
    fn matches_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|rule| match rule.split_once('/') {
            _ if **rule == *"*" => true,
            None => subresource.is_empty() && **rule == *resource,
            Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == "*" || of == resource),
        })
    }

    fn matches_path(&self, path: &str) -> bool {
        self.non_resource_urls.iter().any(|url| match url.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => **url == *path,
        })
    }

    /// The rule as one part a verb, group, resource and name, each of which stands or falls as a whole.
    pub fn parts(&self) -> Vec<Self> {
        let one = |text: &str| -> Vec<Box<str>> { vec![text.into()] };
        let mut parts = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                parts.push(Self { verbs: one(verb), non_resource_urls: one(url), ..Self::default() });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let part =
                        Self { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Self::default() };
                    if self.resource_names.is_empty() {
                        parts.push(part);
                    } else {
                        let names = self.resource_names.iter();
                        parts.extend(names.map(|name| Self { resource_names: one(name), ..part.clone() }));
                    }
                }
            }
        }
        parts
    }

    /// Whether this rule allows all that `part` (of [`Rule::parts`]) does.
    pub fn covers(&self, part: &Self) -> bool {
        let all = |mine: &[Box<str>], theirs: &[Box<str>]| theirs.iter().all(|item| has_or_all(mine, item));
        if !all(&self.verbs, &part.verbs) {
            return false;
        }
        if !part.non_resource_urls.is_empty() {
            return part.non_resource_urls.iter().all(|url| self.covers_url(url));
        }
        let names = self.resource_names.is_empty()
            || (!part.resource_names.is_empty()
                && part.resource_names.iter().all(|name| has(&self.resource_names, name)));
        names && all(&self.api_groups, &part.api_groups) && part.resources.iter().all(|item| self.covers_resource(item))
    }

    fn covers_url(&self, url: &str) -> bool {
        has(&self.non_resource_urls, url) || self.matches_path(url)
    }

    fn covers_resource(&self, item: &str) -> bool {
        if has_or_all(&self.resources, item) {
            return true;
        }
        item.split_once('/').is_some_and(|(_, sub)| has(&self.resources, &format!("*/{sub}")))
    }

    pub fn resource_tree(&self) -> Value {
        let mut tree = json!({"verbs": self.verbs, "apiGroups": self.api_groups, "resources": self.resources});
        if !self.resource_names.is_empty() {
            tree["resourceNames"] = json!(self.resource_names);
        }
        tree
    }

    /// As upstream prints a rule in its messages.
    pub fn compact(&self) -> String {
        let list = |items: &[Box<str>]| items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ");
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let present = fields.iter().filter(|(_, items)| !items.is_empty());
        let texts: Vec<String> = present.map(|(name, items)| format!("{name}:[{}]", list(items))).collect();
        format!("{{{}}}", texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &str, resources: &str, names: &str, verbs: &str) -> Rule {
        let list = |text: &str| {
            text.split_whitespace().map(|item| if item == "core" { "".into() } else { item.into() }).collect()
        };
        Rule {
            api_groups: list(groups),
            resources: list(resources),
            resource_names: list(names),
            verbs: list(verbs),
            ..Rule::default()
        }
    }

    fn allows(rule: &Rule, request: &str) -> bool {
        let words: Vec<&str> = request.split(' ').collect();
        let (resource, subresource) = words[1].split_once('/').unwrap_or((words[1], ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        rule.matches(&Access {
            verb: words[0].to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: words.get(2).copied().unwrap_or_default().to_owned(),
            ..Access::default()
        })
    }

    #[test]
    fn a_rule_allows_what_it_says_and_nothing_else() {
        let table = [
            (rule("core", "pods", "", "get"), "get pods", true),
            (rule("core", "pods", "", "get"), "list pods", false),
            (rule("core", "pods", "", "*"), "list pods", true),
            (rule("core", "pods", "", "get"), "get pods/log", false),
            (rule("core", "pods/log", "", "get"), "get pods/log", true),
            (rule("core", "pods/log", "", "get"), "get pods", false),
            (rule("core", "*", "", "get"), "get pods/log", true),
            (rule("core", "*/scale", "", "get"), "get pods/scale", true),
            (rule("core", "*/scale", "", "get"), "get scale", false),
            (rule("apps", "deployments", "", "get"), "get deployments", false),
            (rule("apps", "deployments", "", "get"), "get deployments.apps x", true),
            (rule("*", "deployments", "", "get"), "get deployments.apps x", true),
            (rule("core", "secrets", "a b", "get"), "get secrets b", true),
            (rule("core", "secrets", "a b", "get"), "get secrets c", false),
            (rule("core", "secrets", "a b", "list"), "list secrets", false),
        ];
        for (rule, request, expected) in table {
            assert_eq!(allows(&rule, request), expected, "{request} by {}", rule.compact());
        }
    }

    #[test]
    fn paths_match_whole_or_by_prefix() {
        let rule = Rule {
            non_resource_urls: vec!["/healthz".into(), "/api/*".into()],
            verbs: vec!["get".into()],
            ..Rule::default()
        };
        let path = |path: &str| {
            rule.matches(&Access { verb: "get".to_owned(), path: Some(path.to_owned()), ..Access::default() })
        };
        assert_eq!(["/healthz", "/healthz/", "/api/v1", "/api", "/"].map(path), [true, false, true, false, false]);
    }

    #[test]
    fn covering_needs_as_much_in_every_part() {
        let table = [
            (rule("core", "pods", "", "get list"), rule("core", "pods", "", "get"), true),
            (rule("core", "pods", "", "get"), rule("core", "pods", "", "*"), false),
            (rule("core", "pods", "", "get"), rule("core", "pods", "a", "get"), true),
            (rule("core", "pods", "a", "get"), rule("core", "pods", "", "get"), false),
            (rule("core", "*/status", "", "get"), rule("core", "pods/status", "", "get"), true),
            (rule("*", "*", "", "*"), rule("apps", "deployments", "", "create"), true),
        ];
        for (mine, wanted, expected) in table {
            let covered = wanted.parts().iter().all(|part| mine.covers(part));
            assert_eq!(covered, expected, "{} by {}", wanted.compact(), mine.compact());
        }
    }
}
