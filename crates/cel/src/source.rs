//! The text of an expression and where in it something is wrong.

use std::fmt;

/// An expression as characters: places are counted in characters, as upstream counts them.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub chars: Vec<char>,
}

/// One thing that is wrong with an expression, at a character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issue {
    pub offset: usize,
    pub message: String,
}

/// Everything that is wrong with an expression, in upstream's form: message, the line, a caret.
#[derive(Clone, Debug)]
pub struct Issues {
    source: Source,
    issues: Vec<Issue>,
}

impl Source {
    pub fn new(text: &str) -> Self {
        Self { chars: text.chars().collect() }
    }

    pub fn slice(&self, from: usize, to: usize) -> String {
        self.chars[from..to.min(self.chars.len())].iter().collect()
    }

    /// Line (from 1), column (from 0) and the line's text.
    fn place(&self, offset: usize) -> (usize, usize, String) {
        let offset = offset.min(self.chars.len());
        let before = &self.chars[..offset];
        let line = before.iter().filter(|c| **c == '\n').count();
        let start = before.iter().rposition(|c| *c == '\n').map_or(0, |at| at + 1);
        let end = self.chars[start..].iter().position(|c| *c == '\n').map_or(self.chars.len(), |at| start + at);
        (line + 1, offset - start, self.slice(start, end))
    }
}

impl Issues {
    pub fn new(source: Source, mut issues: Vec<Issue>) -> Self {
        issues.sort();
        issues.dedup();
        Self { source, issues }
    }

    pub fn list(&self) -> &[Issue] {
        &self.issues
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            let (line, column, text) = self.source.place(issue.offset);
            let text = text.replace('\t', " ");
            let dots = ".".repeat(column);
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}ERROR: <input>:{line}:{}: {}\n | {text}\n | {dots}^", column + 1, issue.message)?;
        }
        Ok(())
    }
}
