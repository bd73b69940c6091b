//! Prometheus' text form: metrics with their heads, samples and histograms.

use std::fmt::{Display, Write};

#[derive(Default)]
pub struct Page(String);

/// Counts of values by upper bounds, which the caller keeps.
pub struct Histogram<const N: usize> {
    buckets: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { buckets: [0; N], count: 0, sum: 0.0 }
    }
}

impl<const N: usize> Histogram<N> {
    pub fn observe(&mut self, bounds: &[f64; N], value: f64) {
        self.count += 1;
        self.sum += value;
        if let Some(bucket) = bounds.iter().position(|bound| value <= *bound) {
            self.buckets[bucket] += 1;
        }
    }
}

impl Page {
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// `labels` as they stand between the braces; empty for none.
    pub fn sample(&mut self, name: &str, labels: &str, value: &dyn Display) {
        match labels {
            "" => self.line(format_args!("{name} {value}")),
            _ => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    pub fn histogram<const N: usize>(&mut self, name: &str, labels: &str, bounds: &[f64; N], histogram: &Histogram<N>) {
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(histogram.buckets) {
            below += count;
            self.line(format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"));
        }
        self.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", histogram.count));
        self.line(format_args!("{name}_sum{{{labels}}} {}", histogram.sum));
        self.line(format_args!("{name}_count{{{labels}}} {}", histogram.count));
    }

    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("invariant: writing to a String never fails");
    }
}
