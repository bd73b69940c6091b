//! The CRI log format: `2026-11-20T10:00:00.000000001Z stdout F text`. `P` marks a part of a longer line.

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: Timestamp,
    /// The stamp as it was written.
    pub stamp: &'a [u8],
    pub stream: Stream,
    pub partial: bool,
    /// Without the line end.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// The text, with its line end where the line is whole.
    pub fn with_newline(&self) -> impl Iterator<Item = u8> + use<'a> {
        let end: &[u8] = if self.partial { b"" } else { b"\n" };
        self.text.iter().copied().chain(end.iter().copied())
    }
}

/// Reads one line of a log; `None` for what is no CRI line, such as one torn by a crash.
pub fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let stamp = parts.next()?;
    let time = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let tags = parts.next()?;
    let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
    Some(Line { time, stamp, stream, partial, text: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_cri_format_are_read_and_torn_ones_are_not() {
        let read = |line: &str| {
            parse_line(line.as_bytes()).map(|l| {
                format!("{:?} {} {}", l.stream, l.partial, String::from_utf8(l.with_newline().collect()).unwrap())
            })
        };
        for (line, expected) in [
            ("2026-11-20T10:00:00.000000001Z stdout F hi there\n", Some("Stdout false hi there\n")),
            ("2026-11-20T10:00:00.000000001+08:00 stderr P part\n", Some("Stderr true part")),
            ("2026-11-20T10:00:00Z stdout F \n", Some("Stdout false \n")),
            ("2026-11-20T10:00:00Z stdout F:x a", Some("Stdout false a\n")),
            ("2026-11-20T10:00", None),
            ("2026-11-20T10:00:00Z stdin F a", None),
            ("", None),
        ] {
            assert_eq!(read(line).as_deref(), expected, "{line}");
        }
    }
}
