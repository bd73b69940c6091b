//! `$(VAR)` in values, commands and arguments, as upstream expands it: `$$` is a dollar sign, what is unknown stays.

/// Replaces every `$(NAME)` for which `lookup` has a value.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('(') {
            match after.find(')') {
                Some(end) => {
                    let name = &after[..end];
                    match lookup(name) {
                        Some(value) => out.push_str(&value),
                        None => {
                            out.push_str("$(");
                            out.push_str(name);
                            out.push(')');
                        }
                    }
                    rest = &after[end + 1..];
                }
                None => {
                    out.push_str("$(");
                    rest = after;
                }
            }
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_upstream_does() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "E" => Some(String::new()),
            "R" => Some("$(A)".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("$(A)", "a"),
            ("___$(A)___", "___a___"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$(E)-$(U)", "-$(U)"),
            ("$(R)", "$(A)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$$$$$$(A)", "$$$(A)"),
        ] {
            assert_eq!(expand(text, &lookup), expected, "{text}");
        }
    }
}
