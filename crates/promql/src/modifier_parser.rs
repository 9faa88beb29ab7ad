//! What stands after a selector or a subquery: range, `offset`, `@`, `anchored` and `smoothed`.

use crate::ast::{At, DurationExpr, Expr, MatrixSelector, Modifiers, Span, Subquery};
use crate::parser::{Parsed, Parser, Stop};
use crate::token::{Keyword, Kind, Preprocessor};

impl Parser<'_> {
    /// `offset`, `@`, `[…]`, `anchored` and `smoothed` after an expression.
    pub(crate) fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            match self.peek().kind {
                Kind::Keyword(Keyword::Offset) => {
                    self.take();
                    let offset = self.offset_duration().map_err(|stop| {
                        self.explain(stop, "offset", "number, duration, step(), or range()")
                    })?;
                    self.set_offset(&mut expr, offset);
                }
                Kind::Keyword(Keyword::Anchored) => {
                    self.take();
                    self.set_extended(&mut expr, false);
                }
                Kind::Keyword(Keyword::Smoothed) => {
                    self.take();
                    self.set_extended(&mut expr, true);
                }
                Kind::At => {
                    self.take();
                    let at = self.at().map_err(|stop| self.explain(stop, "@", "timestamp"))?;
                    self.set_at(&mut expr, at);
                }
                Kind::LeftBracket => expr = self.range_or_subquery(expr)?,
                _ => return Ok(expr),
            }
        }
    }

    fn range_or_subquery(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.take().span;
        let range = self.positive_duration().map_err(|stop| {
            self.explain(stop, "subquery or range selector", "number, duration, step(), or range()")
        })?;
        let (range_ms, range_expr) = split_duration(range);
        if self.accept(Kind::RightBracket) {
            return Ok(self.matrix_selector(expr, open, range_ms, range_expr));
        }
        self.link()?;
        if !self.accept(Kind::Colon) {
            return Err(self.explain(Stop { said: false }, "subquery or range", "\":\" or \"]\""));
        }
        let mut step = (0, None);
        if self.peek().kind != Kind::RightBracket {
            step = split_duration(self.positive_duration().map_err(|stop| {
                let expected = "number, duration, step(), range(), or \"]\"";
                self.explain(stop, "subquery selector", expected)
            })?);
            if self.peek().kind != Kind::RightBracket {
                return Err(self.explain(Stop { said: false }, "subquery selector", "\"]\""));
            }
        }
        let end = self.take().span.end;
        Ok(Expr::Subquery(Subquery {
            expr: Box::new(expr),
            range_ms,
            range_expr,
            step_ms: step.0,
            step_expr: step.1,
            modifiers: Modifiers::default(),
            end,
        }))
    }

    fn matrix_selector(
        &mut self,
        expr: Expr,
        open: Span,
        range_ms: i64,
        range_expr: Option<DurationExpr>,
    ) -> Expr {
        let end = self.last_end;
        let brackets = Span { start: open.start, end };
        match expr {
            Expr::Vector(selector) => {
                let modifiers = &selector.modifiers;
                if modifiers.offset_ms != 0 || modifiers.offset_expr.is_some() {
                    self.error(brackets, "no offset modifiers allowed before range");
                } else if modifiers.at.is_some() {
                    self.error(brackets, "no @ modifiers allowed before range");
                }
                Expr::Matrix(MatrixSelector { selector, range_ms, range_expr, end })
            }
            other => {
                self.error(brackets, "ranges only allowed for vector selectors");
                other
            }
        }
    }

    fn at(&mut self) -> Parsed<AtWritten> {
        let start_or_end = match self.peek().kind {
            Kind::Preprocessor(Preprocessor::Start) => Some(At::Start),
            Kind::Preprocessor(Preprocessor::End) => Some(At::End),
            _ => None,
        };
        if let Some(at) = start_or_end {
            self.take();
            self.expect(Kind::LeftParen)?;
            self.expect(Kind::RightParen)?;
            return Ok(AtWritten::Word(at));
        }
        Ok(AtWritten::Seconds(self.signed_number()?))
    }

    fn set_at(&mut self, expr: &mut Expr, at: AtWritten) {
        let span = expr.span();
        let at = match at {
            AtWritten::Word(at) => at,
            AtWritten::Seconds(s) => {
                if !(s > i64::MIN as f64 && s < i64::MAX as f64) {
                    self.error(span, format!("timestamp out of bounds for @ modifier: {s:.6}"));
                }
                At::Time((s * 1000.0).round() as i64)
            }
        };
        let end = self.last_end;
        let Some((modifiers, expr_end)) = self.modifiers_of(expr, "@ modifier") else { return };
        if modifiers.at.is_some() {
            self.error(span, "@ <timestamp> may not be set multiple times");
            return;
        }
        modifiers.at = Some(at);
        *expr_end = end;
    }

    /// The modifiers of an expression that may have them, and where its end is kept; an error where it may
    /// not have the one named.
    fn modifiers_of<'e>(
        &mut self,
        expr: &'e mut Expr,
        modifier: &str,
    ) -> Option<(&'e mut Modifiers, &'e mut usize)> {
        let span = expr.span();
        match expr {
            Expr::Vector(v) => Some((&mut v.modifiers, &mut v.span.end)),
            Expr::Matrix(m) => Some((&mut m.selector.modifiers, &mut m.end)),
            Expr::Subquery(s) => Some((&mut s.modifiers, &mut s.end)),
            _ => {
                self.error(
                    span,
                    format!(
                        "{modifier} must be preceded by an instant vector selector or range vector \
                         selector or a subquery"
                    ),
                );
                None
            }
        }
    }

    fn set_offset(&mut self, expr: &mut Expr, offset: DurationExpr) {
        let span = expr.span();
        let end = self.last_end;
        let Some((modifiers, expr_end)) = self.modifiers_of(expr, "offset modifier") else {
            return;
        };
        let twice = modifiers.offset_ms != 0 || modifiers.offset_expr.is_some();
        if !twice {
            (modifiers.offset_ms, modifiers.offset_expr) = split_duration(offset);
        }
        *expr_end = end;
        if twice {
            self.error(span, "offset may not be set multiple times");
        }
    }

    fn set_extended(&mut self, expr: &mut Expr, smoothed: bool) {
        let span = expr.span();
        let word = if smoothed { "smoothed" } else { "anchored" };
        if !self.options.extended_selectors {
            self.error(span, format!("{word} modifier is experimental and not enabled"));
            return;
        }
        let selector = match expr {
            Expr::Vector(v) => v,
            Expr::Matrix(m) => &mut m.selector,
            Expr::Subquery(_) => {
                self.error(span, format!("{word} modifier is not supported for subqueries"));
                return;
            }
            _ => {
                self.error(span, format!("{word} modifier not implemented"));
                return;
            }
        };
        selector.smoothed |= smoothed;
        selector.anchored |= !smoothed;
        if selector.smoothed && selector.anchored {
            self.error(span, "anchored and smoothed modifiers cannot be used together");
        }
    }
}

/// What stands after `@`.
enum AtWritten {
    Word(At),
    Seconds(f64),
}

/// A plain duration as milliseconds, any other as what is to be computed.
fn split_duration(duration: DurationExpr) -> (i64, Option<DurationExpr>) {
    match duration {
        DurationExpr::Number(n) => (seconds_to_ms(n.value), None),
        expr => (0, Some(expr)),
    }
}

/// Seconds, rounded to nanoseconds, then cut to milliseconds.
fn seconds_to_ms(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}
