//! Seccomp: the profile as data, compiled to BPF, and installed.
//!
//! We compile ourselves because ready-made installers set no_new_privs first, which would break set-user-ID programs
//! in every pod that does not ask for it. The filter refuses with EPERM what the profile does not allow; calls that a
//! newer libc probes for are answered ENOSYS so that it falls back. Calls of foreign architectures are refused.

mod names;

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::caps::Set;
use crate::{Error, Result};

/// What a call may do. The first matching rule of a call counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// For calls without a matching rule.
    pub otherwise: Action,
    /// By call name; names that this architecture lacks are skipped.
    pub calls: BTreeMap<String, Vec<Rule>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub action: Action,
    /// All must hold.
    pub when: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Allow,
    Errno(u16),
    Kill,
    Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub arg: u8,
    pub test: Test,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    Equal,
    NotEqual,
    /// The argument's bits under this mask equal the value.
    MaskedEqual(u64),
}

/// One BPF instruction.
type Instruction = libc::sock_filter;

impl Profile {
    /// What containerd and Docker call the default: no kernel administration beyond the capabilities given.
    pub fn runtime_default(caps: Set) -> Self {
        let mut calls: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
        let allow = |when: Vec<Condition>| Rule { action: Action::Allow, when };
        for name in names::ALLOWED.iter().chain(names::by_capability(caps).iter()) {
            calls.insert((*name).to_owned(), vec![allow(Vec::new())]);
        }
        for value in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
            let condition = Condition { arg: 0, test: Test::Equal, value };
            calls.entry("personality".into()).or_default().push(allow(vec![condition]));
        }
        // AF_VSOCK reaches the hypervisor, past every network policy.
        let not_vsock = Condition { arg: 0, test: Test::NotEqual, value: 40 };
        calls.insert("socket".into(), vec![allow(vec![not_vsock])]);
        if !caps.has(Set::named("SYS_ADMIN").unwrap_or_default()) {
            const NEW_NAMESPACES: u64 = 0x7E02_0000;
            let plain = Condition { arg: 0, test: Test::MaskedEqual(NEW_NAMESPACES), value: 0 };
            calls.insert("clone".into(), vec![allow(vec![plain])]);
            // clone3's flags are behind a pointer, out of a filter's sight; libc falls back to clone.
            let absent = Rule { action: Action::Errno(libc::ENOSYS as u16), when: Vec::new() };
            calls.insert("clone3".into(), vec![absent]);
        }
        Self { otherwise: Action::Errno(libc::EPERM as u16), calls }
    }

    fn compile(&self) -> Result<Vec<Instruction>> {
        let mut program = prologue();
        for (name, rules) in &self.calls {
            if let Some(number) = names::number(name) {
                program.extend(call(number, rules)?);
            }
        }
        program.push(ret(self.otherwise));
        if program.len() > 4096 {
            return Err(Error::new("compile seccomp profile", io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        Ok(program)
    }
}

/// Installs the profile for the calling thread and its children. Needs CAP_SYS_ADMIN or no_new_privs.
pub fn install(profile: &Profile) -> Result<()> {
    let program = profile.compile()?;
    let filter =
        libc::sock_fprog { len: u16::try_from(program.len()).unwrap_or(u16::MAX), filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from a vector that outlives the call.
    let rc = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    if rc == 0 { Ok(()) } else { Err(Error::new("install seccomp filter", io::Error::last_os_error())) }
}

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

fn ins(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn ret(action: Action) -> Instruction {
    let k = match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Log => libc::SECCOMP_RET_LOG,
    };
    ins(RETURN, k, 0, 0)
}

/// Refuses foreign architectures (and x32), then loads the call's number.
fn prologue() -> Vec<Instruction> {
    let mut program = vec![
        ins(LOAD, 4, 0, 0),
        ins(JUMP_EQUAL, AUDIT_ARCH, 1, 0),
        ret(Action::Errno(libc::EPERM as u16)),
        ins(LOAD, 0, 0, 0),
    ];
    // Calls newer than the profile, and x32's (from 0x4000_0000), do not exist here.
    program.extend([ins(JUMP_AT_LEAST, names::UNKNOWN_FROM, 0, 1), ret(Action::Errno(libc::ENOSYS as u16))]);
    program
}

/// The rules of one call. Falls through, with the number loaded, when none matches.
fn call(number: u32, rules: &[Rule]) -> Result<Vec<Instruction>> {
    let mut body = Vec::new();
    for rule in rules {
        let tests: Vec<Vec<Instruction>> = rule.when.iter().map(condition).collect();
        // Each test jumps to its own end when it holds, and over the rest of the rule when not.
        let mut left: usize = tests.iter().map(Vec::len).sum::<usize>() + 1;
        for test in tests {
            left -= test.len();
            let len = test.len();
            for (at, mut instruction) in test.into_iter().enumerate() {
                let to_end = len - at - 1;
                let to = |mark: u8| match mark {
                    HOLDS => to_end,
                    FAILS => to_end + left,
                    _ => 0,
                };
                if instruction.code == JUMP_EQUAL {
                    let offsets = (u8::try_from(to(instruction.jt)), u8::try_from(to(instruction.jf)));
                    let (Ok(jt), Ok(jf)) = offsets else {
                        return Err(Error::new("compile seccomp rule", io::Error::from(io::ErrorKind::FileTooLarge)));
                    };
                    (instruction.jt, instruction.jf) = (jt, jf);
                }
                body.push(instruction);
            }
        }
        body.push(ret(rule.action));
        if !rule.when.is_empty() {
            continue;
        }
        break;
    }
    // After the conditions the accumulator holds an argument: load the number again for the calls that follow.
    body.push(ins(LOAD, 0, 0, 0));
    let skip = u8::try_from(body.len())
        .map_err(|_| Error::new("compile seccomp rules", io::Error::from(io::ErrorKind::FileTooLarge)))?;
    let mut program = vec![ins(JUMP_EQUAL, number, 0, skip)];
    program.append(&mut body);
    Ok(program)
}

/// Marks in a test's jumps, replaced by offsets in `call`.
const NEXT: u8 = 0;
const HOLDS: u8 = 1;
const FAILS: u8 = 2;

/// Compares a 64-bit argument in two halves (little endian).
fn condition(condition: &Condition) -> Vec<Instruction> {
    let at = 16 + u32::from(condition.arg) * 8;
    let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
    match condition.test {
        Test::Equal => vec![
            ins(LOAD, at + 4, 0, 0),
            ins(JUMP_EQUAL, high, NEXT, FAILS),
            ins(LOAD, at, 0, 0),
            ins(JUMP_EQUAL, low, HOLDS, FAILS),
        ],
        Test::NotEqual => vec![
            ins(LOAD, at + 4, 0, 0),
            ins(JUMP_EQUAL, high, NEXT, HOLDS),
            ins(LOAD, at, 0, 0),
            ins(JUMP_EQUAL, low, FAILS, HOLDS),
        ],
        Test::MaskedEqual(mask) => vec![
            ins(LOAD, at + 4, 0, 0),
            ins(AND, (mask >> 32) as u32, 0, 0),
            ins(JUMP_EQUAL, high, NEXT, FAILS),
            ins(LOAD, at, 0, 0),
            ins(AND, mask as u32, 0, 0),
            ins(JUMP_EQUAL, low, HOLDS, FAILS),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would.
    fn run(program: &[Instruction], number: i64, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend((number as u32).to_le_bytes());
        data.extend(AUDIT_ARCH.to_le_bytes());
        data.extend(0u64.to_le_bytes());
        data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
        let (mut pc, mut a) = (0, 0u32);
        loop {
            let i = program[pc];
            pc += 1;
            let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
            match i.code {
                LOAD => a = u32::from_le_bytes(data[i.k as usize..][..4].try_into().unwrap()),
                AND => a &= i.k,
                JUMP_EQUAL => pc += jump(a == i.k),
                JUMP_AT_LEAST => pc += jump(a >= i.k),
                _ => return i.k,
            }
        }
    }

    #[test]
    fn the_default_profile_allows_work_and_refuses_administration() {
        let program = Profile::runtime_default(Set::EMPTY).compile().unwrap();
        let errno = |n: i32| libc::SECCOMP_RET_ERRNO | n as u32;
        let cases = [
            (libc::SYS_read, [0; 6], libc::SECCOMP_RET_ALLOW),
            (libc::SYS_mount, [0; 6], errno(libc::EPERM)),
            (libc::SYS_reboot, [0; 6], errno(libc::EPERM)),
            (libc::SYS_clone, [0x0120_0011, 0, 0, 0, 0, 0], libc::SECCOMP_RET_ALLOW),
            (libc::SYS_clone, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0], errno(libc::EPERM)),
            (libc::SYS_clone3, [0; 6], errno(libc::ENOSYS)),
            (libc::SYS_socket, [2, 1, 0, 0, 0, 0], libc::SECCOMP_RET_ALLOW),
            (libc::SYS_socket, [40, 1, 0, 0, 0, 0], errno(libc::EPERM)),
            (libc::SYS_personality, [8, 0, 0, 0, 0, 0], libc::SECCOMP_RET_ALLOW),
            (libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0], libc::SECCOMP_RET_ALLOW),
            (libc::SYS_personality, [5, 0, 0, 0, 0, 0], errno(libc::EPERM)),
            (libc::SYS_write, [0; 6], libc::SECCOMP_RET_ALLOW),
            (9_999, [0; 6], errno(libc::ENOSYS)),
        ];
        for (number, args, wanted) in cases {
            assert_eq!(run(&program, number, args), wanted, "call {number} {args:?}");
        }
        let admin = Profile::runtime_default(Set::named("SYS_ADMIN").unwrap()).compile().unwrap();
        assert_eq!(run(&admin, libc::SYS_mount, [0; 6]), libc::SECCOMP_RET_ALLOW);
    }
}
