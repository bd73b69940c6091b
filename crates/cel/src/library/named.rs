//! Formats by name: `format.dns1123Label().validate(name)`.

use std::rc::Rc;

use api::custom::formats;
use api::validation::name;

use super::opaque::Opaque;
use super::url::Url;
use super::{Outcome, Row, no_overload, texts};
use crate::value::Value;

/// What a text of a format must be.
#[derive(Debug)]
pub struct NamedFormat {
    pub name: &'static str,
    whys: fn(&str) -> Vec<String>,
    /// The length of upstream's expression for it, by which the check is charged.
    pub regex_len: usize,
}

static FORMATS: &[NamedFormat] = &[
    NamedFormat { name: "dns1123Label", whys: name::dns1123_label, regex_len: 30 },
    NamedFormat { name: "dns1123Subdomain", whys: name::dns1123_subdomain, regex_len: 60 },
    NamedFormat { name: "dns1035Label", whys: name::dns1035_label, regex_len: 30 },
    NamedFormat { name: "qualifiedName", whys: name::qualified_name, regex_len: 60 },
    NamedFormat { name: "dns1123LabelPrefix", whys: |text| name::dns1123_label(&prefix(text)), regex_len: 30 },
    NamedFormat { name: "dns1123SubdomainPrefix", whys: |text| name::dns1123_subdomain(&prefix(text)), regex_len: 60 },
    NamedFormat { name: "dns1035LabelPrefix", whys: |text| name::dns1035_label(&prefix(text)), regex_len: 30 },
    NamedFormat { name: "labelValue", whys: name::label_value, regex_len: 40 },
    NamedFormat { name: "uri", whys: |text| Url::parse(text).err().into_iter().collect(), regex_len: 1000 },
    NamedFormat { name: "uuid", whys: |text| checked(text, "uuid", "does not match the UUID format"), regex_len: 74 },
    NamedFormat { name: "byte", whys: |text| checked(text, "byte", "invalid base64"), regex_len: 85 },
    NamedFormat { name: "date", whys: |text| checked(text, "date", "invalid date"), regex_len: 120 },
    NamedFormat { name: "datetime", whys: |text| checked(text, "datetime", "invalid datetime"), regex_len: 120 },
];

pub const TABLE: &[Row] = &[
    ("format.named", "(string) optional(format)", |_, a| {
        let found = a[0].as_text().and_then(|name| FORMATS.iter().find(|format| format.name == name));
        Ok(Value::Optional(found.map(|found| Rc::new(value(found)))))
    }),
    ("validate", "format.(string) optional(list(string))", |_, a| validate(a)),
    ("format.dns1123Label", "() format", |_, _| Ok(value(&FORMATS[0]))),
    ("format.dns1123Subdomain", "() format", |_, _| Ok(value(&FORMATS[1]))),
    ("format.dns1035Label", "() format", |_, _| Ok(value(&FORMATS[2]))),
    ("format.qualifiedName", "() format", |_, _| Ok(value(&FORMATS[3]))),
    ("format.dns1123LabelPrefix", "() format", |_, _| Ok(value(&FORMATS[4]))),
    ("format.dns1123SubdomainPrefix", "() format", |_, _| Ok(value(&FORMATS[5]))),
    ("format.dns1035LabelPrefix", "() format", |_, _| Ok(value(&FORMATS[6]))),
    ("format.labelValue", "() format", |_, _| Ok(value(&FORMATS[7]))),
    ("format.uri", "() format", |_, _| Ok(value(&FORMATS[8]))),
    ("format.uuid", "() format", |_, _| Ok(value(&FORMATS[9]))),
    ("format.byte", "() format", |_, _| Ok(value(&FORMATS[10]))),
    ("format.date", "() format", |_, _| Ok(value(&FORMATS[11]))),
    ("format.datetime", "() format", |_, _| Ok(value(&FORMATS[12]))),
];

fn value<'a>(format: &'static NamedFormat) -> Value<'a> {
    Value::Opaque(Rc::new(Opaque::Format(format)))
}

/// A name that will be generated may end in a dash.
fn prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut chars = rest.chars();
            chars.next_back();
            format!("{}a", chars.as_str())
        }
        _ => text.to_owned(),
    }
}

fn checked(text: &str, format: &str, why: &str) -> Vec<String> {
    let fits = formats::check(format, text).unwrap_or(true);
    if fits { Vec::new() } else { vec![why.to_owned()] }
}

fn validate<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let (Value::Opaque(opaque), Value::Text(text)) = (&args[0], &args[1]) else { return no_overload() };
    let Opaque::Format(format) = &**opaque else { return no_overload() };
    let whys = (format.whys)(text);
    Ok(Value::Optional((!whys.is_empty()).then(|| Rc::new(texts(whys.into_iter())))))
}
