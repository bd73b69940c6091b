//! The `process_*` metrics that every Prometheus client library has, from /proc. What cannot be read is left out.

use std::fs;

use super::page::Page;

/// Clock ticks a second and bytes a page, as Linux has them on the machines that we build for.
const TICKS: f64 = 100.0;
const PAGE_LEN: u64 = 4096;

pub fn write(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold spaces: fields are counted behind its closing parenthesis.
    let fields: Vec<u64> =
        stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').map(|f| f.parse().unwrap_or(0)).collect();
    let at = |position: usize| fields.get(position).copied();
    let mut gauge = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            page.head(name, kind, help);
            page.sample(name, "", &value);
        }
    };
    let cpu = at(11).zip(at(12)).map(|(user, system)| seconds(user + system));
    gauge("process_cpu_seconds_total", "counter", "User and system CPU time in seconds.", cpu);
    gauge("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", at(21).map(|p| float(p * PAGE_LEN)));
    gauge("process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.", at(20).map(float));
    let started = at(19).zip(boot_time()).map(|(ticks, boot)| float(boot) + seconds(ticks));
    gauge("process_start_time_seconds", "gauge", "Start of the process, in seconds since the epoch.", started);
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| float(entries.count() as u64));
    gauge("process_open_fds", "gauge", "Open file descriptors.", open);
    gauge("process_max_fds", "gauge", "Most file descriptors that may be open.", max_fds().map(float));
}

fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn max_fds() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn seconds(ticks: u64) -> f64 {
    float(ticks) / TICKS
}

#[allow(clippy::cast_precision_loss)] // Metrics are floats; what is lost is far below what anybody looks at.
fn float(number: u64) -> f64 {
    number as f64
}
