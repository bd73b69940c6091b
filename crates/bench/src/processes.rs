//! Memory and CPU of all processes of a profile, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Clock ticks a second, as Linux counts process times.
const TICKS: u64 = 100;

/// Proportional memory in bytes, and CPU over `time` in hundredths of a per cent of a core.
pub fn measure(profile: &str, time: Duration) -> Result<(u64, u64)> {
    let before = total_ticks(profile)?;
    std::thread::sleep(time);
    let used = total_ticks(profile)?.saturating_sub(before);
    let pids = of_profile(profile)?;
    ensure!(!pids.is_empty(), "no process names the profile {profile}");
    let memory = pids.iter().filter_map(|pid| proportional_bytes(pid)).sum();
    Ok((memory, used * 10_000 / (TICKS * time.as_secs().max(1))))
}

fn total_ticks(profile: &str) -> Result<u64> {
    Ok(of_profile(profile)?.iter().filter_map(|pid| ticks(pid)).sum())
}

fn of_profile(profile: &str) -> Result<Vec<String>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Ok(arguments) = fs::read(format!("/proc/{name}/cmdline")) else { continue };
        let words: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
        let names_it = words.windows(2).any(|pair| pair == [b"--profile".as_slice(), profile.as_bytes()]);
        if name.bytes().all(|byte| byte.is_ascii_digit()) && names_it {
            pids.push(name);
        }
    }
    Ok(pids)
}

/// The process' share of memory.
pub fn proportional_bytes(pid: &str) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// User and system time that the process has used.
pub fn cpu_of(pid: &str) -> Duration {
    Duration::from_millis(ticks(pid).unwrap_or_default() * (1000 / TICKS))
}

/// User and system time of the process.
fn ticks(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}
