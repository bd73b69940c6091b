//! Seccomp profiles from the node's files (`localhostProfile`), in the format of Docker and OCI runtimes.

use std::collections::BTreeMap;

use cri::v1;
use linux::seccomp::{Action, Condition, Profile, Rule, Test};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<Calls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    names: Vec<String>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Arg>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

/// The profile that the container asks for by path, if it does.
pub fn localhost(config: &v1::ContainerConfig) -> Result<Option<Profile>, String> {
    use v1::security_profile::ProfileType;
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    let wanted = security.and_then(|security| security.seccomp.as_ref());
    let Some(wanted) = wanted.filter(|wanted| wanted.profile_type == ProfileType::Localhost as i32) else {
        return Ok(None);
    };
    let path = &wanted.localhost_ref;
    let text = std::fs::read(path).map_err(|error| format!("cannot load seccomp profile {path:?}: {error}"))?;
    parse(&text).map(Some).map_err(|error| format!("cannot load seccomp profile {path:?}: {error}"))
}

fn parse(text: &[u8]) -> Result<Profile, String> {
    let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut calls: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    for entry in &file.syscalls {
        let action = action(&entry.action, entry.errno_ret)?;
        let when = entry.args.iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
        for name in &entry.names {
            calls.entry(name.clone()).or_default().push(Rule { action, when: when.clone() });
        }
    }
    Ok(Profile { otherwise: action(&file.default_action, file.default_errno_ret)?, calls })
}

fn action(name: &str, errno: Option<u16>) -> Result<Action, String> {
    match name {
        "SCMP_ACT_ALLOW" => Ok(Action::Allow),
        "SCMP_ACT_ERRNO" => Ok(Action::Errno(errno.unwrap_or(1))),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" | "SCMP_ACT_KILL_PROCESS" => Ok(Action::Kill),
        "SCMP_ACT_LOG" => Ok(Action::Log),
        other => Err(format!("unsupported action {other}")),
    }
}

fn condition(arg: &Arg) -> Result<Condition, String> {
    let (test, value) = match arg.op.as_str() {
        "SCMP_CMP_EQ" => (Test::Equal, arg.value),
        "SCMP_CMP_NE" => (Test::NotEqual, arg.value),
        "SCMP_CMP_MASKED_EQ" => (Test::MaskedEqual(arg.value), arg.value_two),
        other => return Err(format!("unsupported comparison {other}")),
    };
    if arg.index > 5 {
        return Err(format!("no argument {}", arg.index));
    }
    Ok(Condition { arg: arg.index, test, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_profile_file_is_read() {
        let text = br#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
            {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":7,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        expect![[r#"Ok(Profile { otherwise: Errno(1), calls: {"clone": [Rule { action: Allow, when: [Condition { arg: 0, test: MaskedEqual(7), value: 0 }] }], "read": [Rule { action: Allow, when: [] }], "write": [Rule { action: Allow, when: [] }]} })"#]]
            .assert_eq(&format!("{:?}", parse(text)));
        assert_eq!(parse(br#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#), Err("unsupported action SCMP_ACT_NOTIFY".into()));
    }
}
