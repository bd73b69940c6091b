//! Files of a volume that would lie where others of it do.

use api::go::quote;
use serde_json::Value;

use crate::tree;

/// A file, and in a projected volume where it comes from.
struct File {
    path: String,
    source: String,
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(&self.path))?;
        if self.source.is_empty() { Ok(()) } else { write!(f, " ({})", self.source) }
    }
}

impl File {
    /// The same file, or one that the other needs to be a directory.
    fn overlaps(&self, other: &Self) -> bool {
        let (own, others) = (format!("{}/", self.path), format!("{}/", other.path));
        !self.path.is_empty() && !other.path.is_empty() && (own.starts_with(&others) || others.starts_with(&own))
    }
}

/// The warnings of all volumes.
pub fn overlaps(spec: &Value, out: &mut Vec<String>) {
    for volume in tree::list(spec, "volumes") {
        let name = quote(tree::text(volume, "name"));
        for (kind, named) in [("configMap", "name"), ("secret", "secretName"), ("downwardAPI", "")] {
            let Some(source) = volume.get(kind) else { continue };
            let what = title(kind, tree::text(source, named));
            found(items(source, ""), |pair| out.push(format!("volume {name} ({what}): overlapping paths: {pair}")));
        }
        let mut files = Vec::new();
        for source in tree::list(volume, "projected.sources") {
            if source.as_object().is_some_and(serde_json::Map::is_empty) {
                out.push(format!("volume {name} (Projected) has no sources provided"));
            }
            files.extend(projected(source));
        }
        found(files, |pair| out.push(format!("volume {name} (Projected): overlapping paths: {pair}")));
    }
}

fn title(kind: &str, name: &str) -> String {
    match kind {
        "configMap" => format!("ConfigMap {}", quote(name)),
        "secret" => format!("Secret {}", quote(name)),
        _ => "DownwardAPI".to_owned(),
    }
}

fn items(source: &Value, from: &str) -> Vec<File> {
    let file = |item: &Value| File { path: tree::text(item, "path").to_owned(), source: from.to_owned() };
    tree::list(source, "items").iter().map(file).collect()
}

fn projected(source: &Value) -> Vec<File> {
    for kind in ["configMap", "secret", "downwardAPI"] {
        if let Some(found) = source.get(kind).filter(|found| !tree::list(found, "items").is_empty()) {
            return items(found, &title(kind, tree::text(found, "name")));
        }
    }
    let one = |path: &str, from: String| {
        let path = tree::text(source, path).to_owned();
        File { path, source: from }
    };
    if source.get("serviceAccountToken").is_some() {
        return vec![one("serviceAccountToken.path", "ServiceAccountToken".to_owned())];
    }
    if let Some(bundle) = source.get("clusterTrustBundle") {
        let name =
            [tree::text(bundle, "name"), tree::text(bundle, "signerName")].into_iter().find(|name| !name.is_empty());
        return vec![one("clusterTrustBundle.path", format!("ClusterTrustBundle {}", quote(name.unwrap_or_default())))];
    }
    let parts = [("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")];
    let parts = parts.map(|(field, what)| one(&format!("podCertificate.{field}"), format!("PodCertificate {what}")));
    parts.into_iter().filter(|file| !file.path.is_empty()).collect()
}

/// Tells each pair of files that overlap.
fn found(files: Vec<File>, mut tell: impl FnMut(String)) {
    let mut seen: Vec<File> = Vec::new();
    for mut file in files {
        file.path.truncate(file.path.trim_end_matches('/').len());
        seen.iter().filter(|other| file.overlaps(other)).for_each(|other| tell(format!("{file} with {other}")));
        seen.push(file);
    }
}
