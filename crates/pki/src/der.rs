//! Just enough DER to write a certificate: every function returns one encoded element.
//!
//! Certificates are written here, and not by a library, because a subject with several organizations (a user with
//! several groups) must keep them all.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub type Der = Vec<u8>;

pub fn element(tag: u8, content: &[u8]) -> Der {
    let mut out = vec![tag];
    let len = content.len();
    if let (Ok(short), true) = (u8::try_from(len), len < 0x80) {
        out.push(short);
    } else {
        let bytes = len.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | u8::try_from(significant.len()).expect("invariant: a length has at most eight bytes"));
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}

pub fn sequence(items: &[Der]) -> Der {
    element(0x30, &items.concat())
}

pub fn set(items: &[Der]) -> Der {
    element(0x31, &items.concat())
}

/// Context-specific, constructed.
pub fn explicit(number: u8, content: &[u8]) -> Der {
    element(0xa0 | number, content)
}

/// Context-specific, primitive.
pub fn implicit(number: u8, content: &[u8]) -> Der {
    element(0x80 | number, content)
}

/// A non-negative number, most significant byte first.
pub fn unsigned(bytes: &[u8]) -> Der {
    let stripped = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut content = Vec::with_capacity(stripped.len() + 1);
    if stripped.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(stripped);
    element(0x02, &content)
}

pub fn boolean(value: bool) -> Der {
    element(0x01, &[if value { 0xff } else { 0 }])
}

pub fn octets(content: &[u8]) -> Der {
    element(0x04, content)
}

pub fn bits(content: &[u8], unused: u8) -> Der {
    let mut all = vec![unused];
    all.extend_from_slice(content);
    element(0x03, &all)
}

pub fn utf8(text: &str) -> Der {
    element(0x0c, text.as_bytes())
}

pub fn oid(arcs: &[u32]) -> Der {
    let (first, rest) = match arcs {
        [a, b, rest @ ..] => (a * 40 + b, rest),
        _ => (0, arcs),
    };
    let mut content = Vec::new();
    for arc in std::iter::once(first).chain(rest.iter().copied()) {
        let groups = (0..5).rev().map(|i| u8::try_from((arc >> (7 * i)) & 0x7f).expect("invariant: seven bits"));
        let significant: Vec<u8> = groups.skip_while(|group| *group == 0).collect();
        let significant = if significant.is_empty() { vec![0] } else { significant };
        let last = significant.len() - 1;
        content.extend(significant.iter().enumerate().map(|(i, group)| if i < last { group | 0x80 } else { *group }));
    }
    element(0x06, &content)
}

/// UTCTime up to 2049 and GeneralizedTime after, as RFC 5280 wants it.
pub fn time(at: Timestamp) -> Der {
    let civil = at.to_zoned(TimeZone::UTC);
    if civil.year() < 2050 {
        element(0x17, civil.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        element(0x18, civil.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

/// A subject alternative name.
pub fn dns_name(name: &str) -> Der {
    implicit(2, name.as_bytes())
}

pub fn ip_name(address: IpAddr) -> Der {
    match address {
        IpAddr::V4(v4) => implicit(7, &v4.octets()),
        IpAddr::V6(v6) => implicit(7, &v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_encoded_as_x690_says() {
        assert_eq!(oid(&[1, 2, 840, 10045, 4, 3, 2]), [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        assert_eq!(oid(&[2, 5, 4, 10]), [6, 3, 0x55, 4, 10]);
        assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0]), [2, 1, 0]);
        assert_eq!(element(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(time("2026-01-02T03:04:05Z".parse().unwrap())[2..], *b"260102030405Z");
        assert_eq!(time("2050-01-02T03:04:05Z".parse().unwrap())[2..], *b"20500102030405Z");
    }
}
