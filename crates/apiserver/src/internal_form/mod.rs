//! Objects as upstream's messages show them: structs of the types inside its API server, with Go's names in Go's order.
//!
//! [`shown`] is for the value of a cause, [`diff`] for what an update may not change. The types are the table `types.txt`,
//! which is ours: a malformed line is a broken build and panics in the first test.

mod diff;
mod table;

use std::fmt::Write as _;

use api::status::Cause;
use api::validation::Path;
use serde_json::{Map, Value};

pub use diff::diff;
use table::{Field, Shape, fields_of};

/// A value with its fields in the order in which they are printed.
enum Node {
    Plain(Value),
    Fields(Vec<(String, Node)>),
    Items(Vec<Node>),
}

/// The JSON of `value` as a struct of the core type `ty`.
pub fn shown(ty: &str, value: &Value) -> String {
    let mut text = String::new();
    compact(&of_type(ty, value), &mut text);
    text
}

/// A cause that shows the value as a struct.
pub fn invalid(path: &Path, ty: &str, value: &Value, why: &str) -> Cause {
    let message = format!("Invalid value: {}: {why}", shown(ty, value));
    Cause { message, ..path.invalid("", why) }
}

pub fn duplicate(path: &Path, ty: &str, value: &Value) -> Cause {
    Cause { message: format!("Duplicate value: {}", shown(ty, value)), ..path.duplicate("") }
}

/// JSON of many lines, indented by one space a level.
fn lines(ty: &str, value: &Value) -> Vec<String> {
    let mut text = String::new();
    indented(&of_type(ty, value), 0, &mut text);
    text.lines().map(str::to_owned).collect()
}

fn of_type(ty: &str, value: &Value) -> Node {
    let mut out = Vec::new();
    if ty == "PodSpec" {
        gather(ty, &with_host_fields(value), &mut out);
    } else {
        gather(ty, value, &mut out);
    }
    Node::Fields(out)
}

/// What shares namespaces with the node is a part of the security context there, and of the spec in the API.
fn with_host_fields(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let moved = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];
    let found: Vec<(&str, Value)> =
        moved.into_iter().filter_map(|field| Some((field, spec.get(field)?.clone()))).collect();
    for (field, value) in found {
        crate::tree::set(&mut spec, &format!("securityContext.{field}"), value);
    }
    spec
}

fn gather(ty: &str, value: &Value, out: &mut Vec<(String, Node)>) {
    for field in fields_of(ty) {
        let found = value.get(&field.json).filter(|found| !found.is_null());
        match (&field.shape, found) {
            (Shape::Embedded(inner), _) if field.json.is_empty() => gather(inner, value, out),
            (Shape::Embedded(inner), _) => gather(inner, found.unwrap_or(&Value::Null), out),
            (Shape::Omitted, None) => {}
            _ => out.push((field.name.clone(), node(field, found))),
        }
    }
}

fn node(field: &Field, found: Option<&Value>) -> Node {
    match (&field.shape, found) {
        (Shape::Struct(ty), found) => of_type(ty, found.unwrap_or(&Value::Null)),
        (Shape::Pointer(ty), Some(found)) => of_type(ty, found),
        (Shape::List(ty), Some(found)) => {
            Node::Items(found.as_array().into_iter().flatten().map(|item| of_type(ty, item)).collect())
        }
        (Shape::Plain(zero), found) => plain(found.unwrap_or(zero)),
        (_, Some(found)) => plain(found),
        (_, None) => Node::Plain(Value::Null),
    }
}

fn plain(value: &Value) -> Node {
    match value {
        Value::Array(items) => Node::Items(items.iter().map(plain).collect()),
        Value::Object(fields) => Node::Fields(sorted(fields)),
        other => Node::Plain(other.clone()),
    }
}

fn sorted(fields: &Map<String, Value>) -> Vec<(String, Node)> {
    let mut fields: Vec<(String, Node)> = fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn scalar(value: &Value) -> String {
    // Go's encoder escapes what a browser could take for markup.
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn compact(node: &Node, out: &mut String) {
    match node {
        Node::Plain(value) => out.push_str(&scalar(value)),
        Node::Fields(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                let _ = write!(out, "{}{name:?}:", if i == 0 { "" } else { "," });
                compact(value, out);
            }
            out.push('}');
        }
        Node::Items(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                compact(item, out);
            }
            out.push(']');
        }
    }
}

fn indented(node: &Node, depth: usize, out: &mut String) {
    let (open, close, count) = match node {
        Node::Plain(value) => return out.push_str(&scalar(value)),
        Node::Fields(fields) => ('{', '}', fields.len()),
        Node::Items(items) => ('[', ']', items.len()),
    };
    out.push(open);
    for i in 0..count {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(depth + 1));
        match node {
            Node::Fields(fields) => {
                let _ = write!(out, "{:?}: ", fields[i].0);
                indented(&fields[i].1, depth + 1, out);
            }
            Node::Items(items) => indented(&items[i], depth + 1, out),
            Node::Plain(_) => {}
        }
    }
    if count > 0 {
        out.push('\n');
        out.push_str(&" ".repeat(depth));
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_struct_is_shown_whole_in_gos_order() {
        let context = json!({"privileged": true, "runAsUser": -1, "allowPrivilegeEscalation": false});
        expect![[r#"{"Capabilities":null,"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":-1,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}"#]]
            .assert_eq(&shown("SecurityContext", &context));
        expect![[r#"{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#]]
            .assert_eq(&shown("ServicePort", &json!({"port": 80, "protocol": "TCP"})));
    }

    /// The line numbers are those that upstream told of such a pod.
    #[test]
    fn a_difference_is_told_by_line_with_three_lines_around() {
        let key = |name: &str, key: &str| json!({"configMap": {"name": name, "items": [{"key": key, "path": key}]}});
        let field = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
        let sources = json!([{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}, key("a", "b"),
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}}, key("c", "d")]);
        let old = json!({
            "volumes": [{"name": "v", "projected": {"defaultMode": 420, "sources": sources}}],
            "containers": [{"name": "c", "image": "new", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "serviceAccountName": "default", "securityContext": {},
        });
        let mut new = old.clone();
        new["containers"][0]["command"] = json!(["x"]);
        new["nodeName"] = json!("n");
        expect![[r#"
            @@ -111,7 +111,9 @@
               {
                "Name": "c",
                "Image": "new",
            -   "Command": null,
            +   "Command": [
            +    "x"
            +   ],
                "Args": null,
                "WorkingDir": "",
                "Ports": null,
            @@ -158,7 +160,7 @@
              "NodeSelector": null,
              "ServiceAccountName": "default",
              "AutomountServiceAccountToken": null,
            - "NodeName": "",
            + "NodeName": "n",
              "SecurityContext": {
               "HostNetwork": false,
               "HostPID": false,
        "#]]
        .assert_eq(&diff("PodSpec", &old, &new));
    }
}
