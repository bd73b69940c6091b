//! Reads the committed table of types (`gen/v1_36.txt`), whose form is told in docs/adr/0003-schema-tables.md.
//!
//! `@package` opens a package, a line without indent names a type, an indented line is a field: name, presence flag, type
//! code, patch strategy. The table is ours, so a malformed line is a broken build and panics in the first test.

use super::{Field, List, ListKind, Map, Patch, Presence, Struct, Type, Types};
use crate::name::Str;

pub fn parse(text: &'static str) -> Types {
    let mut types = Types::default();
    names(text, &mut types);
    let mut package = "";
    let mut at = 0;
    for line in text.lines() {
        match line.as_bytes().first() {
            Some(b'#') | None => {}
            Some(b'@') => package = &line[1..],
            Some(b' ') => {
                let field = field(&line[1..], package, &types);
                if let Type::Struct(of) = &mut types.types[at - 1] {
                    of.fields.push(field);
                }
            }
            Some(_) => at += 1,
        }
    }
    for ty in &mut types.types {
        if let Type::Struct(of) = ty {
            of.fields.sort_by(|a, b| a.name.cmp(&b.name));
            of.fields.shrink_to_fit();
        }
    }
    types
}

/// First pass: every type gets its position, so that fields can refer to later ones.
fn names(text: &'static str, types: &mut Types) {
    let mut package = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('@') {
            package = name;
        }
        if line.starts_with(['#', '@', ' ']) || line.is_empty() {
            continue;
        }
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let name: Str = format!("{package}.{kind}").into();
        let mut ty = Type::Struct(Struct { name: name.clone(), ..Struct::default() });
        let mut kinds = Vec::new();
        for word in words {
            match (word, &mut ty) {
                ("atomic", Type::Struct(of)) => of.atomic = true,
                _ if word.starts_with('=') => kinds.push(&word[1..]),
                _ => ty = scalar(word).expect("invariant: the generated table names a known type"),
            }
        }
        let at = types.insert(name, ty);
        for group_version in kinds {
            let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
            types.by_kind.insert((group.into(), version.into(), kind.into()), at);
        }
    }
}

fn scalar(code: &str) -> Option<Type> {
    Some(match code {
        "s" => Type::String,
        "i" => Type::Int32,
        "l" => Type::Int64,
        "d" => Type::Double,
        "b" => Type::Bool,
        "y" => Type::Bytes,
        "t" | "T" => Type::Time,
        "U" => Type::MicroTime,
        "Q" => Type::Quantity,
        "X" => Type::IntOrString,
        "a" | "A" => Type::Any,
        "O" => Type::Object,
        _ => return None,
    })
}

fn field(line: &'static str, package: &str, types: &Types) -> Field {
    let (name, rest) = line.split_once(' ').expect("invariant: a generated field has a type");
    let (name, presence) = match name.as_bytes().last() {
        Some(b'!') => (&name[..name.len() - 1], Presence::Required),
        Some(b'*') => (&name[..name.len() - 1], Presence::Pointer),
        Some(b'.') => (&name[..name.len() - 1], Presence::Always),
        _ => (name, Presence::Optional),
    };
    let (code, strategy) = rest.split_once(' ').unwrap_or((rest, ""));
    let (atomic, code) = code.strip_prefix('~').map_or((false, code), |code| (true, code));
    let (strategies, key) = strategy.split_once('=').map_or((strategy, None), |(s, key)| (s, Some(key.into())));
    let has = |wanted| strategies.split(',').any(|one| one == wanted);
    let patch = Patch { merge: has("merge"), retain_keys: has("retainKeys"), key };
    Field {
        name: name.into(),
        ty: type_of(code, package, types),
        presence,
        atomic,
        patch,
        default: None,
        nullable: false,
    }
}

fn type_of(code: &'static str, package: &str, types: &Types) -> Type {
    if let Some(rest) = code.strip_prefix('[') {
        let (kind, item) = rest.split_once(']').expect("invariant: a generated list type closes its bracket");
        let kind = match kind.split_once(':') {
            Some((_, keys)) => ListKind::Map(keys.split(',').map(Str::from).collect()),
            None if kind == "set" => ListKind::Set,
            None => ListKind::Atomic,
        };
        return Type::List(List { item: Box::new(type_of(item, package, types)), kind });
    }
    if let Some(rest) = code.strip_prefix('{') {
        let (kind, value) = rest.split_once('}').expect("invariant: a generated map type closes its brace");
        return Type::Map(Map { value: Box::new(type_of(value, package, types)), atomic: kind == "atomic" });
    }
    if let Some(ty) = scalar(code) {
        return ty;
    }
    let position = if code.contains('.') { types.position(code) } else { types.position(&format!("{package}.{code}")) };
    let position = position.expect("invariant: a generated field refers to a type of the table");
    // What is not a struct is short: it is copied, so that a walk meets fewer references.
    match &types.types[position as usize] {
        Type::Struct(_) => Type::Ref(position),
        other => other.clone(),
    }
}
