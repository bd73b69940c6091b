//! Writes protobuf straight from an object's JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::ProtobufError::{self, NotJson};
use super::plan::{self, Choice, Message, Shape};
use super::scan::Scan;
use super::wire::{FIXED64, VARINT, bytes_field, key, nested, varint};
use super::{DEPTH_MAX, wire};

type Outcome = Result<(), ProtobufError>;

/// The fields of an object's JSON as the message at a position.
pub fn object(json: &[u8], message: u32, out: &mut Vec<u8>) -> Outcome {
    fields(&mut Scan::new(json), plan::message(message), out, 0)
}

/// Writes an object's fields, and goes past it. What is inlined is looked for again from the start.
fn fields(scan: &mut Scan<'_>, message: &Message, out: &mut Vec<u8>, depth: usize) -> Outcome {
    if depth > DEPTH_MAX {
        return Err(NotJson);
    }
    let start = scan.clone();
    scan.expect(b'{')?;
    while let Some(name) = scan.field()? {
        match message.field(&name) {
            Some(field) => value(scan, field.number, &field.shape, out, depth)?,
            None => {
                scan.value()?;
            }
        }
    }
    for (number, inner) in &message.inlined {
        let before = out.len();
        let mut content = 0;
        nested(out, *number, |out| {
            let begin = out.len();
            fields(&mut start.clone(), inner, out, depth + 1)?;
            content = out.len() - begin;
            Ok(())
        })?;
        if content == 0 {
            out.truncate(before);
        }
    }
    Ok(())
}

/// Writes one field; null is no field.
fn value(scan: &mut Scan<'_>, number: u32, shape: &Shape, out: &mut Vec<u8>, depth: usize) -> Outcome {
    if scan.null()? {
        return Ok(());
    }
    match shape {
        Shape::List(item) => {
            scan.expect(b'[')?;
            while scan.item()? {
                one(scan, number, item, out, depth)?;
            }
            Ok(())
        }
        Shape::Map(of) => {
            scan.expect(b'{')?;
            while let Some(name) = scan.field()? {
                nested(out, number, |out| {
                    bytes_field(out, 1, &name);
                    one(scan, 2, of, out, depth)
                })?;
            }
            Ok(())
        }
        _ => one(scan, number, shape, out, depth),
    }
}

/// Writes one value of a list or map, or of a field that is neither.
fn one(scan: &mut Scan<'_>, number: u32, shape: &Shape, out: &mut Vec<u8>, depth: usize) -> Outcome {
    match shape {
        Shape::Raw => {
            let raw = scan.value()?;
            nested(out, number, |out| {
                bytes_field(out, 1, raw);
                Ok(())
            })
        }
        _ if scan.null()? => {
            // A null among others counts as the zero value.
            match shape {
                Shape::Number | Shape::Bool => key(out, number, VARINT),
                _ => key(out, number, wire::LEN),
            }
            out.push(0);
            Ok(())
        }
        Shape::Text => {
            bytes_field(out, number, &scan.string()?);
            Ok(())
        }
        Shape::Bytes => {
            let bytes = STANDARD.decode(scan.string()?).map_err(|_| NotJson)?;
            bytes_field(out, number, &bytes);
            Ok(())
        }
        Shape::Number | Shape::Bool | Shape::Double => scalar(scan, number, shape, out),
        Shape::Quantity => {
            let text = if scan.peek()? == b'"' { scan.string()? } else { scan.value()?.into() };
            nested(out, number, |out| {
                bytes_field(out, 1, &text);
                Ok(())
            })
        }
        Shape::IntOrString => int_or_string(scan, number, out),
        Shape::Time { micros } => time(scan, number, *micros, out),
        Shape::Message(message) => nested(out, number, |out| fields(scan, plan::message(*message), out, depth + 1)),
        // A list where protobuf cannot repeat (a map's value) is a message whose first field is the items.
        Shape::List(_) | Shape::Map(_) => nested(out, number, |out| value(scan, 1, shape, out, depth + 1)),
        Shape::Choice(choice) => nested(out, number, |out| chosen(scan, *choice, out, depth + 1)),
    }
}

fn scalar(scan: &mut Scan<'_>, number: u32, shape: &Shape, out: &mut Vec<u8>) -> Outcome {
    let text = std::str::from_utf8(scan.value()?).map_err(|_| NotJson)?;
    match shape {
        Shape::Bool => {
            key(out, number, VARINT);
            out.push(u8::from(text == "true"));
        }
        Shape::Double => {
            let float: f64 = text.parse().map_err(|_| NotJson)?;
            key(out, number, FIXED64);
            out.extend_from_slice(&float.to_le_bytes());
        }
        _ => {
            key(out, number, VARINT);
            varint(out, integer(text)?.cast_unsigned());
        }
    }
    Ok(())
}

fn integer(text: &str) -> Result<i64, ProtobufError> {
    text.parse().map_err(|_| NotJson)
}

/// All three fields are written, as upstream does.
fn int_or_string(scan: &mut Scan<'_>, number: u32, out: &mut Vec<u8>) -> Outcome {
    let is_text = scan.peek()? == b'"';
    let text = if is_text { scan.string()? } else { scan.value()?.into() };
    let int = if is_text { 0 } else { integer(std::str::from_utf8(&text).map_err(|_| NotJson)?)? };
    nested(out, number, |out| {
        key(out, 1, VARINT);
        out.push(u8::from(is_text));
        key(out, 2, VARINT);
        varint(out, int.cast_unsigned());
        bytes_field(out, 3, if is_text { &text } else { b"" });
        Ok(())
    })
}

fn time(scan: &mut Scan<'_>, number: u32, micros: bool, out: &mut Vec<u8>) -> Outcome {
    let text = scan.string()?;
    let at: Timestamp = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).ok_or(NotJson)?;
    let mut nanos = i64::from(at.subsec_nanosecond());
    nanos -= if micros { nanos % 1000 } else { nanos };
    nested(out, number, |out| {
        key(out, 1, VARINT);
        varint(out, at.as_second().cast_unsigned());
        key(out, 2, VARINT);
        varint(out, nanos.cast_unsigned());
        Ok(())
    })
}

fn chosen(scan: &mut Scan<'_>, choice: Choice, out: &mut Vec<u8>, depth: usize) -> Outcome {
    let schema = Shape::Message(plan::json_schema());
    match (scan.peek()?, choice) {
        (b'{', Choice::Bool) => {
            key(out, 1, VARINT);
            out.push(1);
            one(scan, 2, &schema, out, depth)
        }
        (b'{', Choice::Schemas | Choice::Texts) => one(scan, 1, &schema, out, depth),
        (_, Choice::Bool) => scalar(scan, 1, &Shape::Bool, out),
        (_, Choice::Schemas) => value(scan, 2, &Shape::List(Box::new(schema)), out, depth),
        (_, Choice::Texts) => value(scan, 2, &Shape::List(Box::new(Shape::Text)), out, depth),
    }
}
