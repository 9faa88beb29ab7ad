//! The syntax tree of a template, and its parser.

use super::At;
use super::lexer::{Piece, Token, pieces};
use std::iter::Peekable;
use std::vec::IntoIter;

/// Blocks and parentheses may nest this deep.
const DEPTH: usize = 32;

/// The functions that there are.
const FUNCTIONS: [&str; 15] = [
    "and", "eq", "ge", "gt", "index", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice",
];

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    /// Writes a value, or sets a variable.
    Output(Pipeline),
    /// Conditions with what they guard, and what is written where none holds.
    If(Vec<(Pipeline, Vec<Part>)>, Vec<Part>),
    Range(Pipeline, Vec<Part>, Vec<Part>),
    With(Pipeline, Vec<Part>, Vec<Part>),
    Break,
    Continue,
}

/// Commands of which each gets the value of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub at: usize,
    /// The variables that get the value.
    pub variables: Vec<String>,
    /// Whether they are new (`:=`).
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// A function with its arguments, or one operand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub at: usize,
    pub operands: Vec<Operand>,
}

/// A value, and the fields that are taken of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub at: usize,
    pub base: Base,
    pub fields: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Base {
    Dot,
    Nil,
    Variable(String),
    Function(&'static str),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Parens(Box<Pipeline>),
}

type Tokens = Peekable<IntoIter<(usize, Token)>>;

/// What ended a list of parts.
#[derive(PartialEq)]
enum Ended {
    All,
    End,
    Else(Tokens2),
}

/// The tokens behind an `else`.
type Tokens2 = Vec<(usize, Token)>;

/// Parses a template.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, At> {
    let pieces = pieces(text)?;
    let mut parser =
        Parser { pieces: pieces.into_iter(), end: text.len(), ranges: 0, scope: Vec::new() };
    let (parts, ended) = parser.parts(0)?;
    match ended {
        Ended::All => Ok(parts),
        Ended::End => Err(At::new(parser.end, "an end without its if, range or with")),
        Ended::Else(_) => Err(At::new(parser.end, "an else without its if, range or with")),
    }
}

struct Parser<'a> {
    pieces: IntoIter<Piece<'a>>,
    /// The place that errors name: the last action's.
    end: usize,
    /// How many loops are open.
    ranges: usize,
    /// The variables that are known.
    scope: Vec<String>,
}

impl Parser<'_> {
    fn parts(&mut self, depth: usize) -> Result<(Vec<Part>, Ended), At> {
        let mut parts = Vec::new();
        let scope = self.scope.len();
        let ended = loop {
            let (at, tokens) = match self.pieces.next() {
                None => break Ended::All,
                Some(Piece::Text(text)) => {
                    parts.push(Part::Text(text.to_owned()));
                    continue;
                }
                Some(Piece::Action(at, tokens)) => (at, tokens),
            };
            self.end = at;
            if depth > DEPTH {
                return Err(At::new(at, format!("blocks nested more than {DEPTH} deep")));
            }
            let mut tokens = tokens.into_iter().peekable();
            skip_space(&mut tokens);
            let word = match tokens.peek() {
                Some((_, Token::Word(word))) => word.clone(),
                _ => String::new(),
            };
            match word.as_str() {
                "end" | "break" | "continue" => {
                    tokens.next();
                    finish(&mut tokens)?;
                    if word == "end" {
                        break Ended::End;
                    }
                    if self.ranges == 0 {
                        return Err(At::new(at, format!("{word} outside of range")));
                    }
                    parts.push(if word == "break" { Part::Break } else { Part::Continue });
                }
                "else" => {
                    tokens.next();
                    skip_space(&mut tokens);
                    break Ended::Else(tokens.collect());
                }
                "if" | "with" | "range" => {
                    tokens.next();
                    parts.push(self.block(&word, at, tokens, depth)?);
                }
                "define" | "template" | "block" => {
                    return Err(At::new(at, format!("{word} is not supported in a rule")));
                }
                _ => {
                    let pipeline = self.pipeline(&mut tokens, at, depth)?;
                    finish(&mut tokens)?;
                    if pipeline.variables.len() > 1 {
                        return Err(At::new(at, "two variables only go with range"));
                    }
                    parts.push(Part::Output(pipeline));
                }
            }
        };
        self.scope.truncate(scope);
        Ok((parts, ended))
    }

    /// What follows `if`, `with` or `range`, up to its `end`.
    fn block(
        &mut self,
        word: &str,
        at: usize,
        mut tokens: Tokens,
        depth: usize,
    ) -> Result<Part, At> {
        let scope = self.scope.len();
        let pipeline = self.pipeline(&mut tokens, at, depth)?;
        finish(&mut tokens)?;
        if pipeline.variables.len() > 1 && word != "range" {
            return Err(At::new(at, "two variables only go with range"));
        }
        let unclosed = || At::new(at, format!("{word} without its end"));
        let is_range = word == "range";
        self.ranges += usize::from(is_range);
        let (body, mut ended) = self.parts(depth + 1)?;
        self.ranges -= usize::from(is_range);
        let mut branches = vec![(pipeline, body)];
        let mut otherwise = Vec::new();
        while let Ended::Else(tokens) = ended {
            let mut tokens = tokens.into_iter().peekable();
            let after = match tokens.peek() {
                Some((_, Token::Word(word))) => word.clone(),
                _ => String::new(),
            };
            if word == "if" && after == "if" {
                tokens.next();
                let place = self.end;
                let condition = self.pipeline(&mut tokens, place, depth)?;
                finish(&mut tokens)?;
                let (body, next) = self.parts(depth + 1)?;
                branches.push((condition, body));
                ended = next;
            } else {
                finish(&mut tokens)?;
                (otherwise, ended) = self.parts(depth + 1)?;
                if ended != Ended::End {
                    return Err(unclosed());
                }
            }
        }
        self.scope.truncate(scope);
        if ended != Ended::End {
            return Err(unclosed());
        }
        if word == "if" {
            return Ok(Part::If(branches, otherwise));
        }
        let (pipeline, body) = branches.swap_remove(0);
        Ok(match is_range {
            true => Part::Range(pipeline, body, otherwise),
            false => Part::With(pipeline, body, otherwise),
        })
    }

    fn pipeline(&mut self, tokens: &mut Tokens, at: usize, depth: usize) -> Result<Pipeline, At> {
        if depth > DEPTH {
            return Err(At::new(at, format!("nested more than {DEPTH} deep")));
        }
        skip_space(tokens);
        let mut pipeline =
            Pipeline { at, variables: Vec::new(), declares: false, commands: Vec::new() };
        self.variables(tokens, &mut pipeline)?;
        loop {
            let command = self.command(tokens, at, depth)?;
            let is_function =
                matches!(command.operands.first(), Some(Operand { base: Base::Function(_), .. }));
            if command.operands.len() > 1 && !is_function {
                return Err(At::new(command.at, "arguments behind what is no function"));
            }
            if !pipeline.commands.is_empty() && !is_function {
                return Err(At::new(
                    command.at,
                    "a value cannot be piped into what is no function",
                ));
            }
            pipeline.commands.push(command);
            skip_space(tokens);
            if tokens.next_if(|t| t.1 == Token::Sign("|")).is_none() {
                break;
            }
        }
        // Known only behind its own declaration.
        if pipeline.declares {
            self.scope.extend(pipeline.variables.iter().cloned());
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, `$k, $v :=`
    fn variables(&mut self, tokens: &mut Tokens, pipeline: &mut Pipeline) -> Result<(), At> {
        let mut ahead = tokens.clone();
        loop {
            skip_space(&mut ahead);
            let Some((at, Token::Variable(name))) = ahead.next() else { return Ok(()) };
            skip_space(&mut ahead);
            pipeline.variables.push(name.clone());
            match ahead.next() {
                Some((_, Token::Sign(","))) if pipeline.variables.len() == 1 => {}
                Some((_, Token::Sign(sign @ (":=" | "=")))) => {
                    pipeline.declares = sign == ":=";
                    if !pipeline.declares && !self.scope.contains(&name) {
                        return Err(At::new(at, format!("undefined variable ${name}")));
                    }
                    *tokens = ahead;
                    skip_space(tokens);
                    return Ok(());
                }
                _ => {
                    pipeline.variables.clear();
                    return Ok(());
                }
            }
        }
    }

    fn command(&mut self, tokens: &mut Tokens, at: usize, depth: usize) -> Result<Command, At> {
        skip_space(tokens);
        let mut command = Command { at: tokens.peek().map_or(at, |t| t.0), operands: Vec::new() };
        while let Some((_, token)) = tokens.peek() {
            if matches!(token, Token::Sign(")" | "|")) {
                break;
            }
            command.operands.push(self.operand(tokens, at, depth)?);
            let spaced = tokens.next_if(|t| t.1 == Token::Space).is_some();
            if !spaced && !matches!(tokens.peek(), None | Some((_, Token::Sign(")" | "|")))) {
                let at = tokens.peek().map_or(at, |t| t.0);
                return Err(At::new(at, "operands need a space between them"));
            }
        }
        match command.operands.is_empty() {
            true => Err(At::new(command.at, "a value is missing")),
            false => Ok(command),
        }
    }

    fn operand(&mut self, tokens: &mut Tokens, at: usize, depth: usize) -> Result<Operand, At> {
        let Some((at, token)) = tokens.next() else {
            return Err(At::new(at, "a value is missing"));
        };
        let mut fields = Vec::new();
        let base = match token {
            Token::Dot => Base::Dot,
            Token::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Token::Variable(name) => {
                if !name.is_empty() && !self.scope.contains(&name) {
                    return Err(At::new(at, format!("undefined variable ${name}")));
                }
                Base::Variable(name)
            }
            Token::Text(text) => Base::Text(text),
            Token::Integer(n) => Base::Integer(n),
            Token::Float(n) => Base::Float(n),
            Token::Word(word) => word_operand(&word, at)?,
            Token::Sign("(") => {
                let pipeline = self.pipeline(tokens, at, depth + 1)?;
                if !pipeline.variables.is_empty() {
                    return Err(At::new(at, "a variable cannot be set in parentheses"));
                }
                skip_space(tokens);
                if tokens.next_if(|t| t.1 == Token::Sign(")")).is_none() {
                    return Err(At::new(at, "( without its )"));
                }
                Base::Parens(Box::new(pipeline))
            }
            Token::Sign(sign) => return Err(At::new(at, format!("unexpected {sign:?}"))),
            Token::Space => return Err(At::new(at, "a value is missing")),
        };
        while let Some((at, Token::Field(name))) =
            tokens.next_if(|t| matches!(t.1, Token::Field(_)))
        {
            if !matches!(base, Base::Dot | Base::Variable(_) | Base::Parens(_)) {
                return Err(At::new(at, format!(".{name} behind what has no fields")));
            }
            fields.push(name);
        }
        Ok(Operand { at, base, fields })
    }
}

fn word_operand(word: &str, at: usize) -> Result<Base, At> {
    Ok(match word {
        "true" => Base::Bool(true),
        "false" => Base::Bool(false),
        "nil" => Base::Nil,
        _ => match FUNCTIONS.iter().find(|f| **f == word) {
            Some(function) => Base::Function(function),
            None => {
                let known = FUNCTIONS.join(", ");
                return Err(At::new(at, format!("unknown function {word:?}; there are {known}")));
            }
        },
    })
}

fn skip_space(tokens: &mut Tokens) {
    while tokens.next_if(|t| t.1 == Token::Space).is_some() {}
}

/// Nothing may follow.
fn finish(tokens: &mut Tokens) -> Result<(), At> {
    skip_space(tokens);
    match tokens.next() {
        None => Ok(()),
        Some((at, _)) => Err(At::new(at, "something is left over in the action")),
    }
}
