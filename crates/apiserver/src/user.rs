//! Who asks: the identity that authentication found and authorization judges.

use std::collections::BTreeMap;

/// An authenticated user (or `system:anonymous`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A component of ours: its name, and `system:authenticated` besides the groups given.
    pub fn component(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain(["system:authenticated"]).map(str::to_owned).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }
}
