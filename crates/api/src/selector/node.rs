//! The requirements of a NodeSelectorTerm, one at a time.

/// Whether a node whose label or field has the value `actual` (or none) meets a requirement. An operator that is unknown
/// is met by no node.
pub fn node_requirement_holds<S: AsRef<str>>(operator: &str, values: &[S], actual: Option<&str>) -> bool {
    let is_listed = |actual: &str| values.iter().any(|value| value.as_ref() == actual);
    match operator {
        "In" => actual.is_some_and(is_listed),
        "NotIn" => !actual.is_some_and(is_listed),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compared(actual, values).is_some_and(|(actual, bound)| actual > bound),
        "Lt" => compared(actual, values).is_some_and(|(actual, bound)| actual < bound),
        _ => false,
    }
}

fn compared<S: AsRef<str>>(actual: Option<&str>, values: &[S]) -> Option<(i64, i64)> {
    Some((actual?.parse().ok()?, values.first()?.as_ref().parse().ok()?))
}
