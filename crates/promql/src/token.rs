//! The words of PromQL, and how error messages name them.

use crate::ast::{AggregateOp, BinaryOp, Span};
use model::labels::Quoted;

/// One word of the text.
#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    pub kind: Kind,
    pub span: Span,
    pub text: &'a str,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Eof,
    /// The text cannot be cut into words here, and why.
    Error(String),
    Comment,
    Identifier,
    MetricIdentifier,
    Number,
    Duration,
    String,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`, which only matchers know.
    Assign,
    EqualRegex,
    NotEqualRegex,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Preprocessor(Preprocessor),
}

/// Words of the grammar that may also name metrics or labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
}

/// Words that are computed before the query runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// The keyword that a word is, in any case of letters.
pub(crate) fn keyword(word: &str) -> Option<Kind> {
    let lower = word.to_ascii_lowercase();
    if let Some(op) = AggregateOp::ALL.iter().find(|op| op.as_str() == lower) {
        return Some(Kind::Aggregate(*op));
    }
    Some(match lower.as_str() {
        "and" => Kind::Op(BinaryOp::And),
        "or" => Kind::Op(BinaryOp::Or),
        "unless" => Kind::Op(BinaryOp::Unless),
        "atan2" => Kind::Op(BinaryOp::Atan2),
        "offset" => Kind::Keyword(Keyword::Offset),
        "smoothed" => Kind::Keyword(Keyword::Smoothed),
        "anchored" => Kind::Keyword(Keyword::Anchored),
        "by" => Kind::Keyword(Keyword::By),
        "without" => Kind::Keyword(Keyword::Without),
        "on" => Kind::Keyword(Keyword::On),
        "ignoring" => Kind::Keyword(Keyword::Ignoring),
        "group_left" => Kind::Keyword(Keyword::GroupLeft),
        "group_right" => Kind::Keyword(Keyword::GroupRight),
        "fill" => Kind::Keyword(Keyword::Fill),
        "fill_left" => Kind::Keyword(Keyword::FillLeft),
        "fill_right" => Kind::Keyword(Keyword::FillRight),
        "bool" => Kind::Keyword(Keyword::Bool),
        "start" => Kind::Preprocessor(Preprocessor::Start),
        "end" => Kind::Preprocessor(Preprocessor::End),
        "inf" | "nan" => Kind::Number,
        other => Kind::Preprocessor(duration_keyword(other)?),
    })
}

/// The words that may stand in a duration expression.
pub(crate) fn duration_keyword(lower: &str) -> Option<Preprocessor> {
    Some(match lower {
        "step" => Preprocessor::Step,
        "range" => Preprocessor::Range,
        "max_of" => Preprocessor::MaxOf,
        "min_of" => Preprocessor::MinOf,
        _ => return None,
    })
}

impl Token<'_> {
    /// As error messages name it, with its kind where the text alone does not tell.
    pub fn described(&self) -> String {
        match &self.kind {
            Kind::Eof => "end of input".into(),
            Kind::Error(message) => format!("error {message}"),
            Kind::Identifier => format!("identifier {}", Quoted(self.text)),
            Kind::MetricIdentifier => format!("metric identifier {}", Quoted(self.text)),
            Kind::Comment => format!("comment {}", short(self.text)),
            Kind::String => format!("string {}", short(self.text)),
            Kind::Number => format!("number {}", short(self.text)),
            Kind::Duration => format!("duration {}", short(self.text)),
            Kind::Keyword(_) => format!("<{}>", self.text),
            Kind::Op(_) | Kind::At | Kind::EqualRegex | Kind::NotEqualRegex => {
                format!("<op:{}>", self.text)
            }
            Kind::Aggregate(_) => format!("<aggr:{}>", self.text),
            _ => short(self.text),
        }
    }

    /// Whether the lexer gave up here.
    pub fn is_error(&self) -> bool {
        matches!(self.kind, Kind::Error(_))
    }
}

/// Quoted, and cut after ten characters.
fn short(text: &str) -> String {
    if text.len() <= 10 {
        return Quoted(text).to_string();
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |c| c.0);
    format!("{}...", Quoted(&text[..end]))
}
