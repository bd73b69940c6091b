//! The bare wire format: keys, varints and lengths, in and out.

use super::ProtobufError;
use super::ProtobufError::Malformed;

pub const VARINT: u8 = 0;
pub const FIXED64: u8 = 1;
pub const LEN: u8 = 2;

#[derive(Clone, Copy)]
pub enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    pub fn number(self) -> Result<u64, ProtobufError> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err(Malformed),
        }
    }

    pub fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(Malformed),
        }
    }
}

/// The fields of a message in their order. Ends after the first error.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Wire<'a>), ProtobufError> {
        let key = read_varint(&mut self.0)?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        let wire = match key & 7 {
            0 => Wire::Number(read_varint(&mut self.0)?),
            1 => Wire::Number(self.fixed::<8>().map(u64::from_le_bytes)?),
            2 => {
                let len = usize::try_from(read_varint(&mut self.0)?).map_err(|_| Malformed)?;
                let (content, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
                self.0 = rest;
                Wire::Bytes(content)
            }
            5 => Wire::Number(self.fixed::<4>().map(u32::from_le_bytes)?.into()),
            _ => return Err(Malformed),
        };
        Ok((number, wire))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let (content, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*content)
    }
}

pub fn read_varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed)
}

pub fn key(out: &mut Vec<u8>, number: u32, wire: u8) {
    varint(out, (u64::from(number) << 3) | u64::from(wire));
}

pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    out.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    u8::try_from(number & 0x7f).expect("invariant: seven bits fit a byte")
}

pub fn bytes_field(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    key(out, number, LEN);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A field whose length is known when its content is written: room for a short length is left, and made for a longer one.
pub fn nested(
    out: &mut Vec<u8>,
    number: u32,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), ProtobufError>,
) -> Result<(), ProtobufError> {
    key(out, number, LEN);
    let at = out.len();
    out.push(0);
    content(out)?;
    let len = out.len() - at - 1;
    if let Ok(short @ 0..0x80) = u8::try_from(len) {
        out[at] = short;
        return Ok(());
    }
    let mut prefix = Vec::with_capacity(10);
    varint(&mut prefix, len as u64);
    let more = prefix.len() - 1;
    out.resize(out.len() + more, 0);
    out.copy_within(at + 1..at + 1 + len, at + prefix.len());
    out[at..at + prefix.len()].copy_from_slice(&prefix);
    Ok(())
}
