//! Cuts PromQL text into words, one at a time, as the parser asks: what a character means depends
//! on the brackets that are open. Messages are those of Prometheus 3's lexer.

use crate::ast::{BinaryOp, Span};
use crate::token::{Keyword, Kind, Token, duration_keyword, keyword};

pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    paren_depth: i32,
    brace_open: bool,
    bracket_open: bool,
    got_colon: bool,
    got_duration: bool,
    /// Right after `[` and within the operators that follow, other words are possible.
    in_duration: bool,
    failed: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(input: &'a str) -> Lexer<'a> {
        Lexer {
            input,
            pos: 0,
            start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            in_duration: false,
            failed: false,
        }
    }

    /// The next word that is no comment.
    pub fn next_token(&mut self) -> Token<'a> {
        if self.failed {
            return self.emit(Kind::Eof);
        }
        loop {
            let token = match self.step() {
                Ok(None) => continue,
                Ok(Some(token)) => token,
                Err(message) => {
                    self.failed = true;
                    let span = Span { start: self.start, end: self.input.len() };
                    return Token { kind: Kind::Error(message), span, text: "" };
                }
            };
            if token.kind != Kind::Comment {
                return token;
            }
        }
    }

    fn emit(&mut self, kind: Kind) -> Token<'a> {
        let span = Span { start: self.start, end: self.pos };
        self.start = self.pos;
        Token { kind, span, text: &self.input[span.start..span.end] }
    }

    fn peek(&self) -> Option<char> {
        self.input[self.pos..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        if self.peek().is_some_and(|c| set.contains(c)) {
            self.bump();
            return true;
        }
        false
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.bump();
        }
        self.start = self.pos;
    }

    fn step(&mut self) -> Result<Option<Token<'a>>, String> {
        if self.in_duration {
            return self.duration_expression();
        }
        if self.input[self.pos..].starts_with('#') {
            while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
                self.bump();
            }
            return Ok(Some(self.emit(Kind::Comment)));
        }
        if self.brace_open { self.inside_braces() } else { self.statements() }
    }

    fn statements(&mut self) -> Result<Option<Token<'a>>, String> {
        let Some(c) = self.bump() else {
            if self.paren_depth != 0 {
                return Err("unclosed left parenthesis".into());
            }
            if self.bracket_open {
                return Err("unclosed left bracket".into());
            }
            return Ok(Some(self.emit(Kind::Eof)));
        };
        if is_space(c) {
            self.skip_spaces();
            return Ok(None);
        }
        let kind = match c {
            ',' => Kind::Comma,
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '^' => Kind::Op(BinaryOp::Pow),
            '@' => Kind::At,
            '=' if self.accept("=") => Kind::Op(BinaryOp::Equal),
            '=' if self.peek() == Some('~') => {
                return Err("unexpected character after '=': '~'".into());
            }
            '=' => Kind::Assign,
            '!' => match self.bump() {
                Some('=') => Kind::Op(BinaryOp::NotEqual),
                other => return Err(format!("unexpected character after '!': {}", rune(other))),
            },
            '<' if self.accept("=") => Kind::Op(BinaryOp::LessEqual),
            '<' if self.accept("/") => Kind::Op(BinaryOp::TrimUpper),
            '<' => Kind::Op(BinaryOp::Less),
            '>' if self.accept("=") => Kind::Op(BinaryOp::GreaterEqual),
            '>' if self.accept("/") => Kind::Op(BinaryOp::TrimLower),
            '>' => Kind::Op(BinaryOp::Greater),
            '"' | '\'' => return self.quoted(c).map(Some),
            '`' => return self.raw_quoted().map(Some),
            '(' => return Ok(Some(self.left_paren())),
            ')' => return self.right_paren().map(Some),
            '{' => {
                self.brace_open = true;
                Kind::LeftBrace
            }
            '[' => return self.left_bracket().map(Some),
            ']' if !self.bracket_open => return Err("unexpected right bracket ']'".into()),
            ']' => {
                self.bracket_open = false;
                Kind::RightBracket
            }
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(is_digit)) => {
                self.pos -= 1;
                return self.number_or_duration().map(Some);
            }
            c if is_alpha(c) || c == ':' => return self.word(c).map(Some),
            c => return Err(format!("unexpected character: {}", rune(Some(c)))),
        };
        Ok(Some(self.emit(kind)))
    }

    fn left_paren(&mut self) -> Token<'a> {
        self.paren_depth += 1;
        self.emit(Kind::LeftParen)
    }

    fn right_paren(&mut self) -> Result<Token<'a>, String> {
        let token = self.emit(Kind::RightParen);
        self.paren_depth -= 1;
        if self.paren_depth < 0 {
            return Err("unexpected right parenthesis ')'".into());
        }
        Ok(token)
    }

    fn left_bracket(&mut self) -> Result<Token<'a>, String> {
        if self.bracket_open {
            return Err("unexpected left bracket '['".into());
        }
        self.got_colon = false;
        let token = self.emit(Kind::LeftBracket);
        self.skip_spaces();
        self.bracket_open = true;
        self.in_duration = true;
        Ok(token)
    }

    /// A word that begins with the letter or colon just read.
    fn word(&mut self, first: char) -> Result<Token<'a>, String> {
        if !self.bracket_open {
            while self.peek().is_some_and(|c| is_alphanumeric(c) || c == ':') {
                self.bump();
            }
            let word = &self.input[self.start..self.pos];
            let kind = match keyword(word) {
                Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                    if !self.input[self.pos..].trim_start_matches(is_space).starts_with('(') =>
                {
                    Kind::Identifier
                }
                Some(kind) => kind,
                None if word.contains(':') => Kind::MetricIdentifier,
                None => Kind::Identifier,
            };
            return Ok(self.emit(kind));
        }
        if first == ':' {
            if self.got_colon {
                return Err("unexpected colon ':'".into());
            }
            self.got_colon = true;
            return Ok(self.emit(Kind::Colon));
        }
        match self.duration_word() {
            Some(token) => Ok(token),
            None => Err(format!("unexpected character: {}, expected ':'", rune(Some(first)))),
        }
    }

    /// `step`, `range`, `max_of` or `min_of`, whose first letter was just read.
    fn duration_word(&mut self) -> Option<Token<'a>> {
        let first = self.input[self.start..].chars().next()?.to_ascii_lowercase();
        if !matches!(first, 's' | 'r' | 'm') {
            return None;
        }
        while self.peek().is_some_and(is_alpha) {
            self.bump();
        }
        let word = self.input[self.start..self.pos].to_ascii_lowercase();
        duration_keyword(&word).map(|p| self.emit(Kind::Preprocessor(p)))
    }

    fn duration_expression(&mut self) -> Result<Option<Token<'a>>, String> {
        let Some(c) = self.bump() else {
            return Err("unexpected end of input in duration expression".into());
        };
        if is_space(c) {
            self.skip_spaces();
            return Ok(None);
        }
        let kind = match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.in_duration = false;
                Kind::RightBracket
            }
            ':' => {
                let token = self.emit(Kind::Colon);
                if !self.got_duration {
                    return Err("unexpected colon before duration in duration expression".into());
                }
                if self.got_colon {
                    return Err("unexpected repeated colon in duration expression".into());
                }
                self.got_colon = true;
                return Ok(Some(token));
            }
            '(' => return Ok(Some(self.left_paren())),
            ')' => return self.right_paren().map(Some),
            '+' => Kind::Op(BinaryOp::Add),
            '-' => Kind::Op(BinaryOp::Sub),
            '*' => Kind::Op(BinaryOp::Mul),
            '/' => Kind::Op(BinaryOp::Div),
            '%' => Kind::Op(BinaryOp::Mod),
            '^' => Kind::Op(BinaryOp::Pow),
            ',' => Kind::Comma,
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(is_digit)) => {
                self.pos -= 1;
                self.got_duration = true;
                self.in_duration = false;
                return self.number_or_duration().map(Some);
            }
            c => {
                let word = if is_alpha(c) { self.duration_word() } else { None };
                return match word {
                    Some(token) => Ok(Some(token)),
                    None => Err(format!(
                        "unexpected character in duration expression: {}",
                        rune(Some(c))
                    )),
                };
            }
        };
        Ok(Some(self.emit(kind)))
    }

    fn inside_braces(&mut self) -> Result<Option<Token<'a>>, String> {
        let Some(c) = self.bump() else {
            return Err("unexpected end of input inside braces".into());
        };
        if is_space(c) {
            self.skip_spaces();
            return Ok(None);
        }
        let kind = match c {
            c if is_alpha(c) => {
                while self.peek().is_some_and(is_alphanumeric) {
                    self.bump();
                }
                Kind::Identifier
            }
            ',' => Kind::Comma,
            '"' | '\'' => return self.quoted(c).map(Some),
            '`' => return self.raw_quoted().map(Some),
            '=' if self.accept("~") => Kind::EqualRegex,
            '=' => Kind::Assign,
            '!' => match self.bump() {
                Some('~') => Kind::NotEqualRegex,
                Some('=') => Kind::Op(BinaryOp::NotEqual),
                other => {
                    return Err(format!(
                        "unexpected character after '!' inside braces: {}",
                        rune(other)
                    ));
                }
            },
            '{' => return Err("unexpected left brace '{'".into()),
            '}' => {
                self.brace_open = false;
                Kind::RightBrace
            }
            c => return Err(format!("unexpected character inside braces: {}", rune(Some(c)))),
        };
        Ok(Some(self.emit(kind)))
    }

    /// The rest of a string whose opening quote was read.
    fn quoted(&mut self, quote: char) -> Result<Token<'a>, String> {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".into()),
                None | Some('\n') => return Err("unterminated quoted string".into()),
                Some(c) if c == quote => return Ok(self.emit(Kind::String)),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Result<Token<'a>, String> {
        loop {
            match self.bump() {
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".into()),
                None => return Err("unterminated raw string".into()),
                Some('`') => return Ok(self.emit(Kind::String)),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), String> {
        let unterminated = || "escape sequence not terminated".to_string();
        let (digits, base, max) = match self.bump() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => {
                self.pos -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, 0x10ffff),
            Some('U') => (8, 16, 0x10ffff),
            None => return Err(unterminated()),
            Some(c) => return Err(format!("unknown escape sequence {}", unicode(c))),
        };
        let mut value: u32 = 0;
        for _ in 0..digits {
            let c = self.bump().ok_or_else(unterminated)?;
            let Some(digit) = c.to_digit(base) else {
                return Err(format!("illegal character {} in escape sequence", unicode(c)));
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".into());
        }
        Ok(())
    }

    fn number_or_duration(&mut self) -> Result<Token<'a>, String> {
        if self.scan_number() {
            return Ok(self.emit(Kind::Number));
        }
        if self.rest_of_duration() {
            return Ok(self.emit(Kind::Duration));
        }
        // The character that made it no duration belongs to what the message shows.
        let text = &self.input[self.start..self.pos];
        Err(format!("bad number or duration syntax: {}", model::labels::Quoted(text)))
    }

    fn rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }

    /// Reads what looks like a number; whether it is one, the parser finds out.
    fn scan_number(&mut self) -> bool {
        let first = self.pos;
        let mut digits = "0123456789";
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
        }
        self.accept(".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        let is = |lexer: &Self, set: &str| lexer.peek().is_some_and(|c| set.contains(c));
        while is(self, digits) || is(self, "._eE") {
            if dot && self.accept(".") || exponent && self.accept("eE") {
                return false;
            }
            if self.accept(".") {
                dot = true;
                if self.accept("_.") || digits.len() > 10 {
                    return false;
                }
            } else if self.accept("eE") {
                exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                while self.accept(digits) {}
            }
        }
        self.pos != first && !self.peek().is_some_and(is_alphanumeric)
    }
}

/// As Go prints a character with `%q`.
fn rune(c: Option<char>) -> String {
    match c {
        None => "'\u{fffd}'".into(),
        Some('\'') => r"'\''".into(),
        Some('"') => "'\"'".into(),
        Some(c) => {
            let quoted = model::labels::Quoted(c.encode_utf8(&mut [0; 4])).to_string();
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// As Go prints a character with `%#U`.
fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || is_digit(c)
}
