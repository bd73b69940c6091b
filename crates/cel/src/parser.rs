//! Tokens to an [`Ast`], by recursive descent; macros are unfolded as they are met.
//!
//! What is wrong is said in the words of upstream's generated parser, as far as a user meets them.

use crate::ast::{Ast, Expr, Fold, Kind, Literal};
use crate::lexer::{Lexeme, Token, lex};
use crate::macros;
use crate::source::{Issue, Issues, Source};

/// Characters of an expression.
pub const SOURCE_CHARS_MAX: usize = 100_000;
/// Expressions inside one another: the stages behind the parser are recursive.
pub const DEPTH_MAX: usize = 250;
const PRIMARY: &str =
    "'.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// Words of the language that are no names.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];
/// Words that are kept for languages around it.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether a name is a word of the language, so that nothing can be called so.
pub fn is_word(name: &str) -> bool {
    KEYWORDS.contains(&name) || RESERVED.contains(&name)
}

pub struct Parser<'l> {
    lexemes: &'l [Lexeme],
    at: usize,
    offsets: Vec<usize>,
    depths: Vec<usize>,
    recursion: usize,
    /// Whether `cel.bind` is known.
    pub bindings: bool,
}

pub type Parsed<T> = Result<T, Issue>;

/// Parses an expression.
pub fn parse(text: &str, bindings: bool) -> Result<Ast, Issues> {
    let source = Source::new(text);
    if source.chars.len() > SOURCE_CHARS_MAX {
        let message =
            format!("expression code point size exceeds limit: size: {}, limit {SOURCE_CHARS_MAX}", source.chars.len());
        return Err(Issues::new(Source::default(), vec![Issue { offset: 0, message }]));
    }
    let (lexemes, mut issues) = lex(&source);
    let mut parser =
        Parser { lexemes: &lexemes, at: 0, offsets: Vec::new(), depths: Vec::new(), recursion: 0, bindings };
    let root = parser.expr().and_then(|root| parser.end().map(|()| root));
    match root {
        Ok(root) if issues.is_empty() => Ok(Ast { root, offsets: parser.offsets, source }),
        Ok(_) => Err(Issues::new(source, issues)),
        Err(issue) => {
            issues.push(issue);
            Err(Issues::new(source, issues))
        }
    }
}

impl Parser<'_> {
    fn lexeme(&self) -> &Lexeme {
        &self.lexemes[self.at.min(self.lexemes.len() - 1)]
    }

    fn is(&self, sign: &str) -> bool {
        matches!(&self.lexeme().token, Token::Sign(found) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    fn here(&self) -> usize {
        self.lexeme().start
    }

    pub fn offset(&self, of: &Expr) -> usize {
        self.offsets[of.id]
    }

    fn shown(token: &Token) -> String {
        match token {
            Token::Name(name) => name.clone(),
            Token::Int(value) => value.to_string(),
            Token::Uint(value) => format!("{value}u"),
            Token::Double(value) => value.to_string(),
            Token::Text(text) => format!("\"{text}\""),
            Token::Bytes(_) => "b\"\"".to_owned(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::End => "<EOF>".to_owned(),
        }
    }

    /// What stands here is not what may: upstream tries to go on by leaving it out.
    fn unexpected(&self, expecting: &str, goes_on: fn(&Token) -> bool) -> Issue {
        let next = self.lexemes.get(self.at + 1).map(|lexeme| &lexeme.token);
        let extra = self.lexeme().token != Token::End && next.is_some_and(goes_on);
        let how = if extra { "extraneous" } else { "mismatched" };
        let shown = Self::shown(&self.lexeme().token);
        let message = format!("Syntax error: {how} input '{shown}' expecting {expecting}");
        Issue { offset: self.here(), message }
    }

    fn end(&self) -> Parsed<()> {
        match self.lexeme().token {
            Token::End => Ok(()),
            _ => Err(self.unexpected("<EOF>", |next| *next == Token::End)),
        }
    }

    fn close(&mut self, sign: &'static str) -> Parsed<()> {
        if self.take(sign) {
            return Ok(());
        }
        let shown = Self::shown(&self.lexeme().token);
        let message = match self.lexeme().token {
            Token::End => format!("Syntax error: missing '{sign}' at '<EOF>'"),
            _ => format!("Syntax error: mismatched input '{shown}' expecting '{sign}'"),
        };
        Err(Issue { offset: self.here(), message })
    }

    /// A new expression at a character.
    pub fn node(&mut self, offset: usize, kind: Kind) -> Parsed<Expr> {
        let expr = Expr { id: self.offsets.len(), kind };
        let depth = 1 + expr.children().iter().map(|child| self.depths[child.id]).max().unwrap_or_default();
        if depth > DEPTH_MAX {
            return Err(too_deep(offset));
        }
        self.offsets.push(offset);
        self.depths.push(depth);
        Ok(expr)
    }

    pub fn call(&mut self, offset: usize, function: &str, args: Vec<Expr>) -> Parsed<Expr> {
        self.node(offset, Kind::Call { function: function.to_owned(), target: None, args })
    }

    pub fn member(&mut self, offset: usize, target: Expr, function: &str, args: Vec<Expr>) -> Parsed<Expr> {
        let target = Some(Box::new(target));
        self.node(offset, Kind::Call { function: function.to_owned(), target, args })
    }

    pub fn ident(&mut self, offset: usize, name: &str) -> Parsed<Expr> {
        self.node(offset, Kind::Ident(name.to_owned()))
    }

    pub fn literal(&mut self, offset: usize, literal: Literal) -> Parsed<Expr> {
        self.node(offset, Kind::Literal(literal))
    }

    pub fn fold(&mut self, offset: usize, fold: Fold) -> Parsed<Expr> {
        self.node(offset, Kind::Fold(Box::new(fold)))
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.recursion += 1;
        if self.recursion > DEPTH_MAX {
            return Err(too_deep(self.here()));
        }
        let condition = self.logic("||", "_||_")?;
        let offset = self.here();
        let done = if self.take("?") {
            let yes = self.logic("||", "_||_")?;
            self.close(":")?;
            let no = self.expr()?;
            self.call(offset, "_?_:_", vec![condition, yes, no])?
        } else {
            condition
        };
        self.recursion -= 1;
        Ok(done)
    }

    /// `a && b && c` becomes a balanced tree, so that long chains are not deep.
    fn logic(&mut self, sign: &'static str, function: &'static str) -> Parsed<Expr> {
        let mut operators = Vec::new();
        let mut terms = Vec::new();
        loop {
            let term = if sign == "||" { self.logic("&&", "_&&_")? } else { self.relation()? };
            terms.push(Some(term));
            let offset = self.here();
            if !self.take(sign) {
                break;
            }
            operators.push(offset);
        }
        self.balance(function, &mut terms, &operators, 0, operators.len())
    }

    /// The tree of the terms `from ..= to`.
    fn balance(
        &mut self,
        function: &str,
        terms: &mut [Option<Expr>],
        operators: &[usize],
        from: usize,
        to: usize,
    ) -> Parsed<Expr> {
        if from == to {
            return Ok(terms[from].take().expect("invariant: each term is used once"));
        }
        let middle = (from + to) / 2;
        let left = self.balance(function, terms, operators, from, middle)?;
        let right = self.balance(function, terms, operators, middle + 1, to)?;
        self.call(operators[middle], function, vec![left, right])
    }

    fn relation(&mut self) -> Parsed<Expr> {
        const OPERATORS: [(&str, &str); 7] =
            [("==", "_==_"), ("!=", "_!=_"), ("<=", "_<=_"), (">=", "_>=_"), ("<", "_<_"), (">", "_>_"), ("in", "@in")];
        self.chain(&OPERATORS, |parser| {
            parser.chain(&[("+", "_+_"), ("-", "_-_")], |parser| {
                parser.chain(&[("*", "_*_"), ("/", "_/_"), ("%", "_%_")], Self::unary)
            })
        })
    }

    fn chain(&mut self, operators: &[(&str, &str)], inner: impl Fn(&mut Self) -> Parsed<Expr> + Copy) -> Parsed<Expr> {
        let mut left = inner(self)?;
        loop {
            let Some((_, function)) = operators.iter().find(|(sign, _)| self.is(sign)) else { return Ok(left) };
            let offset = self.here();
            self.at += 1;
            let right = inner(self)?;
            left = self.call(offset, function, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let offset = self.here();
        for (sign, function) in [("!", "!_"), ("-", "-_")] {
            let mut count = 0;
            if sign == "-" && self.is("-") && self.negative_number() {
                let literal = self.number(true)?;
                let number = self.literal(offset, literal)?;
                return self.members(number);
            }
            while self.take(sign) {
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let operand = self.primary()?;
            let operand = self.members(operand)?;
            return if count % 2 == 1 { self.call(offset, function, vec![operand]) } else { Ok(operand) };
        }
        let primary = self.primary()?;
        self.members(primary)
    }

    fn negative_number(&self) -> bool {
        let next = self.lexemes.get(self.at + 1).map(|lexeme| &lexeme.token);
        matches!(next, Some(Token::Int(_) | Token::Double(_)))
    }

    fn number(&mut self, negative: bool) -> Parsed<Literal> {
        let offset = self.here();
        self.at += usize::from(negative);
        let literal = match self.lexeme().token {
            Token::Int(value) if negative => Literal::Int(value.wrapping_neg()),
            Token::Int(i64::MIN) => return Err(Issue { offset, message: "invalid int literal".to_owned() }),
            Token::Int(value) => Literal::Int(value),
            Token::Double(value) => Literal::Double(if negative { -value } else { value }),
            _ => return Err(self.unexpected("NUM_INT", |_| false)),
        };
        self.at += 1;
        Ok(literal)
    }

    fn members(&mut self, mut operand: Expr) -> Parsed<Expr> {
        loop {
            let offset = self.here();
            if self.take(".") {
                let optional = self.take("?");
                let name = self.selector()?;
                let open = self.here();
                operand = if optional {
                    let field = self.literal(offset, Literal::Text(name.into()))?;
                    self.call(offset, "_?._", vec![operand, field])?
                } else if self.take("(") {
                    let args = self.args()?;
                    macros::receiver(self, open, operand, &name, args)?
                } else {
                    self.node(offset, Kind::Select { operand: Box::new(operand), field: name, test: false })?
                };
            } else if self.take("[") {
                let function = if self.take("?") { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.close("]")?;
                operand = self.call(offset, function, vec![operand, index])?;
            } else if self.is("{")
                && let Some(name) = operand.dotted()
            {
                return self.message(offset, name);
            } else {
                return Ok(operand);
            }
        }
    }

    /// There are no messages to build: what stands in the braces is only passed over.
    fn message(&mut self, offset: usize, name: String) -> Parsed<Expr> {
        self.at += 1;
        while !self.is("}") {
            self.take("?");
            self.selector()?;
            self.close(":")?;
            self.expr()?;
            if !self.take(",") {
                break;
            }
        }
        self.close("}")?;
        self.node(offset, Kind::Message(name))
    }

    /// The name after a dot: reserved ones are allowed there.
    fn selector(&mut self) -> Parsed<String> {
        let Token::Name(name) = &self.lexeme().token else {
            let shown = Self::shown(&self.lexeme().token);
            let message = format!("Syntax error: mismatched input '{shown}' expecting IDENTIFIER");
            return Err(Issue { offset: self.here(), message });
        };
        let name = name.clone();
        self.at += 1;
        Ok(name)
    }

    /// After the opening parenthesis.
    fn args(&mut self) -> Parsed<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take(")") {
            return Ok(args);
        }
        if self.lexeme().token == Token::End {
            return Err(self.unexpected(&format!("{{'[', '{{', '(', ')', {PRIMARY}"), |_| false));
        }
        loop {
            args.push(self.expr()?);
            if !self.take(",") {
                self.close(")")?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let offset = self.here();
        let literal = match self.lexeme().token.clone() {
            Token::Int(_) | Token::Double(_) => {
                let literal = self.number(false)?;
                return self.literal(offset, literal);
            }
            Token::Name(name) => {
                self.at += 1;
                return self.named(offset, &name);
            }
            Token::Uint(value) => Literal::Uint(value),
            Token::Text(text) => Literal::Text(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::Sign("true") => Literal::Bool(true),
            Token::Sign("false") => Literal::Bool(false),
            Token::Sign("null") => Literal::Null,
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.expr()?;
                self.close(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => return self.list(offset),
            Token::Sign("{") => return self.map(offset),
            Token::Sign(".") => {
                self.at += 1;
                let name = self.selector()?;
                return self.named(offset, &name);
            }
            _ => {
                let starts = |token: &Token| match token {
                    Token::Sign(sign) => matches!(*sign, "(" | "[" | "{" | "-" | "!" | "true" | "false" | "null" | "."),
                    Token::End => false,
                    _ => true,
                };
                return Err(self.unexpected(&format!("{{'[', '{{', '(', {PRIMARY}"), starts));
            }
        };
        self.at += 1;
        self.literal(offset, literal)
    }

    fn named(&mut self, offset: usize, name: &str) -> Parsed<Expr> {
        if RESERVED.contains(&name) {
            return Err(Issue { offset, message: format!("reserved identifier: {name}") });
        }
        let open = self.here();
        if self.take("(") {
            let args = self.args()?;
            return macros::global(self, open, name, args);
        }
        self.ident(offset, name)
    }

    fn list(&mut self, offset: usize) -> Parsed<Expr> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.is("]") {
            let optional = self.take("?");
            items.push((self.expr()?, optional));
            if !self.take(",") {
                break;
            }
        }
        self.close("]")?;
        self.node(offset, Kind::List(items))
    }

    fn map(&mut self, offset: usize) -> Parsed<Expr> {
        self.at += 1;
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.take("?");
            let key = self.expr()?;
            self.close(":")?;
            entries.push((key, self.expr()?, optional));
            if !self.take(",") {
                break;
            }
        }
        self.close("}")?;
        self.node(offset, Kind::Map(entries))
    }
}

fn too_deep(offset: usize) -> Issue {
    Issue { offset, message: format!("expression recursion limit exceeded: {DEPTH_MAX}") }
}
