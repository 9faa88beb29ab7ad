//! Prints expressions so that they parse back to the same, on one line or split for people, the way
//! Prometheus 3 does both.

use crate::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationOp, DurationOperator, Expr,
    MatrixSelector, Modifiers, Number, Subquery, VectorSelector,
};
use crate::duration::format_duration;
use crate::literal::{format_float, format_float_short, quote_bytes};
use model::MatchOp;
use model::labels::{METRIC_NAME, Quoted, is_label_name};
use std::fmt::{self, Display, Formatter};

/// Longer expressions are split over lines.
const LINE: usize = 100;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Aggregate(e) => {
                e.fmt_operator(f)?;
                f.write_str("(")?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.expr)
            }
            Expr::Binary(e) => write!(f, "{} {} {}", e.lhs, Operator(e), e.rhs),
            Expr::Call(e) => {
                write!(f, "{}(", e.func.name)?;
                for (i, arg) in e.args.iter().enumerate() {
                    write!(f, "{}{arg}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Expr::Matrix(e) => e.fmt(f),
            Expr::Number(e) => e.fmt(f),
            Expr::Paren(e) => write!(f, "({})", e.expr),
            Expr::String(e) => match &e.invalid {
                Some(bytes) => f.write_str(&quote_bytes(bytes)),
                None => Quoted(&e.value).fmt(f),
            },
            Expr::Subquery(e) => write!(f, "{}{}", e.expr, Range(e)),
            Expr::Unary(e) => write!(f, "{}{}", if e.minus { "-" } else { "+" }, e.expr),
            Expr::Vector(e) => e.fmt(f),
            Expr::StepInvariant(e) => e.fmt(f),
        }
    }
}

/// What an expression does, without what it does it to.
pub(crate) struct Head<'a>(pub &'a Expr);

impl Display for Head<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Aggregate(e) => e.fmt_operator(f),
            Expr::Binary(e) => Operator(e).fmt(f),
            Expr::Call(e) => f.write_str(e.func.name),
            Expr::Subquery(e) => Range(e).fmt(f),
            Expr::Unary(e) => f.write_str(if e.minus { "-" } else { "+" }),
            other => other.fmt(f),
        }
    }
}

impl Aggregate {
    fn fmt_operator(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        if self.without || !self.grouping.is_empty() {
            let word = if self.without { "without" } else { "by" };
            write!(f, " {word} ({}) ", LabelNames(&self.grouping))?;
        }
        Ok(())
    }
}

struct LabelNames<'a>(&'a [String]);

impl Display for LabelNames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            if is_label_name(name) { f.write_str(name)? } else { Quoted(name).fmt(f)? }
        }
        Ok(())
    }
}

/// A binary operator with its modifiers.
struct Operator<'a>(&'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Operator(Binary { op, return_bool, matching, .. }) = self;
        write!(f, "{}{}", op.as_str(), if *return_bool { " bool" } else { "" })?;
        let Some(m) = matching else { return Ok(()) };
        let side = match m.card {
            Cardinality::ManyToOne => Some("left"),
            Cardinality::OneToMany => Some("right"),
            _ => None,
        };
        if !m.labels.is_empty() || m.on || side.is_some() {
            let word = if m.on { "on" } else { "ignoring" };
            write!(f, " {word} ({})", LabelNames(&m.labels))?;
        }
        if let Some(side) = side {
            write!(f, " group_{side} ({})", LabelNames(&m.include))?;
        }
        match (m.fill_left, m.fill_right) {
            (Some(l), Some(r)) if l == r => write!(f, " fill ({})", format_float_short(l)),
            (left, right) => {
                if let Some(l) = left {
                    write!(f, " fill_left ({})", format_float_short(l))?;
                }
                if let Some(r) = right {
                    write!(f, " fill_right ({})", format_float_short(r))?;
                }
                Ok(())
            }
        }
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.selector.fmt_series(f)?;
        write!(f, "[{}]", DurationOr(self.range_ms, &self.range_expr))?;
        self.selector.fmt_extended(f)?;
        write!(f, "{}{}", AtModifier(&self.selector.modifiers), Offset(&self.selector.modifiers))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fmt_series(f)?;
        AtModifier(&self.modifiers).fmt(f)?;
        self.fmt_extended(f)?;
        Offset(&self.modifiers).fmt(f)
    }
}

impl VectorSelector {
    fn fmt_series(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let is_own_name = |m: &&model::Matcher| {
            m.name == METRIC_NAME
                && m.op == MatchOp::Equal
                && m.value == self.name
                && !m.value.is_empty()
        };
        let mut matchers: Vec<String> = self
            .matchers
            .iter()
            .filter(|m| !is_own_name(m))
            .map(|m| {
                let value = Quoted(&m.value);
                if is_label_name(&m.name) {
                    format!("{}{}{value}", m.name, m.op.as_str())
                } else {
                    format!("{}{}{value}", Quoted(&m.name), m.op.as_str())
                }
            })
            .collect();
        matchers.sort();
        if matchers.is_empty() {
            // Without a name, nothing at all would not parse back.
            return if self.name.is_empty() { f.write_str("{}") } else { Ok(()) };
        }
        write!(f, "{{{}}}", matchers.join(","))
    }

    fn fmt_extended(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.anchored, self.smoothed) {
            (true, _) => " anchored",
            (_, true) => " smoothed",
            _ => "",
        })
    }
}

struct AtModifier<'a>(&'a Modifiers);

impl Display for AtModifier<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.at {
            Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            None => Ok(()),
        }
    }
}

struct Offset<'a>(&'a Modifiers);

impl Display for Offset<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Modifiers { offset_expr: Some(expr), .. } => write!(f, " offset {expr}"),
            Modifiers { offset_ms: 0, .. } => Ok(()),
            Modifiers { offset_ms, .. } => {
                let sign = if *offset_ms < 0 { "-" } else { "" };
                write!(f, " offset {sign}{}", format_duration(offset_ms.saturating_abs()))
            }
        }
    }
}

/// The range, step, `@` and offset of a subquery.
struct Range<'a>(&'a Subquery);

impl Display for Range<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Range(s) = self;
        write!(f, "[{}:", DurationOr(s.range_ms, &s.range_expr))?;
        if s.step_ms != 0 {
            f.write_str(&format_duration(s.step_ms))?;
        } else if let Some(expr) = &s.step_expr {
            expr.fmt(f)?;
        }
        write!(f, "]{}{}", AtModifier(&s.modifiers), Offset(&s.modifiers))
    }
}

/// A duration in milliseconds, or the expression that gives it.
struct DurationOr<'a>(i64, &'a Option<DurationExpr>);

impl Display for DurationOr<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(expr) => expr.fmt(f),
            None => f.write_str(&format_duration(self.0)),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.duration {
            return f.write_str(&format_float(self.value));
        }
        let ms = (self.value.abs() * 1e9) as i64 / 1_000_000;
        write!(f, "{}{}", if self.value < 0.0 { "-" } else { "" }, format_duration(ms))
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(n) => n.fmt(f),
            DurationExpr::Op(op) => op.fmt(f),
        }
    }
}

impl Display for DurationOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_str("(")?;
        }
        let op = self.op.as_str();
        match (&self.lhs, &self.rhs) {
            (Some(l), Some(r)) => match self.op {
                DurationOperator::MinOf | DurationOperator::MaxOf => write!(f, "{op}({l}, {r})")?,
                _ => write!(f, "{l} {op} {r}")?,
            },
            (None, Some(r)) if self.op == DurationOperator::Sub => write!(f, "-{r}")?,
            // A plus before a number only holds its parentheses.
            (None, Some(r)) => r.fmt(f)?,
            (_, None) => write!(f, "{op}()")?,
        }
        if self.wrapped {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl Expr {
    /// Prints the expression over several lines, indented, where it is long.
    pub fn pretty(&self) -> String {
        self.pretty_at(0)
    }

    fn pretty_at(&self, level: usize) -> String {
        let indent = "  ".repeat(level);
        let short = self.to_string();
        let fits = short.len() <= LINE;
        match self {
            Expr::Subquery(_) if fits => short,
            Expr::Subquery(e) => format!("{}{}", e.expr.pretty_at(level), Range(e)),
            Expr::Unary(e) => {
                let sign = if e.minus { "-" } else { "+" };
                format!("{indent}{sign}{}", e.expr.pretty_at(level).trim())
            }
            Expr::StepInvariant(e) => e.pretty_at(level),
            _ if fits => format!("{indent}{short}"),
            Expr::Aggregate(e) => {
                let mut out = format!("{indent}{}(\n", AggregateOperator(e));
                if let Some(param) = &e.param {
                    out += &format!("{},\n", param.pretty_at(level + 1));
                }
                out + &format!("{}\n{indent})", e.expr.pretty_at(level + 1))
            }
            Expr::Binary(e) => {
                let (l, r) = (e.lhs.pretty_at(level + 1), e.rhs.pretty_at(level + 1));
                format!("{l}\n{indent}{}\n{r}", Operator(e))
            }
            Expr::Call(e) => {
                let args: Vec<_> = e.args.iter().map(|a| a.pretty_at(level + 1)).collect();
                format!("{indent}{}(\n{}\n{indent})", e.func.name, args.join(",\n"))
            }
            Expr::Paren(e) => format!("{indent}(\n{}\n{indent})", e.expr.pretty_at(level + 1)),
            _ => format!("{indent}{short}"),
        }
    }
}

struct AggregateOperator<'a>(&'a Aggregate);

impl Display for AggregateOperator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt_operator(f)
    }
}
