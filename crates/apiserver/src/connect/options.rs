//! The queries of connect subresources: what clients may ask, as the kubelet wants to be asked.

use api::Status;
use api::validation::Path;
use serde_json::Value;

use crate::filters::Authorized;
use crate::verbs::Params;

/// The kubelet's path for a pod's subresource.
pub fn path(request: &Authorized, pod: &Value) -> Result<String, Status> {
    let info = &request.info;
    let place = format!("{}/{}", escape(&info.namespace), escape(&info.name));
    let params = &request.params;
    if info.subresource == "portforward" {
        let ports: Vec<(&str, &str)> = params.all("ports").map(|port| ("ports", port)).collect();
        return Ok(join(&format!("/portForward/{place}"), &ports));
    }
    let container = container(pod, &info.name, params.get("container"))?;
    let place = format!("{place}/{}", escape(&container));
    match info.subresource.as_str() {
        "log" => Ok(join(&format!("/containerLogs/{place}"), &log_query(params, &info.name)?)),
        "attach" => Ok(join(&format!("/attach/{place}"), &stream_query(params))),
        _ => {
            let mut query: Vec<(&str, &str)> = params.all("command").map(|word| ("command", word)).collect();
            query.extend(stream_query(params));
            Ok(join(&format!("/exec/{place}"), &query))
        }
    }
}

/// The container that is meant: the only one where none is named.
fn container(pod: &Value, pod_name: &str, wanted: Option<&str>) -> Result<String, Status> {
    let names = |field: &str| -> Vec<&str> {
        pod["spec"][field].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let (containers, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if let Some(wanted) = wanted {
        let mut all = containers.iter().chain(&init).chain(&ephemeral);
        let known = all.any(|name| *name == wanted);
        let missing = || Status::bad_request(format!("container {wanted} is not valid for pod {pod_name}"));
        return if known { Ok(wanted.to_owned()) } else { Err(missing()) };
    }
    if let [only] = containers.as_slice() {
        return Ok((*only).to_owned());
    }
    let mut message = format!("a container name must be specified for pod {pod_name}");
    if !containers.is_empty() {
        message += &format!(", choose one of: [{}]", containers.join(" "));
    }
    if !init.is_empty() {
        message += &format!(" or one of the init containers: [{}]", init.join(" "));
    }
    if !ephemeral.is_empty() {
        message += &format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" "));
    }
    Err(Status::bad_request(message))
}

/// The streams that are wanted, by the kubelet's names for them.
fn stream_query(params: &Params) -> Vec<(&'static str, &'static str)> {
    let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    streams.iter().filter(|(name, _)| params.flag(name)).map(|(_, kubelet)| (*kubelet, "1")).collect()
}

/// What a log may be narrowed by. Values are checked here, so that a typing error is not silence.
fn log_query<'a>(params: &'a Params, pod: &str) -> Result<Vec<(&'static str, &'a str)>, Status> {
    let mut query: Vec<(&'static str, &str)> = Vec::new();
    for flag in ["follow", "previous", "timestamps"] {
        if params.flag(flag) {
            query.push((flag, "true"));
        }
    }
    let mut causes = Vec::new();
    let numbers = [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, POSITIVE),
        ("sinceSeconds", 1, POSITIVE),
    ];
    for (name, least, why) in numbers {
        let Some(text) = params.get(name) else { continue };
        let number: i64 = text
            .parse()
            .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?;
        if number < least {
            causes.push(Path::new(name).invalid(number, why));
        }
        query.push((name, text));
    }
    if let Some(text) = params.get("sinceTime") {
        let why = || {
            Status::bad_request(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            ))
        };
        text.parse::<jiff::Timestamp>().map_err(|_| why())?;
        if params.get("sinceSeconds").is_some() {
            causes.push(Path::default().forbidden("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        query.push(("sinceTime", text));
    }
    // Behind the gate PodLogsQuerySplitStreams, which is off.
    if params.get("stream").is_some() {
        causes.push(Path::new("stream").forbidden("may not be specified"));
    }
    if causes.is_empty() { Ok(query) } else { Err(Status::invalid("", "PodLogOptions", pod, causes)) }
}

const POSITIVE: &str = "must be greater than 0";

fn join(path: &str, query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn escape(text: &str) -> String {
    escape_but(text, b"")
}

/// A path, escaped as Go does: what may stand in one stays, slashes too.
pub fn escape_path(path: &str) -> String {
    escape_but(path, b"$&+,/:;=@")
}

fn escape_but(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if plain.contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::Payload;
    use crate::request::{RequestInfo, ResourceRequest};
    use crate::user::User;
    use bytes::Bytes;
    use expect_test::{Expect, expect};
    use http::Method;
    use serde_json::json;

    fn request(url: &str) -> Authorized {
        let (parts, ()) = http::Request::builder().uri(url).body(()).unwrap().into_parts();
        let params = Params::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::parse(&Method::GET, parts.uri.path(), &params);
        let Some(RequestInfo::Resource(info)) = info else { panic!("a resource") };
        let info: ResourceRequest = info;
        Authorized { parts, payload: Payload::Whole(Bytes::new()), params, info, user: User::default() }
    }

    fn check(containers: &[&str], url: &str, expected: &Expect) {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
        let pod = json!({"spec": {"containers": containers, "initContainers": [{"name": "init"}]}});
        let request = request(&format!("/api/v1/namespaces/n/pods/p/{url}"));
        expected.assert_eq(&path(&request, &pod).unwrap_or_else(|status| status.message));
    }

    #[test]
    fn what_is_asked_of_a_pod_is_asked_of_its_kubelet() {
        check(&["c"], "log?follow=true&tailLines=5", &expect!["/containerLogs/n/p/c?follow=true&tailLines=5"]);
        check(&["a", "b"], "log?container=init", &expect!["/containerLogs/n/p/init"]);
        check(
            &["c"],
            "exec?command=sh&command=-c&command=a+%26b&stdin=true&stdout=true&tty=true",
            &expect!["/exec/n/p/c?command=sh&command=-c&command=a%20%26b&input=1&output=1&tty=1"],
        );
        check(&["c"], "attach?stdout=1&stderr=1", &expect!["/attach/n/p/c?output=1&error=1"]);
        check(&["c"], "portforward?ports=80", &expect!["/portForward/n/p?ports=80"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check(
            &["a", "b"],
            "log",
            &expect![
                "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [init]"
            ],
        );
        check(&["a"], "log?container=x", &expect!["container x is not valid for pod p"]);
        check(
            &["a"],
            "log?tailLines=-1&sinceSeconds=0&stream=Stdout",
            &expect![[
                r#"PodLogOptions "p" is invalid: [tailLines: Invalid value: -1: must be greater than or equal to 0, sinceSeconds: Invalid value: 0: must be greater than 0, stream: Forbidden: may not be specified]"#
            ]],
        );
        check(&["a"], "log?limitBytes=x", &expect![[r#"strconv.ParseInt: parsing "x": invalid syntax"#]]);
    }
}
