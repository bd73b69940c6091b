//! What calls may ask besides a resource and a name: selections, pages, patches, deletion options; as query strings and
//! bodies.

use api::Revision;
use serde_json::{Value, json};

/// A list, or one page of it. Empty strings ask for nothing.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    pub labels: String,
    pub fields: String,
    pub limit: usize,
    pub continue_token: String,
}

/// A watch of everything after `after`; with `None`, of everything that is and will be.
#[derive(Clone, Debug, Default)]
pub struct WatchQuery {
    pub labels: String,
    pub fields: String,
    pub after: Option<Revision>,
    /// When the server ends the watch.
    pub timeout_secs: u64,
}

#[derive(Clone, Debug)]
pub enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
    /// Server-side apply.
    Apply {
        object: Value,
        field_manager: String,
        force: bool,
    },
}

#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub uid: Option<String>,
    pub revision: Option<Revision>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation: Option<&'static str>,
    pub grace_period_secs: Option<i64>,
}

impl ListQuery {
    pub(crate) fn to_query(&self) -> String {
        let limit = if self.limit == 0 { String::new() } else { self.limit.to_string() };
        encode(&[
            ("labelSelector", &self.labels),
            ("fieldSelector", &self.fields),
            ("limit", &limit),
            ("continue", &self.continue_token),
        ])
    }
}

impl WatchQuery {
    pub(crate) fn to_query(&self) -> String {
        let after = self.after.map(|revision| revision.to_string()).unwrap_or_default();
        let timeout = if self.timeout_secs == 0 { String::new() } else { self.timeout_secs.to_string() };
        encode(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("labelSelector", &self.labels),
            ("fieldSelector", &self.fields),
            ("resourceVersion", &after),
            ("timeoutSeconds", &timeout),
        ])
    }
}

impl Patch {
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json-patch+json",
            Self::Merge(_) => "application/merge-patch+json",
            Self::Strategic(_) => "application/strategic-merge-patch+json",
            Self::Apply { .. } => "application/apply-patch+yaml",
        }
    }

    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::Json(body) | Self::Merge(body) | Self::Strategic(body) | Self::Apply { object: body, .. } => body,
        }
    }

    pub(crate) fn to_query(&self) -> String {
        match self {
            Self::Apply { field_manager, force, .. } => {
                encode(&[("fieldManager", field_manager), ("force", if *force { "true" } else { "" })])
            }
            Self::Json(_) | Self::Merge(_) | Self::Strategic(_) => String::new(),
        }
    }
}

impl DeleteOptions {
    pub(crate) fn to_tree(&self) -> Value {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        let mut preconditions = serde_json::Map::new();
        if let Some(uid) = &self.uid {
            preconditions.insert("uid".to_owned(), json!(uid));
        }
        if let Some(revision) = self.revision {
            preconditions.insert("resourceVersion".to_owned(), json!(revision.to_string()));
        }
        if !preconditions.is_empty() {
            options["preconditions"] = Value::Object(preconditions);
        }
        if let Some(propagation) = self.propagation {
            options["propagationPolicy"] = json!(propagation);
        }
        if let Some(secs) = self.grace_period_secs {
            options["gracePeriodSeconds"] = json!(secs);
        }
        options
    }
}

/// A query string with its question mark, of the pairs that have a value.
fn encode(pairs: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                query.push(char::from(byte));
            } else {
                query.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_escaped_and_empty_parts_left_out() {
        let query = ListQuery { labels: "a in (b,c)".into(), limit: 5, ..ListQuery::default() };
        assert_eq!(query.to_query(), "?labelSelector=a%20in%20%28b%2Cc%29&limit=5");
        assert_eq!(ListQuery::default().to_query(), "");
    }
}
