//! The syntax tree of a PromQL expression, with byte positions into the query text.
//!
//! Plain data: the parser builds it, [`crate::print`] writes it out, the engine evaluates it.

use crate::function::Function;
use model::Matcher;
use std::fmt;

/// A range of bytes in the query text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From the start of one span to the end of another.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }

    /// `line:column` of the start in `query`, both from 1, columns in bytes.
    pub fn position(self, query: &str) -> String {
        if query.is_empty() {
            return "unknown position".into();
        }
        let Some(before) = query.as_bytes().get(..self.start) else {
            return "invalid position".into();
        };
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        format!("{line}:{}", self.start - line_start + 1)
    }
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// An instant vector.
    Vector,
    /// A range vector.
    Matrix,
    /// A string.
    String,
}

impl ValueType {
    /// As the HTTP API and the function table name it.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// As error messages name it.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `sum by (job) (…)`
    Aggregate(Aggregate),
    /// `a + b`
    Binary(Binary),
    /// `rate(…)`
    Call(Call),
    /// `name{…}[5m]`
    Matrix(MatrixSelector),
    /// `1.5`, `5m`
    Number(Number),
    /// `(…)`
    Paren(Paren),
    /// `"…"`
    String(StringLiteral),
    /// `…[5m:1m]`
    Subquery(Subquery),
    /// `-…`
    Unary(Unary),
    /// `name{…}`
    Vector(VectorSelector),
    /// The engine's mark on what has the same value at every step; the parser makes none.
    StepInvariant(Box<Expr>),
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// `k` of `topk` and the like.
    pub param: Option<Box<Expr>>,
    /// The labels after `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether it says `without`.
    pub without: bool,
    /// Where.
    pub span: Span,
}

/// Aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are PromQL's own
pub enum AggregateOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [AggregateOp; 14] = [
        AggregateOp::Avg,
        AggregateOp::Bottomk,
        AggregateOp::Count,
        AggregateOp::CountValues,
        AggregateOp::Group,
        AggregateOp::Max,
        AggregateOp::Min,
        AggregateOp::Quantile,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
        AggregateOp::Sum,
        AggregateOp::Topk,
        AggregateOp::Limitk,
        AggregateOp::LimitRatio,
    ];

    /// As PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Avg => "avg",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::Count => "count",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Group => "group",
            AggregateOp::Max => "max",
            AggregateOp::Min => "min",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Sum => "sum",
            AggregateOp::Topk => "topk",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        use AggregateOp::*;
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Box<Expr>,
    /// Right operand.
    pub rhs: Box<Expr>,
    /// How vectors are matched; `None` unless both operands are vectors.
    pub matching: Option<Matching>,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinaryOp {
    /// As PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Less => "<",
            BinaryOp::LessEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterEqual => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual)
    }

    /// Whether it is `and`, `or` or `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How many elements of one vector match how many of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Cardinality {
    #[default]
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

impl Cardinality {
    /// As the HTTP API and error messages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

/// How the elements of two vectors are matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// How many match how many.
    pub card: Cardinality,
    /// The labels after `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether it says `on`.
    pub on: bool,
    /// Labels after `group_left` or `group_right`.
    pub include: Vec<String>,
    /// Value of a left side that is missing.
    pub fill_left: Option<f64>,
    /// Value of a right side that is missing.
    pub fill_right: Option<f64>,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub func: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where.
    pub span: Span,
}

/// A range of raw samples.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// Which series; offset and `@` are kept here too.
    pub selector: VectorSelector,
    /// Length in milliseconds; 0 until a duration expression has been computed.
    pub range_ms: i64,
    /// The length, where it is an expression.
    pub range_expr: Option<DurationExpr>,
    /// End in the query text.
    pub end: usize,
}

/// A number or a duration.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// The value; seconds for a duration.
    pub value: f64,
    /// Whether it was written as a duration.
    pub duration: bool,
    /// Where.
    pub span: Span,
}

/// An expression in parentheses.
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What is in them.
    pub expr: Box<Expr>,
    /// Where.
    pub span: Span,
}

/// A string.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// Its value, unquoted; what is not UTF-8 is replaced.
    pub value: String,
    /// Its bytes, where they are not UTF-8.
    pub invalid: Option<Box<[u8]>>,
    /// Where.
    pub span: Span,
}

/// An instant-vector expression evaluated over a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Box<Expr>,
    /// Length in milliseconds.
    pub range_ms: i64,
    /// The length, where it is an expression.
    pub range_expr: Option<DurationExpr>,
    /// Resolution in milliseconds; 0 for the default.
    pub step_ms: i64,
    /// The resolution, where it is an expression.
    pub step_expr: Option<DurationExpr>,
    /// Offset and `@`.
    pub modifiers: Modifiers,
    /// End in the query text.
    pub end: usize,
}

/// `offset` and `@` of a selector or a subquery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modifiers {
    /// The offset as written, in milliseconds.
    pub offset_ms: i64,
    /// The offset, where it is an expression.
    pub offset_expr: Option<DurationExpr>,
    /// What `@` says.
    pub at: Option<At>,
}

/// What `@` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// `start()`
    Start,
    /// `end()`
    End,
}

/// A sign before an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether it is `-`.
    pub minus: bool,
    /// After it.
    pub expr: Box<Expr>,
    /// Start in the query text.
    pub start: usize,
}

/// Which series.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name before the braces; empty where there is none.
    pub name: String,
    /// All matchers, that of `name` last.
    pub matchers: Vec<Matcher>,
    /// Offset and `@`.
    pub modifiers: Modifiers,
    /// `anchored`
    pub anchored: bool,
    /// `smoothed`
    pub smoothed: bool,
    /// The engine's mark that of histograms nothing but count and sum matters.
    pub counts_only: bool,
    /// The second argument of `info` may match everything.
    pub may_match_all: bool,
    /// Where.
    pub span: Span,
}

/// A duration that is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// A plain number of seconds or a duration.
    Number(Number),
    /// Anything else.
    Op(Box<DurationOp>),
}

/// An operation on durations.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationOp {
    /// Which.
    pub op: DurationOperator,
    /// Left operand; `None` for a sign, `step()` and `range()`.
    pub lhs: Option<DurationExpr>,
    /// Right operand; `None` for `step()` and `range()`.
    pub rhs: Option<DurationExpr>,
    /// Whether it stands in parentheses.
    pub wrapped: bool,
    /// Where.
    pub span: Span,
}

/// Operators on durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum DurationOperator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Step,
    Range,
    MinOf,
    MaxOf,
}

impl DurationOperator {
    /// As PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOperator::Add => "+",
            DurationOperator::Sub => "-",
            DurationOperator::Mul => "*",
            DurationOperator::Div => "/",
            DurationOperator::Mod => "%",
            DurationOperator::Pow => "^",
            DurationOperator::Step => "step",
            DurationOperator::Range => "range",
            DurationOperator::MinOf => "min_of",
            DurationOperator::MaxOf => "max_of",
        }
    }
}

impl DurationExpr {
    /// Where.
    pub fn span(&self) -> Span {
        match self {
            DurationExpr::Number(n) => n.span,
            DurationExpr::Op(op) => op.span,
        }
    }
}

impl MatrixSelector {
    /// Where.
    pub fn span(&self) -> Span {
        Span { start: self.selector.span.start, end: self.end }
    }
}

impl Expr {
    /// Where it stands in the query text.
    pub fn span(&self) -> Span {
        match self {
            Expr::Aggregate(e) => e.span,
            Expr::Binary(e) => e.lhs.span().to(e.rhs.span()),
            Expr::Call(e) => e.span,
            Expr::Matrix(e) => e.span(),
            Expr::Number(e) => e.span,
            Expr::Paren(e) => e.span,
            Expr::String(e) => e.span,
            Expr::Subquery(e) => Span { start: e.expr.span().start, end: e.end },
            Expr::Unary(e) => Span { start: e.start, end: e.expr.span().end },
            Expr::Vector(e) => e.span,
            Expr::StepInvariant(e) => e.span(),
        }
    }

    /// What it evaluates to.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Aggregate(_) | Expr::Vector(_) => ValueType::Vector,
            Expr::Binary(e) => {
                let scalar = |e: &Expr| e.value_type() == ValueType::Scalar;
                if scalar(&e.lhs) && scalar(&e.rhs) { ValueType::Scalar } else { ValueType::Vector }
            }
            Expr::Call(e) => e.func.returns,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Number(_) => ValueType::Scalar,
            Expr::Paren(e) => e.expr.value_type(),
            Expr::String(_) => ValueType::String,
            Expr::Unary(e) => e.expr.value_type(),
            Expr::StepInvariant(e) => e.value_type(),
        }
    }

    /// The expressions directly below, in Prometheus's order (of an aggregation the vector comes
    /// before the parameter). A matrix selector has none: its selector is a field.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Aggregate(e) => {
                let mut all = vec![&*e.expr];
                all.extend(e.param.as_deref());
                all
            }
            Expr::Binary(e) => vec![&e.lhs, &e.rhs],
            Expr::Call(e) => e.args.iter().collect(),
            Expr::Paren(e) => vec![&e.expr],
            Expr::Subquery(e) => vec![&e.expr],
            Expr::Unary(e) => vec![&e.expr],
            Expr::StepInvariant(e) => vec![e],
            Expr::Matrix(_) | Expr::Number(_) | Expr::String(_) | Expr::Vector(_) => Vec::new(),
        }
    }

    /// As [`Expr::children`], to change.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Aggregate(e) => {
                let mut all = vec![&mut *e.expr];
                all.extend(e.param.as_deref_mut());
                all
            }
            Expr::Binary(e) => vec![&mut e.lhs, &mut e.rhs],
            Expr::Call(e) => e.args.iter_mut().collect(),
            Expr::Paren(e) => vec![&mut e.expr],
            Expr::Subquery(e) => vec![&mut e.expr],
            Expr::Unary(e) => vec![&mut e.expr],
            Expr::StepInvariant(e) => vec![e],
            Expr::Matrix(_) | Expr::Number(_) | Expr::String(_) | Expr::Vector(_) => Vec::new(),
        }
    }

    /// Calls `visit` for every selector, those within matrix selectors included.
    pub fn selectors(&self, visit: &mut dyn FnMut(&VectorSelector)) {
        match self {
            Expr::Vector(v) => visit(v),
            Expr::Matrix(m) => visit(&m.selector),
            other => other.children().into_iter().for_each(|c| c.selectors(visit)),
        }
    }

    /// Without the parentheses around it.
    pub fn unwrap_parens(&self) -> &Expr {
        match self {
            Expr::Paren(p) => p.expr.unwrap_parens(),
            other => other,
        }
    }
}

/// Why a text is not PromQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes.
    pub span: Span,
    /// Where, as `line:column`.
    pub position: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: parse error: {}", self.position, self.message)
    }
}

impl std::error::Error for ParseError {}
