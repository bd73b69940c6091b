//! How things are named: a resource by group, version and plural; a kind; an object by namespace and name.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A name that is usually known when we are compiled, and comes from a request or a CRD otherwise.
pub type Str = Cow<'static, str>;

/// A resource: group ("" for core), version, plural. `pods` is `Gvr::new("", "v1", "pods")`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvr {
    pub group: Str,
    pub version: Str,
    pub resource: Str,
}

impl Gvr {
    pub const fn new(group: &'static str, version: &'static str, resource: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), version: Cow::Borrowed(version), resource: Cow::Borrowed(resource) }
    }

    /// `v1` or `apps/v1`, as in an object's apiVersion.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// `/api/v1` or `/apis/apps/v1`.
    pub fn root_path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }

    /// The path of the collection (`name` empty) or of one object; `namespace` is empty for cluster-scoped ones.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path = self.root_path();
        if !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.resource);
        if !name.is_empty() {
            path.push('/');
            path.push_str(name);
        }
        path
    }
}

impl fmt::Display for Gvr {
    /// `pods` or `deployments.apps`, as in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// A kind: group, version, kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    pub group: Str,
    pub version: Str,
    pub kind: Str,
}

impl Gvk {
    pub const fn new(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), version: Cow::Borrowed(version), kind: Cow::Borrowed(kind) }
    }

    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
}

/// Splits an apiVersion into group and version.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// An object's place within its resource. `namespace` is empty for cluster-scoped objects.
///
/// Keys order as their paths `namespace/name` do, which is how upstream lists: `a-b/x` comes before `a/x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.namespace.as_bytes(), other.namespace.as_bytes());
        if mine == theirs {
            return self.name.cmp(&other.name);
        }
        if mine.is_empty() || theirs.is_empty() {
            return mine.len().cmp(&theirs.len());
        }
        let common = mine.len().min(theirs.len());
        // Where one namespace ends, its slash stands against the other's next letter.
        let next = |namespace: &[u8]| namespace.get(common).copied().unwrap_or(b'/');
        mine[..common].cmp(&theirs[..common]).then_with(|| next(mine).cmp(&next(theirs)))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub fn cluster(name: &str) -> Self {
        Self::new("", name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_their_paths_do() {
        let mut paths = ["a/x", "a-b/x", "a/a", "ab/a", "b/", "a/b", "a-b/a", "a1/z"];
        let mut keys = paths.map(|path| path.split_once('/').map(|(namespace, name)| Key::new(namespace, name)));
        paths.sort_unstable();
        keys.sort();
        assert_eq!(keys.map(|key| key.unwrap_or_else(|| Key::cluster("")).to_string()), paths);
    }
}
