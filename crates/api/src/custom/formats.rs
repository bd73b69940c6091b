//! The `format`s of strings that are checked; others are only words.

use crate::validation::name;

/// The formats that v1.36 knows; a definition with others is warned about.
pub const KNOWN: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "date-time",
    "datetime",
    "int32",
    "int64",
    "float",
    "double",
    "k8s-short-name",
    "k8s-long-name",
];

/// Whether the text has the format; `None` for formats that say nothing about strings.
pub fn check(format: &str, text: &str) -> Option<bool> {
    Some(match format {
        "uri" => uri(text),
        "email" => email(text),
        "hostname" => hostname(text),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => name::parse_cidr(text).is_some(),
        "mac" => mac(text),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some(b'3')),
        "uuid4" => uuid(text, Some(b'4')),
        "uuid5" => uuid(text, Some(b'5')),
        "isbn" => isbn10(text) || isbn13(text),
        "isbn10" => isbn10(text),
        "isbn13" => isbn13(text),
        "creditcard" => credit_card(text),
        "ssn" => ssn(text),
        "hexcolor" => hex_color(text),
        "rgbcolor" => rgb_color(text),
        "byte" => base64(text),
        "password" => true,
        "date" => date(text),
        "duration" => duration(text),
        "date-time" | "datetime" => date_time(text),
        "bsonobjectid" => text.len() == 24 && is_hex(text),
        "k8s-short-name" => name::dns1123_label(text).is_empty(),
        "k8s-long-name" => name::dns1123_subdomain(text).is_empty(),
        _ => return None,
    })
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// As a request line takes it: absolute, or a path from the root.
fn uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(letters) && rest.starts_with('/')
}

fn email(text: &str) -> bool {
    let address = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(open), Some(inner)) => &inner[open + 1..],
        _ => text.trim(),
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let dots = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.contains("..");
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (quoted || (dots(local) && local.chars().all(atom))) && dots(domain) && domain.chars().all(atom)
}

fn hostname(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    let edge = |c: char| c.is_ascii_alphanumeric() || c.is_alphabetic() || (!c.is_ascii() && !c.is_whitespace());
    let label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.starts_with(edge)
            && label.ends_with(edge)
            && label.chars().all(|c| edge(c) || c == '-')
    };
    let last_long = labels.len() == 1 || labels.last().is_some_and(|last| last.chars().count() > 1);
    text.len() <= 255 && last_long && labels.iter().all(label)
}

fn mac(text: &str) -> bool {
    let separated = |separator: char, width: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|part| part.len() == width && is_hex(part))
    };
    separated(':', 2, &[6, 8, 20]) || separated('-', 2, &[6, 8, 20]) || separated('.', 4, &[3, 4, 10])
}

fn uuid(text: &str, version: Option<u8>) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut bytes = text.bytes().peekable();
    let mut hex = Vec::with_capacity(32);
    for (at, length) in GROUPS.into_iter().enumerate() {
        if at > 0 {
            bytes.next_if_eq(&b'-');
        }
        hex.extend(bytes.by_ref().take(length));
    }
    let variant = |byte: u8| version == Some(b'3') || matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
    hex.len() == 32
        && bytes.next().is_none()
        && hex.iter().all(u8::is_ascii_hexdigit)
        && version.is_none_or(|version| hex[12] == version && variant(hex[16]))
}

fn isbn_digits(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).collect()
}

fn isbn10(text: &str) -> bool {
    let digits = isbn_digits(text);
    let value = |(at, byte): (usize, u8)| match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'X' if at == 9 => Some(10),
        _ => None,
    };
    let values: Option<Vec<u32>> = digits.bytes().enumerate().map(value).collect();
    values.is_some_and(|values| values.len() == 10 && values.iter().zip(1..).map(|(v, n)| v * n).sum::<u32>() % 11 == 0)
}

fn isbn13(text: &str) -> bool {
    let digits = isbn_digits(text);
    let weighted = digits
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(byte, weight)| u32::from(byte.wrapping_sub(b'0')) * weight);
    digits.len() == 13 && is_digits(&digits) && weighted.sum::<u32>() % 10 == 0
}

/// Luhn's sum.
fn credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    if !(12..=19).contains(&digits.len()) || !is_digits(&digits) {
        return false;
    }
    let doubled = |(at, byte): (usize, u8)| {
        let digit = u32::from(byte - b'0');
        if at % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
    };
    digits.bytes().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

fn ssn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', ' ']).collect();
    matches!(parts.as_slice(), [a, b, c] if a.len() == 3 && b.len() == 2 && c.len() == 4)
        && parts.iter().all(|part| is_digits(part))
}

fn hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && is_hex(digits)
}

fn rgb_color(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| is_digits(part) && part.parse::<u8>().is_ok())
    })
}

fn base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn date_time(text: &str) -> bool {
    text.as_bytes().get(10).is_some_and(|byte| matches!(byte, b'T' | b't')) && text.parse::<jiff::Timestamp>().is_ok()
}

/// Go's durations (`1h30m`), and counts of words (`3 days`).
fn duration(text: &str) -> bool {
    const UNITS: &[&str] = &["ns", "us", "µs", "ms", "s", "m", "h"];
    const WORDS: &[&str] = &["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week"];
    let mut rest = text.trim().trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit_at = rest[digits..].trim_start();
        let unit_end = unit_at.find(|c: char| !c.is_alphabetic()).unwrap_or(unit_at.len());
        let unit = &unit_at[..unit_end];
        let known = UNITS.contains(&unit) || matches!(unit, "d" | "w") || WORDS.contains(&unit.trim_end_matches('s'));
        if digits == 0 || !known {
            return false;
        }
        any = true;
        rest = unit_at[unit_end..].trim_start();
    }
    any
}
