//! Sets of completion indexes as a Job's status writes them: `0-4,7,9,10`.

use std::collections::BTreeSet;
use std::fmt::Write;

pub(super) type Indexes = BTreeSet<i64>;

/// Those below `completions`; what is malformed is left out.
pub(super) fn parse(text: &str, completions: i64) -> Indexes {
    let mut indexes = Indexes::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<i64>(), last.trim().parse::<i64>()) {
            indexes.extend(first.max(0)..=last.min(completions - 1));
        }
    }
    indexes
}

/// Runs of three and more are written as a range.
pub(super) fn text(indexes: &Indexes) -> String {
    let mut text = String::new();
    let mut rest = indexes.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while rest.next_if_eq(&(last + 1)).is_some() {
            last += 1;
        }
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = match last - first {
            0 => write!(text, "{comma}{first}"),
            1 => write!(text, "{comma}{first},{last}"),
            _ => write!(text, "{comma}{first}-{last}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_read_and_written_as_ranges() {
        for (given, kept) in
            [("", ""), ("3", "3"), ("0-1", "0,1"), ("0,1,2,5,7-9", "0-2,5,7-9"), ("8-12", "8,9"), ("x,1-", "")]
        {
            assert_eq!(text(&parse(given, 10)), kept, "{given}");
        }
    }
}
