//! Forms of names, labels, addresses and ports. Each check gives the reasons why a text is wrong; none means it is right.

use std::net::{IpAddr, Ipv4Addr};

const LABEL_LEN_MAX: usize = 63;
const SUBDOMAIN_LEN_MAX: usize = 253;

const DNS1123_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS1123_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const UNDERSCORE_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const DNS1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

fn characters(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn bytes(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// Begins and ends with `edge`, with `inner` or `edge` between.
fn framed(text: &str, edge: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    let text = text.as_bytes();
    match (text.first(), text.last()) {
        (Some(first), Some(last)) => edge(*first) && edge(*last) && text.iter().all(|byte| edge(*byte) || inner(*byte)),
        _ => false,
    }
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_dash(byte: u8) -> bool {
    byte == b'-'
}

fn is_name_inner(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'.')
}

fn is_label(text: &str) -> bool {
    framed(text, is_lower, is_dash)
}

/// The least that holds for every name: it fits into a path.
pub fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|part| name.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}

pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > LABEL_LEN_MAX {
        whys.push(characters(LABEL_LEN_MAX));
    }
    if !is_label(text) {
        // A subdomain is a common mistake, so upstream says what is wrong with it.
        let subdomain = text.split('.').all(is_label);
        whys.push(if subdomain { "must not contain dots".to_owned() } else { DNS1123_LABEL.to_owned() });
    }
    whys
}

pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > SUBDOMAIN_LEN_MAX {
        whys.push(characters(SUBDOMAIN_LEN_MAX));
    }
    if !text.split('.').all(is_label) {
        whys.push(DNS1123_SUBDOMAIN.to_owned());
    }
    whys
}

/// A subdomain whose labels may have underscores, as resolvers search them.
pub fn subdomain_with_underscore(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > SUBDOMAIN_LEN_MAX {
        whys.push(characters(SUBDOMAIN_LEN_MAX));
    }
    let inner = |byte| matches!(byte, b'-' | b'_');
    let is_part = |part: &str| framed(part.strip_prefix('_').unwrap_or(part), is_lower, inner);
    if !text.split('.').all(is_part) {
        whys.push(UNDERSCORE_SUBDOMAIN.to_owned());
    }
    whys
}

/// The name of an HTTP header.
pub fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|byte| is_alphanumeric(byte) || byte == b'-') {
        return Vec::new();
    }
    vec![HTTP_HEADER.to_owned()]
}

pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > LABEL_LEN_MAX {
        whys.push(characters(LABEL_LEN_MAX));
    }
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        whys.push(DNS1035_LABEL.to_owned());
    }
    whys
}

/// `*.example.com`.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    match text.strip_prefix("*.") {
        Some(rest) if dns1123_subdomain(rest).is_empty() => Vec::new(),
        _ => vec!["a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned()],
    }
}

/// A label's or annotation's key: an optional DNS prefix, `/`, and a name.
pub fn qualified_name(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (prefix, name) = match parts.as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => {
            let form = QUALIFIED_NAME.replacen("must consist", "a qualified name must consist", 1);
            return vec![format!("{form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
        }
    };
    let mut whys = Vec::new();
    match prefix {
        Some("") => whys.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => whys.extend(dns1123_subdomain(prefix).into_iter().map(|why| format!("prefix part {why}"))),
        None => {}
    }
    if name.is_empty() {
        whys.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LEN_MAX {
        whys.push(format!("name part {}", bytes(LABEL_LEN_MAX)));
    }
    if !framed(name, is_alphanumeric, is_name_inner) {
        whys.push(format!("name part {QUALIFIED_NAME}"));
    }
    whys
}

pub fn label_value(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > LABEL_LEN_MAX {
        whys.push(bytes(LABEL_LEN_MAX));
    }
    if !text.is_empty() && !framed(text, is_alphanumeric, is_name_inner) {
        whys.push(LABEL_VALUE.to_owned());
    }
    whys
}

/// A key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > SUBDOMAIN_LEN_MAX {
        whys.push(characters(SUBDOMAIN_LEN_MAX));
    }
    if text.is_empty() || !text.bytes().all(|byte| is_alphanumeric(byte) || is_name_inner(byte)) {
        whys.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." => whys.push("must not be '.'".to_owned()),
        ".." => whys.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => whys.push("must not start with '..'".to_owned()),
        _ => {}
    }
    whys
}

pub fn env_name(text: &str) -> Vec<String> {
    if text.is_empty() || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return vec![ENV_NAME.to_owned()];
    }
    Vec::new()
}

/// The name of a port (IANA service name).
pub fn port_name(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    if text.len() > 15 {
        whys.push(characters(15));
    }
    if text.is_empty() || !text.bytes().all(|byte| is_lower(byte) || byte == b'-') {
        whys.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        whys.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        whys.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        whys.push("must not begin or end with a hyphen".to_owned());
    }
    whys
}

pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65_535)
}

pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) {
        Vec::new()
    } else {
        vec![format!("must be between {low} and {high}, inclusive")]
    }
}

/// IPv4 without leading zeros, or IPv6.
pub fn ip(text: &str) -> Vec<String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

pub fn cidr(text: &str) -> Vec<String> {
    match parse_cidr(text) {
        Some(_) => Vec::new(),
        None => vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()],
    }
}

/// An address and the length of its prefix.
pub fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if length.is_empty() || length.len() > 3 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// Addresses of endpoints: not loopback, link-local or multicast.
pub fn non_special_ip(text: &str) -> Vec<String> {
    let Ok(address) = text.parse::<IpAddr>() else { return ip(text) };
    let mut whys = Vec::new();
    if address.is_unspecified() {
        whys.push(format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        whys.push("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
    }
    let link_local = match address {
        IpAddr::V4(v4) => v4.octets()[..2] == [169, 254],
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    if link_local {
        whys.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
    }
    let local_multicast = match address {
        IpAddr::V4(v4) => v4 & Ipv4Addr::new(255, 255, 255, 0) == Ipv4Addr::new(224, 0, 0, 0),
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    };
    if local_multicast {
        whys.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
    }
    whys
}
