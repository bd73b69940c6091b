//! Taints and tolerations: the one rule by which a pod may be on a node, for scheduling and for eviction alike.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>. Both are views, because some callers
//! hold trees and some typed structs. Absent fields are empty.

#[derive(Clone, Copy, Debug, Default)]
pub struct Taint<'a> {
    pub key: &'a str,
    pub value: &'a str,
    pub effect: &'a str,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Toleration<'a> {
    /// Empty means every key.
    pub key: &'a str,
    /// `Equal` where empty.
    pub operator: &'a str,
    pub value: &'a str,
    /// Empty means every effect.
    pub effect: &'a str,
}

impl Toleration<'_> {
    pub fn tolerates(&self, taint: &Taint<'_>) -> bool {
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        if !fits(self.effect, taint.effect) || !fits(self.key, taint.key) {
            return false;
        }
        match self.operator {
            "Exists" => true,
            "" | "Equal" => self.value == taint.value,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_matches_by_key_operator_value_and_effect() {
        let taint = Taint { key: "gpu", value: "yes", effect: "NoSchedule" };
        let check = |key, operator, value, effect| Toleration { key, operator, value, effect }.tolerates(&taint);
        for (key, operator, value, effect) in [
            ("gpu", "Equal", "yes", "NoSchedule"),
            ("gpu", "", "yes", ""),
            ("gpu", "Exists", "", "NoSchedule"),
            ("", "Exists", "", ""),
        ] {
            assert!(check(key, operator, value, effect), "{key} {operator} {value} {effect}");
        }
        for (key, operator, value, effect) in [
            ("gpu", "Equal", "no", ""),
            ("gpu", "Exists", "", "NoExecute"),
            ("disk", "Exists", "", ""),
            ("gpu", "Near", "yes", ""),
        ] {
            assert!(!check(key, operator, value, effect), "{key} {operator} {value} {effect}");
        }
    }
}
