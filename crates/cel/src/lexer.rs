//! Characters to tokens, by CEL's grammar.

use std::sync::Arc;

use crate::source::{Issue, Source};

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name, perhaps a reserved one.
    Name(String),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    /// An operator, a bracket or one of `true`, `false`, `null`, `in`.
    Sign(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub struct Lexeme {
    pub token: Token,
    pub start: usize,
}

/// Longest first.
const SIGNS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "-", "+", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", ".",
    "?", ":", "=",
];
const WORDS: [&str; 4] = ["true", "false", "null", "in"];

struct Lexer<'s> {
    source: &'s Source,
    at: usize,
    issues: Vec<Issue>,
}

/// All tokens, ended by [`Token::End`], and what could not be one.
pub fn lex(source: &Source) -> (Vec<Lexeme>, Vec<Issue>) {
    let mut lexer = Lexer { source, at: 0, issues: Vec::new() };
    let mut lexemes = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        if start >= source.chars.len() {
            lexemes.push(Lexeme { token: Token::End, start });
            return (lexemes, lexer.issues);
        }
        match lexer.token() {
            Ok(token) => lexemes.push(Lexeme { token, start }),
            Err(issue) => lexer.issues.push(issue),
        }
    }
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.source.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, c)| self.peek(index) == c)
    }

    fn skip_blanks(&mut self) {
        while self.at < self.source.chars.len() {
            if self.starts_with("//") {
                while self.at < self.source.chars.len() && self.peek(0) != '\n' {
                    self.at += 1;
                }
            } else if matches!(self.peek(0), ' ' | '\t' | '\r' | '\n' | '\u{c}') {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn token(&mut self) -> Result<Token, Issue> {
        let first = self.peek(0);
        if let Some((prefix, quote)) = self.opening() {
            return self.quoted(prefix, quote);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let start = self.at;
            while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == '_' {
                self.at += 1;
            }
            let name = self.source.slice(start, self.at);
            let word = WORDS.iter().find(|word| **word == name);
            return Ok(word.map_or(Token::Name(name), |word| Token::Sign(word)));
        }
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_ascii_digit()) {
            return self.number();
        }
        match SIGNS.iter().find(|sign| self.starts_with(sign)) {
            Some(sign) if *sign != "=" => {
                self.at += sign.len();
                Ok(Token::Sign(sign))
            }
            _ => Err(self.unknown(self.at, self.lone_sign_len())),
        }
    }

    /// Upstream's lexer swallows the blank behind half an operator with it.
    fn lone_sign_len(&self) -> usize {
        let half = matches!(self.peek(0), '|' | '&' | '=');
        1 + usize::from(half && self.at + 1 < self.source.chars.len())
    }

    fn unknown(&mut self, start: usize, len: usize) -> Issue {
        let text = self.source.slice(start, start + len);
        self.at = start + len;
        let shown = text.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
        Issue { offset: start, message: format!("Syntax error: token recognition error at: '{shown}'") }
    }

    fn number(&mut self) -> Result<Token, Issue> {
        let start = self.at;
        let hex = self.starts_with("0x") || self.starts_with("0X");
        let mut is_double = false;
        if hex {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() {
                self.at += 1;
            }
        } else {
            is_double = self.digits();
        }
        let text = self.source.slice(start, self.at);
        if is_double {
            let value =
                text.parse().map_err(|_| Issue { offset: start, message: "invalid double literal".to_owned() })?;
            return Ok(Token::Double(value));
        }
        let (digits, radix) = if hex { (&text[2..], 16) } else { (text.as_str(), 10) };
        if matches!(self.peek(0), 'u' | 'U') {
            self.at += 1;
            let value = u64::from_str_radix(digits, radix);
            return value
                .map(Token::Uint)
                .map_err(|_| Issue { offset: start, message: "invalid uint literal".to_owned() });
        }
        // The smallest integer is written with a minus before a number that is one too great; it comes as a wrapped value.
        let value = u64::from_str_radix(digits, radix).ok().filter(|value| *value <= i64::MIN.unsigned_abs());
        value
            .map(|value| Token::Int(value.cast_signed()))
            .ok_or_else(|| Issue { offset: start, message: "invalid int literal".to_owned() })
    }

    /// Whether there is a fraction or an exponent.
    fn digits(&mut self) -> bool {
        let mut is_double = false;
        self.skip_digits();
        if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            is_double = true;
            self.at += 1;
            self.skip_digits();
        }
        let sign = usize::from(matches!(self.peek(1), '+' | '-'));
        if matches!(self.peek(0), 'e' | 'E') && self.peek(1 + sign).is_ascii_digit() {
            is_double = true;
            self.at += 1 + sign;
            self.skip_digits();
        }
        is_double
    }

    fn skip_digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    /// The length of a prefix (r, b) and the kind of quotes, where a text begins.
    fn opening(&self) -> Option<(usize, &'static str)> {
        let mut prefix = 0;
        while prefix < 2 && matches!(self.peek(prefix), 'r' | 'R' | 'b' | 'B') {
            prefix += 1;
        }
        let twice = prefix == 2 && self.peek(0).eq_ignore_ascii_case(&self.peek(1));
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let at = |quote: &&&str| quote.chars().enumerate().all(|(index, c)| self.peek(prefix + index) == c);
        quotes.iter().find(at).filter(|_| !twice).map(|quote| (prefix, *quote))
    }

    fn quoted(&mut self, prefix: usize, quote: &'static str) -> Result<Token, Issue> {
        let start = self.at;
        let (mut raw, mut bytes) = (false, false);
        for index in 0..prefix {
            raw |= self.peek(index).eq_ignore_ascii_case(&'r');
            bytes |= self.peek(index).eq_ignore_ascii_case(&'b');
        }
        self.at += prefix + quote.len();
        let body = self.at;
        loop {
            if self.at >= self.source.chars.len() || (quote.len() == 1 && self.peek(0) == '\n') {
                return Err(self.unknown(start, self.at - start));
            }
            if self.starts_with(quote) {
                break;
            }
            self.at += if self.peek(0) == '\\' && !raw { 2 } else { 1 };
        }
        let end = self.at;
        self.at += quote.len();
        let text = self.source.slice(body, end);
        let unescaped = if raw { Some(text.bytes().collect()) } else { unescape(&text, bytes) };
        let Some(unescaped) = unescaped else {
            return Err(self.unknown(start, self.at - start));
        };
        if bytes {
            return Ok(Token::Bytes(unescaped.into()));
        }
        let text = String::from_utf8(unescaped);
        text.map(|text| Token::Text(text.into())).map_err(|_| self.unknown(start, self.at - start))
    }
}

/// Escapes of a literal; those by number are characters in a text and bytes in bytes.
fn unescape(text: &str, bytes: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 4];
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let (radix, count, first) = match chars.next()? {
            'a' => (0, 0, '\u{7}'),
            'b' => (0, 0, '\u{8}'),
            'f' => (0, 0, '\u{c}'),
            'n' => (0, 0, '\n'),
            'r' => (0, 0, '\r'),
            't' => (0, 0, '\t'),
            'v' => (0, 0, '\u{b}'),
            same @ ('\\' | '\'' | '"' | '`' | '?') => (0, 0, same),
            'x' | 'X' => (16, 2, '0'),
            'u' if !bytes => (16, 4, '0'),
            'U' if !bytes => (16, 8, '0'),
            octal @ '0'..='3' => (8, 2, octal),
            _ => return None,
        };
        if radix == 0 {
            out.extend_from_slice(first.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let mut number = first.to_digit(radix)?;
        for _ in 0..count {
            number = number.checked_mul(radix)? + chars.next()?.to_digit(radix)?;
        }
        if bytes {
            out.push(u8::try_from(number).ok()?);
        } else {
            out.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut buffer).as_bytes());
        }
    }
    Some(out)
}
