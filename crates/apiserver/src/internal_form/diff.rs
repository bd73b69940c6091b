//! The difference of two structs as upstream prints it: unified, with three lines around, without the names of files.

use serde_json::Value;

use super::lines;

const CONTEXT: usize = 3;
/// Cells of the table by which two texts are compared; beyond it everything between the equal ends counts as changed.
const CELLS_MAX: usize = 4_000_000;

/// Two runs of lines, one of each text, that are the same or not.
struct Run {
    same: bool,
    old: std::ops::Range<usize>,
    new: std::ops::Range<usize>,
}

pub fn diff(ty: &str, old: &Value, new: &Value) -> String {
    let (old, new) = (lines(ty, old), lines(ty, new));
    let runs = runs(&old, &new);
    let mut out = String::new();
    let mut hunk: Vec<Run> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        if !run.same {
            hunk.push(Run { same: false, old: run.old.clone(), new: run.new.clone() });
            continue;
        }
        let (first, last) = (i == 0, i + 1 == runs.len());
        let head = if first { 0 } else { CONTEXT.min(run.old.len()) };
        let tail = if last { 0 } else { CONTEXT.min(run.old.len()) };
        if !first && !last && run.old.len() <= 2 * CONTEXT {
            hunk.push(Run { same: true, old: run.old.clone(), new: run.new.clone() });
            continue;
        }
        if !first {
            hunk.push(part(run, 0, head));
            print(&hunk, &old, &new, &mut out);
            hunk.clear();
        }
        if !last {
            hunk.push(part(run, run.old.len() - tail, run.old.len()));
        }
    }
    if hunk.iter().any(|run| !run.same) {
        print(&hunk, &old, &new, &mut out);
    }
    out
}

fn part(run: &Run, from: usize, to: usize) -> Run {
    let of = |range: &std::ops::Range<usize>| range.start + from..range.start + to;
    Run { same: true, old: of(&run.old), new: of(&run.new) }
}

fn print(hunk: &[Run], old: &[String], new: &[String], out: &mut String) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let range = |start: usize, end: usize| match end - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        len => format!("{},{len}", start + 1),
    };
    let (a, b) = (range(first.old.start, last.old.end), range(first.new.start, last.new.end));
    out.push_str(&format!("@@ -{a} +{b} @@\n"));
    for run in hunk {
        let (before, after) = if run.same { (" ", None) } else { ("-", Some("+")) };
        old[run.old.clone()].iter().for_each(|line| out.push_str(&format!("{before}{line}\n")));
        if let Some(sign) = after {
            new[run.new.clone()].iter().for_each(|line| out.push_str(&format!("{sign}{line}\n")));
        }
    }
}

fn runs(old: &[String], new: &[String]) -> Vec<Run> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut runs = Vec::new();
    push(&mut runs, true, 0..head, 0..head);
    middle(old, new, head..old.len() - tail, head..new.len() - tail, &mut runs);
    push(&mut runs, true, old.len() - tail..old.len(), new.len() - tail..new.len());
    runs
}

fn push(runs: &mut Vec<Run>, same: bool, old: std::ops::Range<usize>, new: std::ops::Range<usize>) {
    if old.is_empty() && new.is_empty() {
        return;
    }
    match runs.last_mut() {
        Some(last) if last.same == same => (last.old.end, last.new.end) = (old.end, new.end),
        _ => runs.push(Run { same, old, new }),
    }
}

/// By the longest common subsequence.
fn middle(old: &[String], new: &[String], a: std::ops::Range<usize>, b: std::ops::Range<usize>, runs: &mut Vec<Run>) {
    let (n, m) = (a.len(), b.len());
    if n.saturating_mul(m) > CELLS_MAX {
        return push(runs, false, a, b);
    }
    let mut lengths = vec![0_u32; (n + 1) * (m + 1)];
    let at = |i: usize, j: usize| i * (m + 1) + j;
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            lengths[at(i, j)] = if old[a.start + i] == new[b.start + j] {
                lengths[at(i + 1, j + 1)] + 1
            } else {
                lengths[at(i + 1, j)].max(lengths[at(i, j + 1)])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < n || j < m {
        let (x, y) = (a.start + i, b.start + j);
        if i < n && j < m && old[x] == new[y] {
            push(runs, true, x..x + 1, y..y + 1);
            (i, j) = (i + 1, j + 1);
        } else if i < n && (j == m || lengths[at(i + 1, j)] >= lengths[at(i, j + 1)]) {
            push(runs, false, x..x + 1, y..y);
            i += 1;
        } else {
            push(runs, false, x..x, y..y + 1);
            j += 1;
        }
    }
}
