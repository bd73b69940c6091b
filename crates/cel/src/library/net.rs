//! IP addresses and networks, as Go's `netip` reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use super::opaque::Opaque;
use super::{Fault, Outcome, Row, error, no_overload};
use crate::value::Value;

pub const TABLE: &[Row] = &[
    ("ip", "(string) ip", |_, a| ip_of(a[0].as_text().unwrap_or_default()).map_or_else(error, |ip| Ok(address(ip)))),
    ("isIP", "(string) bool", |_, a| Ok(Value::Bool(a[0].as_text().is_some_and(|text| ip_of(text).is_ok())))),
    ("ip.isCanonical", "(string) bool", |_, a| {
        let text = a[0].as_text().unwrap_or_default();
        ip_of(text).map_or_else(error, |ip| Ok(Value::Bool(ip.to_string() == text)))
    }),
    ("string", "(ip) string", |_, a| Ok(Value::text(ip(&a[0])?.to_string()))),
    ("family", "ip.() int", |_, a| Ok(Value::Int(if ip(&a[0])?.is_ipv4() { 4 } else { 6 }))),
    ("isUnspecified", "ip.() bool", |_, a| Ok(Value::Bool(ip(&a[0])?.is_unspecified()))),
    ("isLoopback", "ip.() bool", |_, a| Ok(Value::Bool(ip(&a[0])?.is_loopback()))),
    ("isLinkLocalMulticast", "ip.() bool", |_, a| Ok(Value::Bool(is_link_local_multicast(ip(&a[0])?)))),
    ("isLinkLocalUnicast", "ip.() bool", |_, a| Ok(Value::Bool(is_link_local_unicast(ip(&a[0])?)))),
    ("isGlobalUnicast", "ip.() bool", |_, a| Ok(Value::Bool(is_global_unicast(ip(&a[0])?)))),
    ("cidr", "(string) cidr", |_, a| match cidr_of(a[0].as_text().unwrap_or_default()) {
        Ok((ip, length)) => Ok(network(ip, length)),
        Err(why) => error(format!("network address parse error during conversion from string: {why}")),
    }),
    ("isCIDR", "(string) bool", |_, a| Ok(Value::Bool(a[0].as_text().is_some_and(|text| cidr_of(text).is_ok())))),
    ("string", "(cidr) string", |_, a| {
        let (ip, length) = cidr(&a[0])?;
        Ok(Value::text(format!("{ip}/{length}")))
    }),
    ("ip", "cidr.() ip", |_, a| Ok(address(cidr(&a[0])?.0))),
    ("prefixLength", "cidr.() int", |_, a| Ok(Value::Int(cidr(&a[0])?.1.into()))),
    ("masked", "cidr.() cidr", |_, a| {
        let (ip, length) = cidr(&a[0])?;
        Ok(network(masked(ip, length), length))
    }),
    ("containsIP", "cidr.(string) bool", |_, a| contains_ip(a)),
    ("containsIP", "cidr.(ip) bool", |_, a| contains_ip(a)),
    ("containsCIDR", "cidr.(string) bool", |_, a| contains_cidr(a)),
    ("containsCIDR", "cidr.(cidr) bool", |_, a| contains_cidr(a)),
];

fn address<'a>(ip: IpAddr) -> Value<'a> {
    Value::Opaque(Rc::new(Opaque::Ip(ip)))
}

fn network<'a>(ip: IpAddr, length: u8) -> Value<'a> {
    Value::Opaque(Rc::new(Opaque::Cidr(ip, length)))
}

fn wrong() -> Fault {
    Fault::Error("no such overload".to_owned())
}

fn ip(value: &Value<'_>) -> Result<IpAddr, Fault> {
    match value {
        Value::Opaque(opaque) => match **opaque {
            Opaque::Ip(ip) => Ok(ip),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn cidr(value: &Value<'_>) -> Result<(IpAddr, u8), Fault> {
    match value {
        Value::Opaque(opaque) => match **opaque {
            Opaque::Cidr(ip, length) => Ok((ip, length)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn ip_of(text: &str) -> Result<IpAddr, String> {
    if let Some((bare, _)) = text.split_once('%')
        && bare.parse::<Ipv6Addr>().is_ok()
    {
        return Err(format!("IP address {} with zone value is not allowed", api::go::quote(text)));
    }
    let ip: IpAddr = text.parse().map_err(|_| {
        let quoted = api::go::quote(text);
        format!("IP Address {quoted} parse error during conversion from string: ParseAddr({quoted}): {}", why_not(text))
    })?;
    if is_mapped(ip) {
        return Err(format!("IPv4-mapped IPv6 address {} is not allowed", api::go::quote(text)));
    }
    Ok(ip)
}

fn why_not(text: &str) -> String {
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() < 2 || text.contains(':') || !parts.iter().all(digits) {
        return "unable to parse IP".to_owned();
    }
    if parts.iter().any(|part| part.len() > 1 && part.starts_with('0')) {
        return "IPv4 field has octet with leading zero".to_owned();
    }
    if parts.iter().any(|part| part.parse::<u8>().is_err()) {
        return "IPv4 field has value >255".to_owned();
    }
    if parts.len() < 4 { "IPv4 address too short" } else { "IPv4 address too long" }.to_owned()
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

fn cidr_of(text: &str) -> Result<(IpAddr, u8), String> {
    let quoted = api::go::quote(text);
    let bad = |why: &str| {
        format!("network address parse error during conversion from string: netip.ParsePrefix({quoted}): {why}")
    };
    let (address, length) = text.rsplit_once('/').ok_or_else(|| bad("no '/'"))?;
    let ip: IpAddr =
        address.parse().map_err(|_| bad(&format!("ParseAddr({}): {}", api::go::quote(address), why_not(address))))?;
    let plain = length.bytes().all(|byte| byte.is_ascii_digit()) && (length.len() == 1 || !length.starts_with('0'));
    let length: u8 = length
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| bad(&format!("bad bits after slash: {}", api::go::quote(length))))?;
    if length > if ip.is_ipv4() { 32 } else { 128 } {
        return Err(bad("prefix length out of range"));
    }
    if is_mapped(ip) {
        return Err(format!("IPv4-mapped IPv6 address {quoted} is not allowed"));
    }
    Ok((ip, length))
}

fn masked(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or_default();
            Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or_default();
            Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

fn contains_ip<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (base, length) = cidr(&args[0])?;
    let other = match &args[1] {
        Value::Text(text) => ip_of(text).map_err(Fault::Error)?,
        other => ip(other)?,
    };
    let same_family = base.is_ipv4() == other.is_ipv4();
    Ok(Value::Bool(same_family && masked(base, length) == masked(other, length)))
}

/// The other's own address must be that of the network: host bits beyond the prefix make it another.
fn contains_cidr<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (base, length) = cidr(&args[0])?;
    let (other, other_length) = match &args[1] {
        Value::Text(text) => cidr_of(text).map_err(Fault::Error)?,
        value @ Value::Opaque(_) => cidr(value)?,
        _ => return no_overload(),
    };
    let same_family = base.is_ipv4() == other.is_ipv4();
    let inside = same_family && masked(base, length) == masked(other, length);
    Ok(Value::Bool(inside && length <= other_length))
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local_unicast(ip);
    !broadcast && !special
}
