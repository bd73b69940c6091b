//! Volumes on a temporary directory.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use api::Object;
use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::json;

use super::atomic::{Payload, PayloadFile, write};
use super::{Input, set_up, subpath};
use crate::env::field::Facts;
use crate::references::{Kind, Reference, Referred};
use crate::testing::{Stage, TempDir, pod};

fn payload(files: &[(&str, &str)]) -> Payload {
    let file = |(path, text): &(&str, &str)| {
        ((*path).to_owned(), PayloadFile { bytes: text.as_bytes().to_vec(), mode: 0o644 })
    };
    files.iter().map(file).collect()
}

/// What a reader sees: visible names, with their content.
fn show(dir: &Path) -> String {
    let mut lines = Vec::new();
    show_into(dir, "", &mut lines);
    lines.sort();
    lines.join("\n")
}

fn show_into(dir: &Path, prefix: &str, lines: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("..") {
            continue;
        }
        let metadata = std::fs::metadata(entry.path()).unwrap();
        if metadata.is_dir() {
            show_into(&entry.path(), &format!("{prefix}{name}/"), lines);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            lines.push(format!("{prefix}{name} {:o} {text}", metadata.permissions().mode() & 0o777));
        }
    }
}

#[test]
fn a_set_of_files_is_switched_at_once_and_only_when_it_changed() {
    let dir = TempDir::new("atomic");
    let first = payload(&[("a", "1"), ("d/b", "2")]);
    assert!(write(&dir.0, &first, None).unwrap());
    let link = std::fs::read_link(dir.0.join("..data")).unwrap();
    assert!(!write(&dir.0, &first, None).unwrap());
    assert_eq!(std::fs::read_link(dir.0.join("..data")).unwrap(), link);
    assert!(write(&dir.0, &payload(&[("a", "3"), ("c", "4")]), None).unwrap());
    assert_eq!(show(&dir.0), "a 644 3\nc 644 4");
    assert!(!dir.0.join(link).exists());
    for path in ["../x", "/x", "..x", "", "a/../../x"] {
        assert!(write(&dir.0, &payload(&[(path, "")]), None).is_err(), "{path}");
    }
}

fn check(volume: serde_json::Value, expected: Expect) {
    let dir = TempDir::new("volume");
    let pod = pod(r#"{"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"l": "v"}}, "spec": {}}"#);
    let volume = serde_json::from_value(volume).unwrap();
    let object = |kind, name: &str, data: serde_json::Value| {
        let json = json!({"metadata": {"name": name, "namespace": "n"}, "data": data});
        let reference = Reference { kind, namespace: "n".to_owned(), name: name.to_owned() };
        (reference, Some(Object::decode(Bytes::from(json.to_string()), &[]).unwrap()))
    };
    let referred: Referred =
        [object(Kind::ConfigMap, "m", json!({"a": "1", "b": "2"})), object(Kind::Secret, "s", json!({"k": "eA=="}))]
            .into();
    let tokens = BTreeMap::from([(1, "t0ken".to_owned())]);
    let input = Input { pod: &pod, volume: &volume, referred: &referred, facts: &Facts::default(), tokens: &tokens };
    let text = match set_up(&input, &dir.0, &Stage) {
        Ok(path) if path.starts_with(&dir.0) => {
            format!("{}\n{}", path.strip_prefix(&dir.0).unwrap().display(), show(&path))
        }
        Ok(path) => path.display().to_string(),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&text);
}

#[test]
fn each_kind_of_volume_holds_what_it_should() {
    check(
        json!({"name": "v", "emptyDir": {}}),
        expect![[r#"
        volumes/kubernetes.io~empty-dir/v
    "#]],
    );
    check(
        json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "a", "path": "x/y", "mode": 256}]}}),
        expect![[r#"
        volumes/kubernetes.io~configmap/v
        x/y 400 1"#]],
    );
    check(json!({"name": "v", "configMap": {"name": "none"}}), expect![[r#"error: configmap "none" not found"#]]);
    check(
        json!({"name": "v", "configMap": {"name": "none", "optional": true}}),
        expect![[r#"
        volumes/kubernetes.io~configmap/v
    "#]],
    );
    check(
        json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}}),
        expect!["error: references non-existent config key: z"],
    );
    check(
        json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 256}}),
        expect![[r#"
        volumes/kubernetes.io~secret/v
        k 400 x"#]],
    );
    check(
        json!({"name": "v", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
        expect![[r#"
            volumes/kubernetes.io~downward-api/v
            labels 644 l="v""#]],
    );
    check(
        json!({"name": "v", "projected": {"sources": [{"configMap": {"name": "m"}}, {"serviceAccountToken": {"path": "token"}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}),
        expect![[r#"
            volumes/kubernetes.io~projected/v
            a 644 1
            b 644 2
            name 644 p
            token 644 t0ken"#]],
    );
    check(json!({"name": "v", "hostPath": {"path": "/", "type": "Directory"}}), expect!["/"]);
    check(
        json!({"name": "v", "hostPath": {"path": "/none", "type": "Socket"}}),
        expect!["error: hostPath type check failed: /none is not a socket file"],
    );
    check(
        json!({"name": "v", "nfs": {"server": "x", "path": "/"}}),
        expect!["error: volume kind is not supported by this kubelet"],
    );
}

#[test]
fn a_sub_path_cannot_lead_out_of_its_volume() {
    let dir = TempDir::new("subpath");
    let volume = dir.0.join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
    std::os::unix::fs::symlink("in", volume.join("link")).unwrap();
    std::fs::create_dir(volume.join("in")).unwrap();
    let bind = |sub: &str| subpath::bind(&Stage, &volume, sub, &dir.0, ("v", "c", 0)).is_ok();
    for (sub, fits) in
        [("in", true), ("link", true), ("new/deep", true), ("out", false), ("out/passwd", false), ("../x", false)]
    {
        assert_eq!(bind(sub), fits, "{sub}");
    }
    assert!(volume.join("new/deep").is_dir());
}

#[test]
fn what_a_sub_path_makes_is_as_writable_as_its_volume() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new("subpath-mode");
    let volume = dir.0.join("volume");
    std::fs::create_dir(&volume).unwrap();
    for mode in [0o2777, 0o755] {
        std::fs::set_permissions(&volume, std::fs::Permissions::from_mode(mode)).unwrap();
        let sub = format!("m{mode:o}/deep");
        subpath::bind(&Stage, &volume, &sub, &dir.0, ("v", "c", 0)).unwrap();
        assert_eq!(std::fs::metadata(volume.join(&sub)).unwrap().permissions().mode() & 0o7777, mode, "{sub}");
    }
}
