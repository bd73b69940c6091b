//! Lists and watches: consistency, pages, selectors, bookmarks, and what happens to who is late.

use expect_test::expect;
use serde_json::{Value, json};

use super::kit::{CONFIG_MAPS, Kit, MERGE, config_map, kit};

async fn create(kit: &Kit, name: &str, label: &str) -> Value {
    let mut map = config_map(name);
    map["metadata"]["labels"] = json!({ "l": label });
    kit.create(CONFIG_MAPS, map).await
}

async fn relabel(kit: &Kit, name: &str, label: &str) {
    let patch = json!({ "metadata": { "labels": { "l": label } } });
    kit.ask(&format!("PATCH {CONFIG_MAPS}/{name}")).content_type(MERGE).body(patch).send().await;
}

fn names(list: &Value) -> String {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_list_shows_every_write_before_it() {
    let kit = kit().await;
    for i in 0..50 {
        let made = create(&kit, &format!("c{i}"), "x").await;
        let (_, list) = kit.ask(&format!("GET {CONFIG_MAPS}")).send().await;
        assert_eq!(list["items"].as_array().unwrap().len(), i + 1);
        assert!(revision(&list) >= revision(&made));
    }
    let (_, list) =
        kit.ask(&format!("GET {CONFIG_MAPS}?labelSelector=l+in+(y)&fieldSelector=metadata.name%21%3Dz")).send().await;
    assert_eq!(names(&list), "");
    let (code, refused) = kit.ask(&format!("GET {CONFIG_MAPS}?fieldSelector=data.a%3D1")).send().await;
    expect![[r#"400 "data.a" is not a known field selector: only "metadata.name", "metadata.namespace""#]]
        .assert_eq(&format!("{code} {}", refused["message"].as_str().unwrap()));
}

#[tokio::test]
async fn pages_show_one_moment() {
    let kit = kit().await;
    for name in ["a", "b", "c", "d", "e"] {
        create(&kit, name, "x").await;
    }
    let (_, first) = kit.ask(&format!("GET {CONFIG_MAPS}?limit=2")).send().await;
    assert_eq!((names(&first).as_str(), &first["metadata"]["remainingItemCount"]), ("a b", &json!(3)));
    kit.ask(&format!("DELETE {CONFIG_MAPS}/d")).send().await;
    create(&kit, "cc", "x").await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = kit.ask(&format!("GET {CONFIG_MAPS}?limit=2&continue={token}")).send().await;
    assert_eq!((names(&second).as_str(), revision(&second)), ("c d", revision(&first)));
    let token = second["metadata"]["continue"].as_str().unwrap();
    let (_, third) = kit.ask(&format!("GET {CONFIG_MAPS}?limit=2&continue={token}")).send().await;
    assert_eq!((names(&third).as_str(), &third["metadata"]["continue"]), ("e", &Value::Null));
    let exact = format!("GET {CONFIG_MAPS}?resourceVersion={}&resourceVersionMatch=Exact", revision(&first));
    assert_eq!(names(&kit.ask(&exact).send().await.1), "a b c d e");
}

#[tokio::test]
async fn a_watch_follows_what_its_selector_matches() {
    let kit = kit().await;
    let a = create(&kit, "a", "x").await;
    let from = revision(&a);
    let mut watch =
        kit.ask(&format!("GET {CONFIG_MAPS}?watch=1&labelSelector=l%3Dx&resourceVersion={from}")).stream().await;
    create(&kit, "b", "y").await;
    relabel(&kit, "b", "x").await;
    relabel(&kit, "b", "x2").await;
    kit.ask(&format!("DELETE {CONFIG_MAPS}/a")).send().await;
    let seen = [watch.next().await, watch.next().await, watch.next().await];
    assert_eq!(seen, ["ADDED b", "DELETED b", "DELETED a"]);
}

#[tokio::test]
async fn a_watch_without_a_revision_begins_with_what_is_there() {
    let kit = kit().await;
    create(&kit, "a", "x").await;
    let mut watch = kit.ask(&format!("GET {CONFIG_MAPS}?watch=1")).stream().await;
    assert_eq!(watch.next().await, "ADDED a");
    create(&kit, "b", "x").await;
    let event = watch.event().await.unwrap();
    let (_, stored) = kit.ask(&format!("GET {CONFIG_MAPS}/b")).send().await;
    assert_eq!((&event["type"], &event["object"]), (&json!("ADDED"), &stored));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let kit = kit().await;
    create(&kit, "a", "x").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = kit.ask(&format!("GET {CONFIG_MAPS}?{query}")).stream().await;
    assert_eq!([watch.next().await, watch.next().await], ["ADDED a", "BOOKMARK  end"]);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_by_time_and_the_timeout_ends_the_watch() {
    let kit = kit().await;
    create(&kit, "a", "x").await;
    let mut watch =
        kit.ask(&format!("GET {CONFIG_MAPS}?watch=1&allowWatchBookmarks=1&timeoutSeconds=100")).stream().await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "END") {
        seen.push(watch.next().await);
    }
    assert_eq!(seen, ["ADDED a", "BOOKMARK  end", "BOOKMARK ", "BOOKMARK ", "END"]);
}

#[tokio::test]
async fn who_starts_before_the_window_or_falls_out_of_it_is_told_so() {
    let kit = kit().await;
    let first = revision(&create(&kit, "a", "x").await);
    let mut slow = kit.ask(&format!("GET {CONFIG_MAPS}?watch=1")).stream().await;
    assert_eq!(slow.next().await, "ADDED a");
    for i in 0..=crate::watchcache::WINDOW_EVENTS_MAX {
        relabel(&kit, "a", &format!("v{i}")).await;
    }
    kit.ask(&format!("GET {CONFIG_MAPS}")).send().await;
    assert!(slow.next().await.starts_with("ERROR 410"));
    assert_eq!(slow.next().await, "END");
    let mut early = kit.ask(&format!("GET {CONFIG_MAPS}?watch=1&resourceVersion={first}")).stream().await;
    let told = early.next().await;
    assert!(told.starts_with(&format!("ERROR 410 too old resource version: {first} (")), "{told}");
    assert_eq!(early.next().await, "END");
}

#[tokio::test]
async fn a_field_with_one_value_wakes_only_its_watchers() {
    let kit = kit().await;
    let (_, list) = kit.ask("GET /api/v1/namespaces/default/pods").send().await;
    let path = "/api/v1/namespaces/default/pods";
    let watch = format!("GET {path}?watch=1&fieldSelector=spec.nodeName%3Dn1&resourceVersion={}", revision(&list));
    let mut watch = kit.ask(&watch).stream().await;
    for (name, node) in [("a", "n2"), ("b", "n1")] {
        let mut pod = super::kit::pod(name);
        pod["spec"]["nodeName"] = json!(node);
        kit.create(path, pod).await;
    }
    assert_eq!(watch.next().await, "ADDED b");
}

#[tokio::test]
async fn a_page_of_a_forgotten_moment_says_how_to_go_on() {
    let kit = kit().await;
    for name in ["a", "b", "c"] {
        create(&kit, name, "x").await;
    }
    let (_, first) = kit.ask(&format!("GET {CONFIG_MAPS}?limit=1")).send().await;
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    for i in 0..=crate::watchcache::SNAPSHOTS_MAX {
        relabel(&kit, "a", &format!("v{i}")).await;
        kit.ask(&format!("GET {CONFIG_MAPS}?limit=1")).send().await;
    }
    kit.engine.store().compact(kit.engine.store().current().await.unwrap()).await.unwrap();
    let (code, gone) = kit.ask(&format!("GET {CONFIG_MAPS}?continue={token}")).send().await;
    assert_eq!((code, &gone["reason"]), (410, &json!("Expired")));
    let token = gone["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = kit.ask(&format!("GET {CONFIG_MAPS}?continue={token}")).send().await;
    assert_eq!(names(&rest), "b c");
}
