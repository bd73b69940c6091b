//! The documents that describe the API: whole, in all forms, and told apart by their hashes.

use std::collections::BTreeSet;

use api::protobuf::wire::Fields;
use expect_test::expect;
use http::request::Parts;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::kit::kit;
use crate::openapi;
use crate::registry::Registry;
use crate::resource::Resource;

fn parts(path: &str, headers: &[(&str, &str)]) -> Parts {
    let request = headers.iter().fold(http::Request::get(path), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

async fn v3(registry: &Registry, path: &str, headers: &[(&str, &str)]) -> (u16, String, String, Vec<u8>) {
    let parts = parts(path, headers);
    let rest: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).skip(2).collect();
    let response = openapi::answer(registry, &rest, &parts);
    let header = |name| response.headers().get(name).map_or("", |value: &http::HeaderValue| value.to_str().unwrap());
    let (tag, place) = (header("etag").to_owned(), format!("{}{}", header("location"), header("cache-control")));
    let code = response.status().as_u16();
    (code, tag, place, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

async fn v2(registry: &Registry, accept: &str) -> Vec<u8> {
    let response = openapi::answer_v2(registry, &parts("/openapi/v2", &[("accept", accept)])).unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// All references in a tree.
fn references(tree: &Value, into: &mut BTreeSet<String>) {
    match tree {
        Value::Object(fields) => {
            into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

fn check_references(tree: &Value, schemas: &Value, prefix: &str) {
    let mut found = BTreeSet::new();
    references(tree, &mut found);
    for reference in found {
        let name = reference.strip_prefix(prefix).unwrap();
        assert!(schemas.get(name).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn every_kind_is_described_in_a_document_that_refers_to_nothing_else() {
    let registry = Registry::builtin();
    let index: Value = serde_json::from_slice(&v3(&registry, "/openapi/v3", &[]).await.3).unwrap();
    let mut described = BTreeSet::new();
    for (path, entry) in index["paths"].as_object().unwrap() {
        let (code, _, cached, bytes) = v3(&registry, entry["serverRelativeURL"].as_str().unwrap(), &[]).await;
        assert_eq!((code, &*cached), (200, "public, immutable"), "{path}");
        let tree: Value = serde_json::from_slice(&bytes).unwrap();
        check_references(&tree, &tree["components"]["schemas"], "#/components/schemas/");
        described.extend(tree["paths"].as_object().unwrap().keys().cloned());
        for resource in
            registry.all().filter(|resource| resource.gvr.path("", "") == format!("/{path}/{}", resource.gvr.resource))
        {
            let schema = &tree["components"]["schemas"][&*resource.schema];
            let kind = &schema["x-kubernetes-group-version-kind"][0];
            assert_eq!(kind["kind"], *resource.kind.kind, "{}", resource.gvr);
            assert!(schema["description"].is_string(), "{} has no words", resource.schema);
        }
    }
    for resource in registry.all() {
        let namespace = if resource.is_namespaced() { "{namespace}" } else { "" };
        let path = resource.gvr.path(namespace, "");
        assert!(described.contains(&path), "{path}");
        for subresource in resource.subresources {
            let path = format!("{path}/{{name}}/{}", subresource.path());
            assert!(described.contains(&path), "{path}");
        }
    }
}

#[tokio::test]
async fn the_older_document_says_the_same_in_both_forms() {
    let registry = Registry::builtin();
    let tree: Value = serde_json::from_slice(&v2(&registry, "application/json").await).unwrap();
    check_references(&tree, &tree["definitions"], "#/definitions/");
    let bytes = v2(&registry, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").await;
    let within = |number: u32, at: u32| {
        let mut fields = Fields(&bytes).map(Result::unwrap).filter(|(field, _)| *field == number);
        let inner = fields.next().unwrap().1.bytes().unwrap();
        Fields(inner).filter(|field| field.as_ref().unwrap().0 == at).count()
    };
    assert_eq!(within(8, 2), tree["paths"].as_object().unwrap().len());
    assert_eq!(within(9, 1), tree["definitions"].as_object().unwrap().len());
    let pod = &tree["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(pod["x-kubernetes-patch-merge-key"], "name");
}

#[tokio::test]
async fn a_known_document_is_not_sent_again_and_an_old_address_leads_on() {
    let registry = Registry::builtin();
    let path = "/openapi/v3/apis/apps/v1";
    let (code, tag, _, _) = v3(&registry, path, &[]).await;
    assert_eq!(code, 200);
    assert_eq!(v3(&registry, path, &[("if-none-match", &tag)]).await.0, 304);
    let (code, _, place, _) = v3(&registry, &format!("{path}?hash=OLD"), &[]).await;
    assert_eq!(
        (code, place.split("no-cache").next().unwrap()),
        (301, &*format!("{path}?hash={}", tag.trim_matches('"')))
    );
    assert_eq!(v3(&registry, path, &[("accept", "text/html")]).await.0, 406);
    assert_eq!(v3(&registry, "/openapi/v3/apis/none/v1", &[]).await.0, 404);
}

/// Clients keep documents for ever by their address, so a build that describes the same kinds otherwise needs others.
#[test]
fn what_is_described_otherwise_has_another_address() {
    let mut registry = Registry::builtin();
    let before = openapi::mark(&registry);
    assert_eq!(openapi::mark(&Registry::builtin()), before);
    let (secret, maps) = (registry.find("", "v1", "secrets").unwrap(), registry.find("", "v1", "configmaps").unwrap());
    let changed = Resource { schema: secret.schema.clone(), ..Resource::clone(maps) };
    registry.insert(changed);
    assert_ne!(openapi::mark(&registry), before);
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_the_control_plane_say_how_they_are() {
    let kit = kit().await;
    let table = async |line: &str| {
        let (code, body) = kit.ask(line).accept("application/json;as=Table;v=v1;g=meta.k8s.io").send().await;
        let rows = body["rows"].as_array().cloned().unwrap_or_default();
        let rows: Vec<String> = rows.iter().map(|row| row["cells"].to_string()).collect();
        format!("{code}\n{}", rows.join("\n"))
    };
    let list = "GET /api/v1/componentstatuses";
    expect![[r#"
        200
        ["controller-manager","Unhealthy","no lease kube-system/kube-controller-manager: nobody leads",""]
        ["scheduler","Unhealthy","no lease kube-system/kube-scheduler: nobody leads",""]
        ["etcd-0","Healthy","ok",""]"#]]
    .assert_eq(&table(list).await);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "kube-scheduler"},
        "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 15, "renewTime": "2025-12-31T23:59:50.000000Z"},
    });
    kit.create("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", lease).await;
    kit.engine.components().add(crate::components::CONTROLLERS, || true);
    expect![[r#"
        200
        ["controller-manager","Healthy","ok",""]
        ["scheduler","Healthy","ok",""]
        ["etcd-0","Healthy","ok",""]"#]]
    .assert_eq(&table(list).await);
    kit.clock.advance(jiff::SignedDuration::from_secs(6));
    kit.engine.components().add(crate::components::CONTROLLERS, || false);
    expect![[r#"
        200
        ["controller-manager","Unhealthy","kube-controller-manager has ended",""]
        ["scheduler","Unhealthy","lease kube-system/kube-scheduler was not renewed in time",""]
        ["etcd-0","Healthy","ok",""]"#]]
    .assert_eq(&table(list).await);
    let (_, body) = kit.ask("GET /api/v1/componentstatuses?fieldSelector=metadata.name%3Detcd-0").send().await;
    expect![[r#"{"apiVersion":"v1","items":[{"conditions":[{"message":"ok","status":"True","type":"Healthy"}],"metadata":{"name":"etcd-0"}}],"kind":"ComponentStatusList","metadata":{}}"#]]
        .assert_eq(&body.to_string());
    for (line, wanted) in [
        ("GET /api/v1/componentstatuses/x", 500),
        ("GET /api/v1/componentstatuses?watch=1", 405),
        ("DELETE /api/v1/componentstatuses/etcd-0", 405),
    ] {
        assert_eq!(kit.ask(line).send().await.0, wanted, "{line}");
    }
}
