//! What a CustomResourceDefinition must be: group, scope, versions, names, columns, status; in upstream's order.

use api::status::Cause;
use api::validation::{Path, name};
use serde_json::Value;

use super::layout::{Layout, Part};
use super::{conversion_rules, default_rules, expression_rules, schema_rules, structural_rules};
use crate::custom::status::{self as state, Approval};
use crate::tree;

const WARNING_CHARS_MAX: usize = 256;
const SELECTABLE_MAX: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 9] =
    ["binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const ROOT_FIELDS: &[(&str, &str)] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

pub fn create(definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::from_iter(own_name(definition));
    causes.extend(spec(definition));
    causes.extend(whole(definition, None));
    causes
}

pub fn update(new: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::from_iter(own_name(new));
    causes.extend(spec(new));
    let mut immutable = |path: &str| {
        let (value, former) = (tree::at(new, path), tree::at(old, path));
        if value != former {
            causes.push(Path::new(path).invalid(value.cloned().unwrap_or_default(), "field is immutable"));
        }
    };
    if state::is_true(old, "Established") {
        immutable("spec.scope");
        immutable("spec.names.kind");
    }
    immutable("spec.group");
    immutable("spec.names.plural");
    causes.extend(whole(new, Some(old)));
    causes
}

pub fn status(definition: &Value) -> Vec<Cause> {
    let accepted = tree::at(definition, "status.acceptedNames").unwrap_or(&Value::Null);
    names(accepted, &Path::new("status.acceptedNames"))
}

fn own_name(definition: &Value) -> Option<Cause> {
    let (plural, group) = (tree::text(definition, "spec.names.plural"), tree::text(definition, "spec.group"));
    let found = tree::text(definition, "metadata.name");
    let why = "must be spec.names.plural+\".\"+spec.group";
    (found != format!("{plural}.{group}")).then(|| Path::new("metadata.name").invalid(found, why))
}

/// What comes after the spec.
fn whole(new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = status(new);
    causes.extend(stored_versions(new));
    causes.extend(approval(new, old));
    let preserves = |definition: &Value| tree::flag(definition, "spec.preserveUnknownFields");
    if preserves(new) && !old.is_some_and(preserves) {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        causes.push(Path::new("spec.preserveUnknownFields").invalid(true, why));
    }
    causes
}

fn stored_versions(definition: &Value) -> Vec<Cause> {
    let path = Path::new("status.storedVersions");
    let stored = tree::texts(definition, "status.storedVersions");
    if stored.is_empty() {
        return vec![path.invalid(Value::Array(Vec::new()), "must have at least one stored version")];
    }
    let mut causes = Vec::new();
    let versions = tree::list(definition, "spec.versions");
    for version in versions.iter().filter(|version| tree::flag(version, "storage")) {
        let name = tree::text(version, "name");
        if !stored.contains(&name) {
            causes.push(path.invalid(stored.clone(), &format!("must have the storage version {name}")));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| tree::text(version, "name") == *name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            causes.push(path.index(index).invalid(*name, &why));
        }
    }
    causes
}

fn approval(new: &Value, old: Option<&Value>) -> Option<Cause> {
    let (found, reason) = state::approval_state(new)?;
    if old.and_then(state::approval_state).is_some_and(|(former, _)| former == found) {
        return None;
    }
    let path = Path::new("metadata.annotations").key(state::APPROVED);
    match found {
        Approval::Missing => Some(path.required(&reason)),
        Approval::Invalid => {
            let annotations = tree::at(new, "metadata.annotations");
            let value = annotations.and_then(|all| all.get(state::APPROVED)).cloned().unwrap_or_default();
            Some(path.invalid(value, &reason))
        }
        Approval::Bypassed | Approval::Approved => None,
    }
}

fn spec(definition: &Value) -> Vec<Cause> {
    let layout = Layout::new(definition);
    let path = Path::new("spec");
    let mut causes = group_and_scope(layout.spec);
    for (index, version) in layout.versions.iter().enumerate() {
        if !tree::is_set(version, "schema.openAPIV3Schema") {
            let at = path.child("versions").index(index).child("schema.openAPIV3Schema");
            causes.push(at.required("schemas are required"));
        }
    }
    causes.extend(versions(&layout));
    for field in ["plural", "singular", "kind", "listKind"] {
        if tree::text(layout.spec, &format!("names.{field}")).is_empty() {
            causes.push(path.child("names").child(field).required(""));
        }
    }
    causes.extend(names(&layout.spec["names"], &path.child("names")));
    causes.extend(parts(&layout, None));
    causes.extend(conversion_rules::check(layout.spec));
    causes
}

fn group_and_scope(spec: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let mut causes = Vec::new();
    let group = tree::text(spec, "group");
    let whys = name::dns1123_subdomain(group);
    if group.is_empty() {
        causes.push(path.child("group").required(""));
    } else if !whys.is_empty() {
        causes.push(path.child("group").invalid(group, &whys.join(",")));
    } else if !group.contains('.') {
        causes.push(path.child("group").invalid(group, "should be a domain with at least one dot"));
    }
    match tree::text(spec, "scope") {
        "" => causes.push(path.child("scope").required("")),
        "Cluster" | "Namespaced" => {}
        other => causes.push(path.child("scope").not_supported(other, &["Cluster", "Namespaced"])),
    }
    causes
}

fn versions(layout: &Layout<'_>) -> Vec<Cause> {
    let path = Path::new("spec.versions");
    let mut causes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, version) in layout.versions.iter().enumerate() {
        let name = tree::text(version, "name");
        seen.push(name);
        let whys = name::dns1035_label(name);
        if !whys.is_empty() {
            causes.push(path.index(index).child("name").invalid(name, &whys.join(",")));
        }
        causes.extend(deprecation(version, &path.index(index).child("deprecationWarning")));
        causes.extend(parts(layout, Some(index)));
    }
    let mut wrong = |why: &str| {
        let message = format!("Invalid value: {}: {why}", layout.shown_versions());
        causes.push(Cause { reason: "FieldValueInvalid".to_owned(), message, field: path.to_string() });
    };
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    if seen.len() != count {
        wrong("must contain unique version names");
    }
    if layout.versions.iter().filter(|version| tree::flag(version, "storage")).count() != 1 {
        wrong("must have exactly one version marked as storage version");
    }
    let first = layout.versions.first().map_or("", |version| tree::text(version, "name"));
    let whys = name::dns1035_label(first);
    if !first.is_empty() && !whys.is_empty() {
        causes.push(Path::new("spec.version").invalid(first, &whys.join(",")));
    }
    causes
}

fn deprecation(version: &Value, path: &Path) -> Vec<Cause> {
    let Some(warning) = version.get("deprecationWarning").filter(|warning| !warning.is_null()) else {
        return Vec::new();
    };
    let text = warning.as_str().unwrap_or_default();
    let mut whys = Vec::new();
    if !tree::flag(version, "deprecated") {
        whys.push("can only be set for deprecated versions".to_owned());
    } else {
        if text.len() > WARNING_CHARS_MAX {
            whys.push(format!("must be <= {WARNING_CHARS_MAX} characters long"));
        }
        if text.is_empty() {
            whys.push("must not be an empty string".to_owned());
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' ')) {
            let why = "must only contain printable UTF-8 characters; non-printable character found at index";
            whys.push(format!("{why} {at}"));
        }
    }
    whys.iter().map(|why| path.invalid(text, why)).collect()
}

/// Schema, subresources, columns and selectable fields of one version, or of all.
fn parts(layout: &Layout<'_>, version: Option<usize>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let schema = layout.schema(version);
    if let Some(Part { value, path }) = &schema {
        causes.extend(validation(value, layout.has_status(version), path));
    }
    if let Some(Part { value, path }) = layout.subresources(version) {
        causes.extend(subresources(value, &path));
    }
    if let Some(Part { value, path }) = layout.columns(version) {
        for (index, column) in value.as_array().into_iter().flatten().enumerate() {
            causes.extend(column_rules(column, &path.index(index)));
        }
    }
    if let Some(Part { value, path }) = layout.selectable(version)
        && value.as_array().is_some_and(|fields| !fields.is_empty())
    {
        let of = version.or(Some(0)).and_then(|index| layout.versions.get(index));
        match of.and_then(|version| tree::at(version, "schema.openAPIV3Schema")) {
            Some(schema) => causes.extend(selectable(value, schema, &path)),
            None if version.is_some() => {
                let why = "selectableFields may only be set when version.schema.openAPIV3Schema is not included";
                causes.push(path.invalid("", why));
            }
            None => {
                causes.push(path.invalid("", "selectableFields may only be set when validations.schema is included"))
            }
        }
    }
    causes
}

fn validation(validation: &Value, has_status: bool, path: &Path) -> Vec<Cause> {
    let Some(schema) = validation.get("openAPIV3Schema").filter(|schema| !schema.is_null()) else { return Vec::new() };
    let at = path.child("openAPIV3Schema");
    let mut causes = Vec::new();
    if has_status {
        causes.extend(root_fields(schema, &at));
    }
    if tree::flag(schema, "nullable") {
        causes.push(at.child("nullable").forbidden("nullable cannot be true at the root"));
    }
    let not_structural = structural_rules::unsupported(schema);
    if not_structural.is_none() {
        let found = structural_rules::check(schema, &at);
        causes.extend(if found.is_empty() { default_rules::check(schema, &at) } else { found });
    }
    let found = schema_rules::check(schema, &at);
    // Of a schema that is wrong itself it makes no sense to compile rules.
    let compiled = found.is_empty() && not_structural.is_none();
    causes.extend(if compiled { expression_rules::check(schema, &at) } else { found });
    if causes.is_empty()
        && let Some(why) = not_structural
    {
        causes.push(at.invalid("", &why));
    }
    causes
}

/// The status is validated apart from the rest, so the root may only have what is not lost then.
fn root_fields(schema: &Value, at: &Path) -> Option<Cause> {
    for (name, value) in schema.as_object()? {
        let zero = matches!(value, Value::Null | Value::Bool(false)) || *value == "";
        if zero {
            continue;
        }
        if name == "type" && value != "object" {
            let why =
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            return Some(at.child("type").invalid(value.clone(), why));
        }
        if !ROOT_FIELDS.iter().any(|(allowed, _)| allowed == name) {
            let allowed: Vec<&str> = ROOT_FIELDS.iter().map(|(_, name)| *name).collect();
            let list = allowed.join(" ");
            let why = format!(
                "only [{list}] fields are allowed at the root of the schema if the status subresource is enabled"
            );
            return Some(at.invalid(schema.clone(), &why));
        }
    }
    None
}

/// A lone label that has been refused is told in one cause.
fn label(text: &str, path: &Path, prefix: &str) -> Option<Cause> {
    let whys = name::dns1035_label(&if prefix.is_empty() { text.to_owned() } else { text.to_lowercase() });
    (!text.is_empty() && !whys.is_empty()).then(|| path.invalid(text, &format!("{prefix}{}", whys.join(","))))
}

fn names(names: &Value, path: &Path) -> Vec<Cause> {
    const MIXED: &str = "may have mixed case, but should otherwise match: ";
    let mut causes = Vec::new();
    for (field, prefix) in [("plural", ""), ("singular", ""), ("kind", MIXED), ("listKind", MIXED)] {
        causes.extend(label(tree::text(names, field), &path.child(field), prefix));
    }
    let each = |field: &str| {
        let all = tree::texts(names, field).into_iter().enumerate();
        let wrong = all.filter_map(|(index, text)| {
            let whys = name::dns1035_label(text);
            (!whys.is_empty()).then(|| path.child(field).index(index).invalid(text, &whys.join(",")))
        });
        wrong.collect::<Vec<Cause>>()
    };
    causes.extend(each("shortNames"));
    let (kind, list_kind) = (tree::text(names, "kind"), tree::text(names, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        causes.push(path.child("listKind").invalid(list_kind, "kind and listKind may not be the same"));
    }
    causes.extend(each("categories"));
    causes
}

fn column_rules(column: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let text = |field: &str| tree::text(column, field);
    if text("name").is_empty() {
        causes.push(path.child("name").required(""));
    }
    let one_of = |list: &[&str]| format!("must be one of {}", list.join(","));
    if text("type").is_empty() {
        causes.push(path.child("type").required(&one_of(&COLUMN_TYPES)));
    } else if !COLUMN_TYPES.contains(&text("type")) {
        causes.push(path.child("type").invalid(text("type"), &one_of(&COLUMN_TYPES)));
    }
    if !text("format").is_empty() && !COLUMN_FORMATS.contains(&text("format")) {
        causes.push(path.child("format").invalid(text("format"), &one_of(&COLUMN_FORMATS)));
    }
    match text("jsonPath") {
        "" => causes.push(path.child("JSONPath").required("")),
        json_path => causes.extend(simple_path(json_path, &path.child("JSONPath"))),
    }
    causes
}

fn simple_path(json_path: &str, path: &Path) -> Option<Cause> {
    (!json_path.starts_with('.')).then(|| path.invalid(json_path, "must be a simple json path starting with ."))
}

fn subresources(subresources: &Value, path: &Path) -> Vec<Cause> {
    let Some(scale) = subresources.get("scale").filter(|scale| !scale.is_null()) else { return Vec::new() };
    let mut causes = Vec::new();
    let rules: [(&str, &[&str], &str); 3] = [
        ("specReplicasPath", &[".spec."], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status"),
    ];
    for (field, roots, why) in rules {
        let at = path.child(&format!("scale.{field}"));
        let json_path = tree::text(scale, field);
        if json_path.is_empty() {
            causes.extend((field != "labelSelectorPath").then(|| at.required("")));
        } else if let Some(cause) = simple_path(json_path, &at) {
            causes.push(cause);
        } else if !roots.iter().any(|root| json_path.starts_with(root)) {
            causes.push(at.invalid(json_path, why));
        }
    }
    causes
}

fn selectable(fields: &Value, schema: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.as_array().into_iter().flatten().enumerate() {
        let at = path.index(index).child("jsonPath");
        let json_path = tree::text(field, "jsonPath");
        if json_path.is_empty() {
            causes.push(at.required(""));
            continue;
        }
        let found = match schema_rules::field_at(schema, json_path).map(|(found, _)| found) {
            Ok(found) => found,
            Err(why) => {
                causes.push(at.invalid(json_path, &format!("is an invalid path: {why}")));
                continue;
            }
        };
        if json_path.starts_with(".metadata") {
            causes.push(at.invalid(json_path, "must not point to fields in metadata"));
        }
        if !matches!(tree::text(found, "type"), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            causes.push(at.invalid(json_path, why));
        }
        if seen.contains(&json_path) {
            causes.push(at.duplicate(json_path));
        } else {
            seen.push(json_path);
        }
    }
    if seen.len() > SELECTABLE_MAX {
        causes.push(path.too_many(seen.len(), SELECTABLE_MAX));
    }
    causes
}
