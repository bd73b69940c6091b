//! Links in what a backend answers, turned to lead through the proxy: the Location of a redirect, and the attributes of
//! an HTML page that hold URLs.
//!
//! Only the values change; the rest of a page stays byte by byte as it was. (Upstream writes each tag anew.)

use std::io::{Read, Write};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};

use crate::http::body::{self, Body};

/// A longer page is passed on as it is.
const PAGE_LEN_MAX: usize = 16 << 20;

/// Which attributes of which tags hold URLs (HTML 4 and 5, as upstream lists them).
const URLS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text up to their end tag, whatever it looks like.
const RAW: &[&str] = &["iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"];

/// What a link is compared with: where the page came from, and where the client thinks it is.
pub struct Links<'a> {
    /// Up to `proxy`.
    pub prefix: &'a str,
    /// host:port of the backend.
    pub backend: &'a str,
    /// The Host of the request.
    pub host: &'a str,
}

impl Links<'_> {
    /// A link to the backend's own root leads through the proxy; any other stays.
    pub fn turned(&self, link: &str) -> String {
        let (host, rest) = match link.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            _ => match link.strip_prefix("//") {
                Some(rest) => {
                    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                    (Some(&rest[..end]), &rest[end..])
                }
                None => (None, link),
            },
        };
        let elsewhere = host.is_some_and(|host| host != self.backend && host != self.host);
        if elsewhere || !rest.starts_with('/') {
            return link.to_owned();
        }
        // A link that names the client's own host keeps saying so.
        let origin = if host.is_some_and(|host| host == self.host) { &link[..link.len() - rest.len()] } else { "" };
        let prefix = if rest.starts_with(self.prefix) { "" } else { self.prefix };
        format!("{origin}{prefix}{rest}")
    }

    /// The page with its links turned.
    fn page(&self, page: &str) -> String {
        let mut out = String::with_capacity(page.len() + page.len() / 8);
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            let token = Token::first(rest);
            match token {
                Token::Tag { name, len } => {
                    self.tag(&rest[..len], &name, &mut out);
                    rest = &rest[len..];
                    if RAW.contains(&name.as_str()) {
                        let end = end_of_raw(rest, &name);
                        out.push_str(&rest[..end]);
                        rest = &rest[end..];
                    }
                }
                Token::Other { len } => {
                    out.push_str(&rest[..len]);
                    rest = &rest[len..];
                }
            }
        }
        out + rest
    }

    fn tag(&self, tag: &str, name: &str, out: &mut String) {
        let urls = URLS.iter().find(|(of, _)| *of == name).map(|(_, urls)| *urls).unwrap_or_default();
        let mut copied = 0;
        for (attribute, from, to) in attributes(tag, name.len() + 1) {
            if urls.contains(&attribute.as_str()) {
                out.push_str(&tag[copied..from]);
                out.push_str(&self.turned(&tag[from..to]));
                copied = to;
            }
        }
        out.push_str(&tag[copied..]);
    }
}

enum Token {
    Tag {
        name: String,
        len: usize,
    },
    /// A comment, a declaration, an end tag, or a `<` that begins nothing.
    Other {
        len: usize,
    },
}

impl Token {
    /// What `text`, which begins with `<`, begins with.
    fn first(text: &str) -> Self {
        let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
        if text.starts_with("<!--") {
            return Self::Other { len: until("-->") };
        }
        if text.starts_with("<!") || text.starts_with("<?") || text.starts_with("</") {
            return Self::Other { len: until(">") };
        }
        let name: String =
            text[1..].chars().take_while(|c| !c.is_ascii_whitespace() && !matches!(c, '/' | '>')).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Self::Other { len: 1 };
        }
        // A tag that never ends is text.
        match end_of_tag(text) {
            Some(len) => Self::Tag { name: name.to_ascii_lowercase(), len },
            None => Self::Other { len: text.len() },
        }
    }
}

/// Where a tag ends: at the first `>` outside quotes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at + 1),
            (None, '"' | '\'') if before == '=' => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        if !c.is_ascii_whitespace() {
            before = c;
        }
    }
    None
}

/// The attributes of a tag that have a value: their names, and where the value lies, from `at` on.
fn attributes(tag: &str, at: usize) -> Vec<(String, usize, usize)> {
    let bytes = tag.as_bytes();
    let skip = |mut at: usize, while_: fn(u8) -> bool| {
        while at < bytes.len() && while_(bytes[at]) {
            at += 1;
        }
        at
    };
    let mut found = Vec::new();
    let mut at = at;
    loop {
        at = skip(at, |byte| byte.is_ascii_whitespace() || byte == b'/');
        let name_end = skip(at, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'>' | b'/'));
        if name_end == at {
            return found;
        }
        let name = tag[at..name_end].to_ascii_lowercase();
        at = skip(name_end, |byte| byte.is_ascii_whitespace());
        if bytes.get(at) != Some(&b'=') {
            continue;
        }
        at = skip(at + 1, |byte| byte.is_ascii_whitespace());
        let (from, to) = match bytes.get(at) {
            Some(b'"') => (at + 1, skip(at + 1, |byte| byte != b'"')),
            Some(b'\'') => (at + 1, skip(at + 1, |byte| byte != b'\'')),
            _ => (at, skip(at, |byte| !byte.is_ascii_whitespace() && byte != b'>')),
        };
        found.push((name, from, to));
        at = (to + usize::from(from > at)).min(bytes.len());
    }
}

fn end_of_raw(text: &str, name: &str) -> usize {
    let mut from = 0;
    while let Some(found) = text[from..].find("</") {
        let at = from + found;
        let follows = text.get(at + 2..at + 2 + name.len());
        if follows.is_some_and(|follows| follows.eq_ignore_ascii_case(name)) {
            return at;
        }
        from = at + 2;
    }
    text.len()
}

pub fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let encoding = headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes);
    kind.split(';').next().unwrap_or_default().trim() == "text/html" && matches!(encoding, None | Some(b"gzip"))
}

/// Turns the links of a page that is_html found to be one.
pub async fn turn_page(headers: &mut HeaderMap, page: Body, links: &Links<'_>) -> Result<Body, String> {
    let (bytes, rest) = read(page).await?;
    if let Some(rest) = rest {
        return Ok(chained(bytes, rest));
    }
    let gzip = headers.contains_key(CONTENT_ENCODING);
    let plain = if gzip { unzip(&bytes) } else { Some(bytes.to_vec()) };
    let Some(plain) = plain.and_then(|plain| String::from_utf8(plain).ok()) else { return Ok(body::whole(bytes)) };
    let turned = links.page(&plain).into_bytes();
    headers.remove(CONTENT_LENGTH);
    if !gzip {
        return Ok(body::whole(turned));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let zipped = encoder.write_all(&turned).and_then(|()| encoder.finish());
    zipped.map(body::whole).map_err(|error| error.to_string())
}

/// All of a page, or its beginning and what is left beyond the bound.
async fn read(mut page: Body) -> Result<(Bytes, Option<Body>), String> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = page.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        bytes.extend_from_slice(frame.data_ref().map(|data| &**data).unwrap_or_default());
        if bytes.len() > PAGE_LEN_MAX {
            return Ok((bytes.freeze(), Some(page)));
        }
    }
    Ok((bytes.freeze(), None))
}

fn chained(first: Bytes, rest: Body) -> Body {
    let first = futures::stream::iter([Ok(Frame::data(first))]);
    BodyExt::boxed(StreamBody::new(first.chain(BodyStream::new(rest))))
}

fn unzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(PAGE_LEN_MAX as u64 + 1);
    decoder.read_to_end(&mut plain).ok()?;
    (plain.len() <= PAGE_LEN_MAX).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const LINKS: Links<'static> =
        Links { prefix: "/api/v1/namespaces/n/pods/p/proxy", backend: "10.0.0.1:80", host: "localhost:8001" };

    fn check(page: &str, expected: &Expect) {
        expected.assert_eq(&LINKS.page(page));
    }

    #[test]
    fn links_to_the_backends_root_lead_through_the_proxy_and_others_stay() {
        let turned = |link: &str| LINKS.turned(link);
        assert_eq!(turned("/a/?q#f"), "/api/v1/namespaces/n/pods/p/proxy/a/?q#f");
        assert_eq!(turned("http://10.0.0.1:80/a"), "/api/v1/namespaces/n/pods/p/proxy/a");
        assert_eq!(turned("https://localhost:8001/a"), "https://localhost:8001/api/v1/namespaces/n/pods/p/proxy/a");
        for same in
            ["a/b", "?q", "#f", "http://example.org/a", "//example.org/a", "mailto:a@b", "http://10.0.0.1:80", ""]
        {
            assert_eq!(turned(same), same);
        }
        let done = "/api/v1/namespaces/n/pods/p/proxy/x";
        assert_eq!(turned(done), done);
    }

    #[test]
    fn the_urls_of_a_page_are_found() {
        check(r#"<a href="/x">test</a>"#, &expect![[r#"<a href="/api/v1/namespaces/n/pods/p/proxy/x">test</a>"#]]);
        check(
            "<A class=b HREF = '/x'>\n<img src=/i.png usemap><img alt=\"/a\" src='b'/>",
            &expect![[r#"
                <A class=b HREF = '/api/v1/namespaces/n/pods/p/proxy/x'>
                <img src=/api/v1/namespaces/n/pods/p/proxy/i.png usemap><img alt="/a" src='b'/>"#]],
        );
        check(
            r#"<!doctype html><!-- <a href="/x"> --><script src="/s">if (a<b) "<a href='/x'>"</script><link href="/l">"#,
            &expect![[
                r#"<!doctype html><!-- <a href="/x"> --><script src="/api/v1/namespaces/n/pods/p/proxy/s">if (a<b) "<a href='/x'>"</script><link href="/api/v1/namespaces/n/pods/p/proxy/l">"#
            ]],
        );
        check("1 < 2 <p title=\"a>b\">ü<a href=\"/", &expect![[r#"1 < 2 <p title="a>b">ü<a href="/"#]]);
    }
}
