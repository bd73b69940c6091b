//! Field selectors: `metadata.name=x,spec.nodeName!=n1`.

use std::fmt;

/// All requirements must hold. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub requirements: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    pub field: String,
    pub value: String,
    /// `=` or `==`; otherwise `!=`.
    pub equal: bool,
}

impl FieldSelector {
    /// Reads the string form. Values may escape `\`, `,` and `=` with a backslash.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let Some((field, equal, value)) = split_operator(&term) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
            };
            requirements.push(FieldRequirement { field: field.to_owned(), value: unescape(value)?, equal });
        }
        Ok(Self { requirements })
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Refuses fields that a resource does not offer, with upstream's words.
    pub fn check(&self, supported: &[&str]) -> Result<(), String> {
        match self.requirements.iter().find(|one| !supported.contains(&one.field.as_str())) {
            Some(one) => Err(format!("field label not supported: {}", one.field)),
            None => Ok(()),
        }
    }

    /// Whether the values that `get` gives for the fields fit. An absent field is the empty text.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> &'a str) -> bool {
        self.requirements.iter().all(|one| (get(&one.field) == one.value) == one.equal)
    }

    /// The value that a field must have, when the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, one) in self.requirements.iter().enumerate() {
            let (comma, sign) = (if at == 0 { "" } else { "," }, if one.equal { "=" } else { "!=" });
            let value = one.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{sign}{value}", one.field)?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            terms.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(term) = terms.last_mut() {
            term.push(c);
        }
    }
    terms
}

fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in term.char_indices() {
        let rest = &term[at..];
        for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(sign) {
                return Some((&term[..at], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => text.push(next),
                Some(next) => return Err(format!("invalid field selector: invalid escape sequence: \\{next}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            c => text.push(c),
        }
    }
    Ok(text)
}
