//! URLs, as Go's `net/url` reads them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::opaque::Opaque;
use super::{Fault, Row, error, texts};
use crate::value::{Key, Text, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

pub const TABLE: &[Row] = &[
    ("url", "(string) url", |_, a| match Url::parse(a[0].as_text().unwrap_or_default()) {
        Ok(url) => Ok(Value::Opaque(Rc::new(Opaque::Url(url)))),
        Err(why) => error(format!("URL parse error during conversion from string: {why}")),
    }),
    ("isURL", "(string) bool", |_, a| Ok(Value::Bool(a[0].as_text().is_some_and(|text| Url::parse(text).is_ok())))),
    ("getScheme", "url.() string", |_, a| Ok(Value::text(&*of(&a[0])?.scheme))),
    ("getHost", "url.() string", |_, a| Ok(Value::text(&*of(&a[0])?.host))),
    ("getHostname", "url.() string", |_, a| Ok(Value::text(of(&a[0])?.split_host().0))),
    ("getPort", "url.() string", |_, a| Ok(Value::text(of(&a[0])?.split_host().1))),
    ("getEscapedPath", "url.() string", |_, a| Ok(Value::text(escaped_path(&of(&a[0])?.path)))),
    ("getQuery", "url.() map(string, list(string))", |_, a| {
        let mut entries: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in query(&of(&a[0])?.query) {
            entries.entry(name).or_default().push(value);
        }
        let entry =
            |(name, values): (String, Vec<String>)| (Key::Text(Text::Shared(name.into())), texts(values.into_iter()));
        Ok(Value::Map(Rc::new(entries.into_iter().map(entry).collect())))
    }),
];

fn of<'v>(value: &'v Value<'_>) -> Result<&'v Url, Fault> {
    match value {
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Url(url) => Ok(url),
            _ => Err(Fault::Error("no such overload".to_owned())),
        },
        _ => Err(Fault::Error("no such overload".to_owned())),
    }
}

impl Url {
    /// An absolute URL or an absolute path; the fragment is left out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("parse {}: {why}", api::go::quote(text));
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(bad("net/url: invalid control character in URL"));
        }
        if text.is_empty() {
            return Err(bad("empty url"));
        }
        let (scheme, rest) = scheme(text).map_err(bad)?;
        if scheme.is_empty() && !rest.starts_with('/') {
            return Err(bad("invalid URI for request"));
        }
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self {
            text: text.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            host: String::new(),
            path: rest.to_owned(),
            query: query.to_owned(),
        };
        if !scheme.is_empty() && !rest.starts_with('/') {
            // An opaque one, as `mailto:x`.
            url.path.clear();
            return Ok(url);
        }
        if let Some(authority) = rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
            let end = authority.find('/').unwrap_or(authority.len());
            let host = authority[..end].rsplit_once('@').map_or(&authority[..end], |(_, host)| host);
            check_host(host).map_err(|why| bad(&why))?;
            url.host = host.to_owned();
            url.path = authority[end..].to_owned();
        }
        unescape(&url.path, false).map_err(|why| bad(&why))?;
        Ok(url)
    }

    /// Name and port.
    fn split_host(&self) -> (String, String) {
        let (name, port) = match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
            _ => (self.host.as_str(), ""),
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        (bare.to_owned(), port.to_owned())
    }
}

fn scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_host(host: &str) -> Result<(), String> {
    let after = if let Some(rest) = host.strip_prefix('[') {
        let (_, after) = rest.split_once(']').ok_or("missing ']' in host")?;
        after
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let port = after.strip_prefix(':').unwrap_or(after);
    if (!after.is_empty() && !after.starts_with(':')) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid port {} after host", api::go::quote(after)));
    }
    match host.chars().find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')) {
        Some(c) => Err(format!("invalid character {} in host name", api::go::quote(&c.to_string()))),
        None => Ok(()),
    }
}

fn unescape(text: &str, plus: bool) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    let shown = String::from_utf8_lossy(&rest[..rest.len().min(2)]);
                    return Err(format!("invalid URL escape {}", api::go::quote(&format!("%{shown}"))));
                };
                bytes.push(byte);
                rest = &rest[2..];
            }
            b'+' if plus => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn escaped_path(path: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    if path.bytes().all(|byte| unreserved(byte) || b"!'()*[]%".contains(&byte)) {
        return path.to_owned();
    }
    let plain = unescape(path, false).unwrap_or_default();
    let escaped = |byte: u8| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    plain.bytes().map(escaped).collect()
}

/// Pairs that cannot be read are passed over.
fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape(name, true).ok()?, unescape(value, true).ok()?))
    };
    pairs.filter_map(pair).collect()
}
