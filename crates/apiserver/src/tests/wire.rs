//! Every verb in every encoding: whatever a client reads and writes, it sees the same.

use api::protobuf;
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, Kit, MERGE, PODS, config_map, kit, pod};

const PROTOBUF: &str = protobuf::CONTENT_TYPE;
const YAML: &str = "application/yaml";
const JSON: &str = "application/json";
const MEDIA: [&str; 3] = [JSON, YAML, PROTOBUF];

/// An answer as a tree, by its content type.
fn tree(content_type: &str, bytes: &[u8]) -> Value {
    match content_type {
        PROTOBUF => protobuf::decode(bytes).unwrap(),
        YAML => api::yaml::parse(bytes).unwrap(),
        JSON => serde_json::from_slice(bytes).unwrap(),
        other => panic!("{other}"),
    }
}

fn written(content_type: &str, tree: &Value) -> Vec<u8> {
    let json = tree.to_string();
    match content_type {
        PROTOBUF => protobuf::Kind::of_json(json.as_bytes()).unwrap().encode(json.as_bytes()).unwrap().to_vec(),
        YAML => api::yaml::print(tree).unwrap().into_bytes(),
        _ => json.into_bytes(),
    }
}

async fn read(kit: &Kit, line: &str, accept: &str) -> (u16, Value) {
    let (code, content_type, bytes) = kit.ask(line).accept(accept).raw().await;
    assert_eq!(content_type, accept, "{line}");
    (code, tree(content_type, &bytes))
}

#[tokio::test(start_paused = true)]
async fn an_object_is_the_same_in_every_encoding() {
    let kit = kit().await;
    for (number, medium) in MEDIA.into_iter().enumerate() {
        let name = format!("p{number}");
        let mut object = pod(&name);
        object["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
        let ask = kit.ask(&format!("POST {PODS}")).content_type(medium).accept(medium);
        let (code, content_type, bytes) = ask.bytes(written(medium, &object)).raw().await;
        assert_eq!((code, content_type), (201, medium), "{}", String::from_utf8_lossy(&bytes));
        let path = format!("{PODS}/{name}");
        let (_, plain) = read(&kit, &format!("GET {path}"), JSON).await;
        assert_eq!(tree(content_type, &bytes), plain);
        for other in MEDIA {
            assert_eq!(read(&kit, &format!("GET {path}"), other).await, (200, plain.clone()), "{other}");
        }
        let mut changed = plain.clone();
        changed["metadata"]["labels"] = json!({"a": "b"});
        let ask = kit.ask(&format!("PUT {path}")).content_type(medium).accept(medium);
        let (code, content_type, bytes) = ask.bytes(written(medium, &changed)).raw().await;
        assert_eq!((code, tree(content_type, &bytes)["metadata"]["labels"].clone()), (200, json!({"a": "b"})));
        let patch = json!({"metadata": {"labels": {"a": null}}});
        let ask = kit.ask(&format!("PATCH {path}")).content_type(MERGE).accept(medium).body(patch);
        let (code, content_type, bytes) = ask.raw().await;
        assert_eq!((code, tree(content_type, &bytes)["metadata"].get("labels")), (200, None));
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        let ask = kit.ask(&format!("DELETE {path}")).content_type(medium).accept(medium);
        let (code, content_type, bytes) = ask.bytes(written(medium, &options)).raw().await;
        assert_eq!((code, tree(content_type, &bytes)["kind"].clone()), (200, json!("Pod")), "{medium}");
        let (code, gone) = read(&kit, &format!("GET {path}"), medium).await;
        assert_eq!((code, gone["reason"].clone(), gone["code"].clone()), (404, json!("NotFound"), json!(404)));
    }
}

#[tokio::test(start_paused = true)]
async fn lists_and_metadata_are_the_same_in_every_encoding() {
    let kit = kit().await;
    for name in ["a", "b"] {
        kit.create(CONFIG_MAPS, config_map(name)).await;
    }
    let (_, plain) = read(&kit, &format!("GET {CONFIG_MAPS}?limit=2"), JSON).await;
    assert_eq!(plain["items"].as_array().unwrap().len(), 2);
    for medium in [YAML, PROTOBUF] {
        assert_eq!(read(&kit, &format!("GET {CONFIG_MAPS}?limit=2"), medium).await, (200, plain.clone()));
    }
    for (line, view) in
        [(CONFIG_MAPS.to_owned(), "PartialObjectMetadataList"), (format!("{CONFIG_MAPS}/a"), "PartialObjectMetadata")]
    {
        let mut seen = Vec::new();
        for medium in MEDIA {
            let accept = format!("{medium};as={view};g=meta.k8s.io;v=v1");
            let (code, content_type, bytes) = kit.ask(&format!("GET {line}")).accept(&accept).raw().await;
            assert_eq!(code, 200);
            let mut tree = tree(content_type, &bytes);
            // Items say their kind in JSON; protobuf has no place for it.
            for item in tree["items"].as_array_mut().into_iter().flatten() {
                item.as_object_mut().unwrap().retain(|name, _| name == "metadata");
            }
            assert_eq!(tree["kind"], view);
            assert!(tree.get("data").is_none());
            seen.push(tree);
        }
        assert!(seen.iter().all(|tree| *tree == seen[0]), "{seen:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_in_protobuf_is_framed_and_tells_the_same() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("a")).await;
    let watch = format!(
        "GET {CONFIG_MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    );
    let (code, content_type, bytes) = kit.ask(&watch).accept(PROTOBUF).raw().await;
    assert_eq!((code, content_type), (200, protobuf::WATCH_CONTENT_TYPE));
    let mut rest = &bytes[..];
    let mut told = Vec::new();
    while let Some((len, more)) = rest.split_first_chunk::<4>() {
        let (frame, more) = more.split_at(u32::from_be_bytes(*len) as usize);
        rest = more;
        let mut event = (String::new(), Value::Null);
        for field in protobuf::wire::Fields(frame) {
            match field.unwrap() {
                (1, kind) => event.0 = String::from_utf8(kind.bytes().unwrap().to_vec()).unwrap(),
                (_, object) => {
                    let (_, raw) = protobuf::wire::Fields(object.bytes().unwrap()).next().unwrap().unwrap();
                    event.1 = protobuf::decode(raw.bytes().unwrap()).unwrap();
                }
            }
        }
        told.push(format!("{} {} {}", event.0, event.1["kind"].as_str().unwrap(), event.1["metadata"]["name"]));
    }
    assert_eq!(told, ["ADDED ConfigMap \"a\"", "BOOKMARK ConfigMap null"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_or_written_is_refused() {
    let kit = kit().await;
    let table: &[(&str, &str, &str, &[u8], &str)] = &[
        (
            "POST",
            "text/xml",
            JSON,
            b"<x/>",
            "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "POST",
            "application/cbor",
            JSON,
            b"\xd9\xd9\xf7\xa0",
            "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "POST",
            MERGE,
            JSON,
            b"{}",
            "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "POST",
            "application/json; charset",
            JSON,
            b"{}",
            "415 the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "POST",
            PROTOBUF,
            JSON,
            b"{}",
            "400 the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})",
        ),
        (
            "POST",
            "application/json;charset=utf-8",
            "text/html",
            b"{}",
            "406 406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            "GET",
            "",
            "application/cbor",
            b"",
            "406 406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch",
        ),
        (
            "GET",
            "",
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            b"",
            "406 you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
        ),
        (
            "GET",
            "",
            "application/json;as=Table;g=meta.k8s.io;v=v3",
            b"",
            "406 only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
    ];
    for (method, content_type, accept, body, expected) in table {
        let ask = kit.ask(&format!("{method} {CONFIG_MAPS}")).content_type(content_type).accept(accept).bytes(*body);
        let (code, status) = ask.send().await;
        let found = format!("{code} {}", status["message"].as_str().unwrap_or_default());
        assert_eq!(found, *expected, "{method} {content_type} {accept}");
    }
    let ask = kit.ask(&format!("PATCH {CONFIG_MAPS}/x")).content_type(JSON).bytes("{}");
    assert_eq!(ask.send().await.1["message"], "415: Unsupported Media Type");
}

#[tokio::test(start_paused = true)]
async fn what_is_read_by_people_is_indented() {
    let kit = kit().await;
    kit.create(CONFIG_MAPS, config_map("a")).await;
    let (_, _, bytes) = kit.ask(&format!("GET {CONFIG_MAPS}/a?pretty=true")).raw().await;
    assert!(bytes.starts_with(b"{\n  \""), "{}", String::from_utf8_lossy(&bytes));
    let (_, _, bytes) = kit.ask(&format!("GET {CONFIG_MAPS}/a")).accept("application/json;pretty=1").raw().await;
    assert!(bytes.starts_with(b"{\n  \""));
    let (_, _, bytes) = kit.ask(&format!("GET {CONFIG_MAPS}/a")).raw().await;
    assert!(bytes.starts_with(b"{\"apiVersion\""));
}
