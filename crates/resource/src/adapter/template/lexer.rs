//! Splits a template into text and actions, and an action into tokens.

use super::At;

/// The beginning of an action.
const LEFT: &str = "<<";
/// Its end.
const RIGHT: &str = ">>";

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Text that is written as it stands.
    Text(&'a str),
    /// What stands between the delimiters, and where it begins.
    Action(usize, Vec<(usize, Token)>),
}

/// A token of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `index`, `if`
    Word(String),
    /// `.Series`; also what follows a variable or a parenthesis without a space.
    Field(String),
    /// `.`
    Dot,
    /// `$name`, `$`
    Variable(String),
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// `(`, `)`, `|`, `,`, `:=`, `=`
    Sign(&'static str),
    /// White space.
    Space,
}

/// Splits a template.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, At> {
    let mut pieces = Vec::new();
    let (mut at, mut trim_next) = (0, false);
    loop {
        let rest = &text[at..];
        let end = rest.find(LEFT);
        let mut plain = &rest[..end.unwrap_or(rest.len())];
        if trim_next {
            plain = plain.trim_start_matches(is_space);
        }
        let Some(end) = end else {
            push_text(&mut pieces, plain);
            return Ok(pieces);
        };
        let start = at + end;
        let mut inside = start + LEFT.len();
        if has_trim_marker(&text[inside..]) {
            plain = plain.trim_end_matches(is_space);
            inside += 2;
        }
        push_text(&mut pieces, plain);
        (at, trim_next) = match comment(text, start, inside)? {
            Some(after) => after,
            None => {
                let mut lexer = Lexer { text, at: inside, tokens: Vec::new() };
                let trims = lexer.run(start)?;
                let at = lexer.at;
                pieces.push(Piece::Action(start, lexer.tokens));
                (at, trims)
            }
        };
    }
}

fn push_text<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn has_trim_marker(inside: &str) -> bool {
    inside.starts_with('-') && inside[1..].starts_with(is_space)
}

/// `<</* … */>>`: where the template goes on, and whether the space there is left out.
fn comment(text: &str, start: usize, inside: usize) -> Result<Option<(usize, bool)>, At> {
    let Some(comment) = text[inside..].strip_prefix("/*") else { return Ok(None) };
    let closed = comment.find("*/").ok_or_else(|| At::new(start, "unclosed comment"))?;
    let mut after = inside + 2 + closed + 2;
    let rest = &text[after..];
    let trims = rest.starts_with(is_space) && rest[1..].starts_with("->>");
    after += if trims { 2 } else { 0 };
    match text[after..].starts_with(RIGHT) {
        true => Ok(Some((after + RIGHT.len(), trims))),
        false => Err(At::new(start, "a comment must end right before >>")),
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<(usize, Token)>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Reads up to behind `>>`; true where the space behind it is left out.
    fn run(&mut self, start: usize) -> Result<bool, At> {
        loop {
            let rest = self.rest();
            if rest.starts_with(is_space) {
                let spaces = rest.len() - rest.trim_start_matches(is_space).len();
                if rest[spaces..].starts_with("->>") {
                    self.at += spaces + 1 + RIGHT.len();
                    return Ok(true);
                }
                self.push(spaces, Token::Space);
                continue;
            }
            if rest.starts_with(RIGHT) {
                self.at += RIGHT.len();
                return Ok(false);
            }
            self.token(start)?;
        }
    }

    fn push(&mut self, length: usize, token: Token) {
        self.tokens.push((self.at, token));
        self.at += length;
    }

    fn token(&mut self, start: usize) -> Result<(), At> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Err(At::new(start, "<< without its >>"));
        };
        for sign in [":=", "=", "(", ")", "|", ","] {
            if rest.starts_with(sign) {
                self.push(sign.len(), Token::Sign(sign));
                return Ok(());
            }
        }
        let word = |text: &str| -> usize {
            text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
        };
        match first {
            '"' => self.quoted(start),
            '`' => {
                let inside = &rest[1..];
                let end = inside.find('`').ok_or_else(|| At::new(self.at, "` without its end"))?;
                let text = inside[..end].to_owned();
                self.push(end + 2, Token::Text(text));
                Ok(())
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let length = word(&rest[1..]);
                let name = rest[1..=length].to_owned();
                let token = if length == 0 { Token::Dot } else { Token::Field(name) };
                self.push(length + 1, token);
                Ok(())
            }
            '$' => {
                let length = word(&rest[1..]);
                let token = Token::Variable(rest[1..=length].to_owned());
                self.push(length + 1, token);
                Ok(())
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            c if c.is_alphabetic() || c == '_' => {
                let length = word(rest);
                let token = Token::Word(rest[..length].to_owned());
                self.push(length, token);
                Ok(())
            }
            c => Err(At::new(self.at, format!("unexpected {c:?} in an action"))),
        }
    }

    fn number(&mut self) -> Result<(), At> {
        let rest = self.rest();
        let is_part = |at: usize, c: char| {
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '_')
                || matches!(c, '+' | '-') && (at == 0 || rest[..at].ends_with(['e', 'E']))
        };
        let length =
            rest.char_indices().find(|(at, c)| !is_part(*at, *c)).map_or(rest.len(), |f| f.0);
        let digits = &rest[..length];
        let token = if let Ok(n) = digits.parse::<i64>() {
            Token::Integer(n)
        } else if let Some(n) =
            digits.strip_prefix("0x").and_then(|hex| i64::from_str_radix(hex, 16).ok())
        {
            Token::Integer(n)
        } else {
            match digits.parse::<f64>() {
                Ok(n) if n.is_finite() => Token::Float(n),
                _ => return Err(At::new(self.at, format!("bad number {digits:?}"))),
            }
        };
        self.push(length, token);
        Ok(())
    }

    /// A string in double quotes, with Go's escapes.
    fn quoted(&mut self, start: usize) -> Result<(), At> {
        let mut out = String::new();
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.push(at + 1, Token::Text(out));
                    return Ok(());
                }
                '\n' => break,
                '\\' => match chars.next().map(|c| c.1) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some(c @ ('"' | '\\')) => out.push(c),
                    Some('x') => {
                        let hex: String = chars.by_ref().take(2).map(|c| c.1).collect();
                        match u8::from_str_radix(&hex, 16) {
                            Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
                            _ => return Err(At::new(self.at + at, format!("bad escape \\x{hex}"))),
                        }
                    }
                    other => {
                        let other = other.map(String::from).unwrap_or_default();
                        return Err(At::new(self.at + at, format!("unknown escape \\{other}")));
                    }
                },
                c => out.push(c),
            }
        }
        Err(At::new(start.max(self.at), "a string without its closing quote"))
    }
}
