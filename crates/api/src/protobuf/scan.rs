//! Reads JSON in place, field by field, without a tree: what the encoder walks.
//!
//! It is meant for JSON that we wrote ourselves. It takes malformed JSON for an error or for some other value, but never
//! panics or reads on for ever.

use std::borrow::Cow;

use super::ProtobufError;
use super::ProtobufError::NotJson;

#[derive(Clone)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The first byte of what comes next.
    pub fn peek(&mut self) -> Result<u8, ProtobufError> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().ok_or(NotJson)
    }

    /// Goes past the byte if it is what comes next.
    pub fn take(&mut self, byte: u8) -> Result<bool, ProtobufError> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    pub fn expect(&mut self, byte: u8) -> Result<(), ProtobufError> {
        if self.take(byte)? { Ok(()) } else { Err(NotJson) }
    }

    /// The next field's name; `None` behind the last one. Call after the opening brace.
    pub fn field(&mut self) -> Result<Option<Cow<'a, [u8]>>, ProtobufError> {
        self.take(b',')?;
        if self.take(b'}')? {
            return Ok(None);
        }
        let name = self.string()?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Whether there is a next item. Call after the opening bracket.
    pub fn item(&mut self) -> Result<bool, ProtobufError> {
        self.take(b',')?;
        Ok(!self.take(b']')?)
    }

    /// The content of a string, which is copied only if it has escapes.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, ProtobufError> {
        let raw = self.raw_string()?;
        let content = &raw[1..raw.len() - 1];
        if !content.contains(&b'\\') {
            return Ok(Cow::Borrowed(content));
        }
        let text: String = serde_json::from_slice(raw).map_err(|_| NotJson)?;
        Ok(Cow::Owned(text.into_bytes()))
    }

    /// A string with its quotes.
    fn raw_string(&mut self) -> Result<&'a [u8], ProtobufError> {
        self.expect(b'"')?;
        let start = self.at - 1;
        loop {
            let rest = self.bytes.get(self.at..).ok_or(NotJson)?;
            let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).ok_or(NotJson)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok(&self.bytes[start..self.at]);
            }
            self.at += 1;
        }
    }

    /// Whatever comes next, as it is written.
    pub fn value(&mut self) -> Result<&'a [u8], ProtobufError> {
        self.peek()?;
        let start = self.at;
        let mut open = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.raw_string()?;
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1).ok_or(NotJson)?;
                    self.at += 1;
                }
                b',' | b':' => {
                    self.at += 1;
                    continue;
                }
                _ => self.word(),
            }
            if open == 0 {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }

    /// Goes past a number, `true`, `false` or `null`.
    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"' | b' ' | b'\n' | b'\t' | b'\r');
        self.at += rest.iter().position(ends).unwrap_or(rest.len()).max(1);
    }

    /// Goes past `null` if it comes next.
    pub fn null(&mut self) -> Result<bool, ProtobufError> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        self.word();
        Ok(true)
    }
}

/// apiVersion and kind of an object. Discovery's first answers have no apiVersion; it is v1.
pub fn type_of(json: &[u8]) -> Option<(String, String)> {
    let mut scan = Scan::new(json);
    let (mut api_version, mut kind) = (None, None);
    scan.expect(b'{').ok()?;
    while api_version.is_none() || kind.is_none() {
        let Some(name) = scan.field().ok()? else { break };
        let slot = match &*name {
            b"apiVersion" => &mut api_version,
            b"kind" => &mut kind,
            _ => {
                scan.value().ok()?;
                continue;
            }
        };
        *slot = Some(String::from_utf8(scan.string().ok()?.into_owned()).ok()?);
    }
    Some((api_version.unwrap_or_else(|| "v1".to_owned()), kind?))
}
