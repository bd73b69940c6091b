//! The length of functions, read off rustfmt's indentation.

use super::source::Source;

/// Lines between a function's braces.
pub const LINES_MAX: usize = 70;

/// Functions that are longer, each with its reason. The list may only shrink.
const LONG: &[(&str, &str, &str)] = &[];

pub fn too_long(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    for (number, line) in source.product_lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(name) = declared(line) {
            open.push((name, indent, number));
        }
        let closes = line.trim_end() == "}";
        while closes && open.last().is_some_and(|(_, at, _)| *at >= indent) {
            let Some((name, at, start)) = open.pop() else { break };
            let lines = number - start - 1;
            if at == indent && lines > LINES_MAX && !is_known(source, &name) {
                found.push((name, lines));
            }
        }
    }
    found
}

fn is_known(source: &Source, name: &str) -> bool {
    LONG.iter().any(|(path, function, _)| *path == source.path && *function == name)
}

/// The name of the function that begins on this line, if it has a body below.
fn declared(line: &str) -> Option<String> {
    let code = line.trim_start();
    if code.starts_with("//") || code.ends_with(';') || code.ends_with('}') {
        return None;
    }
    let before = code.split("fn ").next()?;
    let is_declaration =
        code.contains("fn ") && before.split_whitespace().all(|word| word.starts_with("pub") || is_qualifier(word));
    let name = code.split("fn ").nth(1)?.split(['(', '<']).next()?;
    is_declaration.then(|| name.to_owned())
}

fn is_qualifier(word: &str) -> bool {
    matches!(word, "async" | "const" | "unsafe" | "extern" | "\"C\"" | "crate)" | "super)")
}
