//! Names, label selectors and metadata rules until crate `api` has them.

use api::status::Cause;
use serde_json::Value;

use crate::causes::{invalid_value, required};
use crate::tree;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    Subdomain,
    Label,
    Path,
}

pub fn dns_label(name: &str) -> Option<String> {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: char| c != '-';
    if name.len() <= 63 && name.chars().all(ok) && name.starts_with(ends) && name.ends_with(ends) {
        return None;
    }
    Some(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            .to_owned(),
    )
}

pub fn object_meta(object: &Value, _namespaced: bool, rule: NameRule) -> Vec<Cause> {
    let name = tree::text(object, "metadata.name");
    if name.is_empty() {
        return vec![required("metadata.name", "name or generateName is required")];
    }
    let subdomain = || {
        if name.len() > 253 {
            return Some("must be no more than 253 characters".to_owned());
        }
        let bad = name.split('.').any(|label| dns_label(label).is_some() && label.len() <= 63);
        bad.then(|| {
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
             and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned()
        })
    };
    let why = match rule {
        NameRule::Subdomain => subdomain(),
        NameRule::Label => dns_label(name),
        NameRule::Path => {
            (name == "." || name == ".." || name.contains(['/', '%'])).then(|| "may not be a path".to_owned())
        }
    };
    why.map(|why| invalid_value("metadata.name", &name.into(), &why)).into_iter().collect()
}

pub struct LabelSelector(Vec<Term>);

enum Term {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl LabelSelector {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        let mut depth = 0;
        let mut start = 0;
        for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    let term = text[start..at].trim();
                    start = at + 1;
                    if !term.is_empty() {
                        terms.push(Self::term(term)?);
                    }
                }
                _ => {}
            }
        }
        Ok(Self(terms))
    }

    fn term(term: &str) -> Result<Term, String> {
        if let Some(key) = term.strip_prefix('!') {
            return Ok(Term::Absent(key.trim().to_owned()));
        }
        let set = |rest: &str| -> Result<Vec<String>, String> {
            let inner = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let inner = inner.ok_or_else(|| format!("couldn't parse the selector string {term:?}"))?;
            Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
        };
        if let Some((key, rest)) = term.split_once(" notin ") {
            return Ok(Term::NotIn(key.trim().to_owned(), set(rest)?));
        }
        if let Some((key, rest)) = term.split_once(" in ") {
            return Ok(Term::In(key.trim().to_owned(), set(rest)?));
        }
        if let Some((key, value)) = term.split_once("!=") {
            return Ok(Term::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()]));
        }
        if let Some((key, value)) = term.split_once('=') {
            let value = value.strip_prefix('=').unwrap_or(value).trim();
            return Ok(Term::In(key.trim().to_owned(), vec![value.to_owned()]));
        }
        Ok(Term::Exists(term.to_owned()))
    }

    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|term| match term {
            Term::In(key, values) => label(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Term::NotIn(key, values) => !label(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Term::Exists(key) => label(key).is_some(),
            Term::Absent(key) => label(key).is_none(),
        })
    }
}
