//! The user's kubeconfig: a cluster, a user and a context, all named after the profile, merged in and taken out.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::profile::write_atomically;
use crate::trouble::{Result, Trouble};

/// What a client needs to reach a cluster as its administrator.
#[derive(Clone, Debug)]
pub struct Access {
    pub name: String,
    pub server: String,
    pub authority_pem: String,
    pub certificate_pem: String,
    pub key_pem: String,
}

/// `$KUBECONFIG`'s first file, else `~/.kube/config`.
pub fn path() -> PathBuf {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".kube/config");
    first.unwrap_or_else(home)
}

/// A kubeconfig with nothing but this cluster in it.
pub fn alone(access: &Access) -> Result<String> {
    render(&merged(Value::Null, access))
}

/// Puts the cluster's entries into the file and makes its context the current one.
pub fn merge_into(path: &Path, access: &Access) -> Result<()> {
    let tree = merged(read(path)?, access);
    write(path, &tree)
}

/// Takes the profile's entries out of the file; fine when there are none.
pub fn remove_from(path: &Path, name: &str) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let before = read(path)?;
    let after = without(before.clone(), name);
    if before == after { Ok(()) } else { write(path, &after) }
}

fn merged(mut tree: Value, access: &Access) -> Value {
    if !tree.is_object() {
        tree = json!({"apiVersion": "v1", "kind": "Config", "preferences": {}});
    }
    let encode = |pem: &str| STANDARD.encode(pem);
    let name = &access.name;
    let cluster = json!({"server": access.server, "certificate-authority-data": encode(&access.authority_pem)});
    let user = json!({
        "client-certificate-data": encode(&access.certificate_pem),
        "client-key-data": encode(&access.key_pem),
    });
    put(&mut tree, "clusters", json!({"name": name, "cluster": cluster}));
    put(&mut tree, "users", json!({"name": name, "user": user}));
    put(&mut tree, "contexts", json!({"name": name, "context": {"cluster": name, "user": name}}));
    tree["current-context"] = json!(name);
    tree
}

fn put(tree: &mut Value, list: &str, entry: Value) {
    if !tree[list].is_array() {
        tree[list] = json!([]);
    }
    let Some(items) = tree[list].as_array_mut() else { return };
    items.retain(|item| item["name"] != entry["name"]);
    items.push(entry);
}

fn without(mut tree: Value, name: &str) -> Value {
    for list in ["clusters", "users", "contexts"] {
        if let Some(items) = tree[list].as_array_mut() {
            items.retain(|item| item["name"] != name);
        }
    }
    if tree["current-context"] == name {
        tree["current-context"] = json!("");
    }
    tree
}

fn read(path: &Path) -> Result<Value> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(Trouble::file("read", path, &error)),
    };
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    let tree: Value = serde_saphyr::from_str(&text).map_err(|error| unreadable(path, &error.to_string()))?;
    if tree.is_object() || tree.is_null() { Ok(tree) } else { Err(unreadable(path, "it is not a map")) }
}

fn unreadable(path: &Path, why: &str) -> Trouble {
    Trouble::new(
        format!("{} is not a kubeconfig: {}", path.display(), why.lines().next().unwrap_or_default()),
        "Mend or move the file, or set KUBECONFIG to another one.",
    )
}

fn render(tree: &Value) -> Result<String> {
    serde_saphyr::to_string(tree)
        .map_err(|error| Trouble::new(format!("cannot write a kubeconfig: {error}"), "Report this."))
}

fn write(path: &Path, tree: &Value) -> Result<()> {
    let text = render(tree)?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Trouble::file("make", parent, &error))?;
    }
    // A kubeconfig that is a symbolic link stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    write_atomically(&target, text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(name: &str) -> Access {
        Access {
            name: name.to_owned(),
            server: "https://127.0.0.1:6443".to_owned(),
            authority_pem: "ca".to_owned(),
            certificate_pem: "crt".to_owned(),
            key_pem: "key".to_owned(),
        }
    }

    #[test]
    fn a_cluster_is_merged_beside_others_and_taken_out_again() {
        let dir = std::env::temp_dir().join(format!("ironclad-kubeconfig-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("makes");
        let path = dir.join("config");
        let users = "apiVersion: v1\nkind: Config\ncurrent-context: work\ncontexts:\n- name: work\n  context: {cluster: w, \
                     user: \"yes\", namespace: '1e3'}\nusers:\n- name: w\n  user:\n    token: \"0123\"\n";
        std::fs::write(&path, users).expect("writes");
        merge_into(&path, &access("dev")).expect("merges");
        merge_into(&path, &access("dev")).expect("merges again");
        expect_test::expect![[r#"
            apiVersion: v1
            clusters:
            - cluster:
                certificate-authority-data: Y2E=
                server: https://127.0.0.1:6443
              name: dev
            contexts:
            - context:
                cluster: w
                namespace: "1e3"
                user: "yes"
              name: work
            - context:
                cluster: dev
                user: dev
              name: dev
            current-context: dev
            kind: Config
            users:
            - name: w
              user:
                token: "0123"
            - name: dev
              user:
                client-certificate-data: Y3J0
                client-key-data: a2V5
        "#]]
        .assert_eq(&std::fs::read_to_string(&path).expect("reads"));
        remove_from(&path, "dev").expect("removes");
        let tree = read(&path).expect("reads");
        assert_eq!(tree["contexts"][0]["context"]["user"], "yes");
        assert_eq!(tree["contexts"][0]["context"]["namespace"], "1e3");
        assert_eq!(tree["users"], json!([{"name": "w", "user": {"token": "0123"}}]));
        assert_eq!(tree["current-context"], "");
        std::fs::remove_dir_all(dir).expect("removes");
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_left_alone() {
        let path = std::env::temp_dir().join(format!("ironclad-no-kubeconfig-{}", std::process::id()));
        std::fs::write(&path, "- a\n- b\n").expect("writes");
        let trouble = merge_into(&path, &access("dev")).expect_err("refused");
        assert!(trouble.cause.ends_with("is not a kubeconfig: it is not a map"), "{trouble}");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "- a\n- b\n");
        std::fs::remove_file(path).expect("removes");
    }
}
