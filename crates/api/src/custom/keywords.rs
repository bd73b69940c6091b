//! The validation keywords of an OpenAPI schema, compiled: what a value must be, apart from where it stands.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

/// Memory that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One schema's keywords, and those of the schemas below it.
#[derive(Debug, Default)]
pub struct Keywords {
    /// `integer`; `integer,string` for int-or-string; empty where any type may be.
    pub types: &'static [&'static str],
    pub nullable: bool,
    pub format: String,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub pattern: Option<Pattern>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<String>,
    pub enumeration: Vec<Value>,
    pub properties: Vec<(String, Keywords)>,
    pub additional: Additional,
    pub items: Option<Box<Keywords>>,
    /// The keys by which items of two versions of a list belong together.
    pub list_keys: Vec<String>,
    pub all_of: Vec<Keywords>,
    pub any_of: Vec<Keywords>,
    pub one_of: Vec<Keywords>,
    pub not: Option<Box<Keywords>>,
}

/// What entries may be that are no properties.
#[derive(Debug, Default)]
pub enum Additional {
    #[default]
    Any,
    None,
    Schema(Box<Keywords>),
}

/// A regular expression, compiled when it is first needed: most schemas have many that are never asked.
#[derive(Debug)]
pub struct Pattern {
    pub text: String,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: OnceLock::new() }
    }

    /// Whether it is found anywhere in the text. One that cannot be compiled matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| compile_pattern(&self.text).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// Go's expressions are ours but for a few spellings.
pub fn compile_pattern(text: &str) -> Result<Regex, regex::Error> {
    let text = text.replace("\\Z", "\\z").replace("\\/", "/").replace("\\_", "_").replace("\\-", "\\x2d");
    regex::RegexBuilder::new(&text).size_limit(PATTERN_BYTES_MAX).build()
}

impl Keywords {
    pub fn compile(schema: &Value) -> Self {
        let texts = |name: &str| -> Vec<String> {
            let list = schema[name].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let all = |name: &str| schema[name].as_array().into_iter().flatten().map(Self::compile).collect();
        let one = |name: &str| schema.get(name).filter(|one| one.is_object()).map(|one| Box::new(Self::compile(one)));
        let flag = |name: &str| schema[name].as_bool().unwrap_or_default();
        let text = |name: &str| schema[name].as_str().filter(|text| !text.is_empty());
        let properties = schema["properties"].as_object().into_iter().flatten();
        let is_list_map = schema["x-kubernetes-list-type"] == "map";
        Self {
            types: types(schema),
            nullable: flag("nullable"),
            format: text("format").unwrap_or_default().to_owned(),
            maximum: schema["maximum"].as_f64(),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: schema["minimum"].as_f64(),
            exclusive_minimum: flag("exclusiveMinimum"),
            multiple_of: schema["multipleOf"].as_f64(),
            max_length: schema["maxLength"].as_i64(),
            min_length: schema["minLength"].as_i64(),
            pattern: text("pattern").map(Pattern::new),
            max_items: schema["maxItems"].as_i64(),
            min_items: schema["minItems"].as_i64(),
            unique_items: flag("uniqueItems"),
            max_properties: schema["maxProperties"].as_i64(),
            min_properties: schema["minProperties"].as_i64(),
            required: texts("required"),
            enumeration: schema["enum"].as_array().cloned().unwrap_or_default(),
            properties: properties.map(|(name, schema)| (name.clone(), Self::compile(schema))).collect(),
            additional: match &schema["additionalProperties"] {
                Value::Object(_) => Additional::Schema(Box::new(Self::compile(&schema["additionalProperties"]))),
                Value::Bool(false) => Additional::None,
                _ => Additional::Any,
            },
            items: one("items"),
            list_keys: if is_list_map { texts("x-kubernetes-list-map-keys") } else { Vec::new() },
            all_of: all("allOf"),
            any_of: all("anyOf"),
            one_of: all("oneOf"),
            not: one("not"),
        }
    }

    pub fn property(&self, name: &str) -> Option<&Self> {
        self.properties.binary_search_by(|(found, _)| found.as_str().cmp(name)).ok().map(|at| &self.properties[at].1)
    }
}

fn types(schema: &Value) -> &'static [&'static str] {
    if schema["x-kubernetes-int-or-string"] == true {
        return &["integer", "string"];
    }
    match schema["type"].as_str() {
        Some("string") => &["string"],
        Some("integer") => &["integer"],
        Some("number") => &["number"],
        Some("boolean") => &["boolean"],
        Some("array") => &["array"],
        Some("object") => &["object"],
        _ => &[],
    }
}

/// A float as Go prints it: an exponent from 21 digits on, or for very small ones.
pub fn go_float(value: f64) -> String {
    let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    if (-4.0..21.0).contains(&exponent) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}
