//! Duration expressions: what stands in brackets and after `offset`.

use crate::ast::{BinaryOp, DurationExpr, DurationOp, DurationOperator, Number, Span};
use crate::parser::{Parsed, Parser, Stop};
use crate::token::{Kind, Preprocessor};

/// Beyond this many seconds, nanoseconds do not fit 64 bits.
pub(crate) const MAX_SECONDS: f64 = 9_223_372_036.854_775;

impl Parser<'_> {
    /// A duration in brackets, which must be more than nothing.
    pub(crate) fn positive_duration(&mut self) -> Parsed<DurationExpr> {
        let duration = self.duration(0)?;
        if let DurationExpr::Number(n) = &duration
            && n.value <= 0.0
        {
            let span = n.span;
            self.error(span, "duration must be greater than 0");
        }
        Ok(duration)
    }

    /// What may stand after `offset`: operators are part of it only after parentheses.
    pub(crate) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        match self.peek().kind {
            Kind::LeftParen => self.duration(0),
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => self.signed_duration(u8::MAX),
            _ => self.duration_primary(),
        }
    }

    fn duration(&mut self, least: u8) -> Parsed<DurationExpr> {
        self.nested(|parser| parser.operations(least))
    }

    fn operations(&mut self, least: u8) -> Parsed<DurationExpr> {
        let mut lhs = match self.peek().kind {
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => self.signed_duration(3)?,
            _ => self.duration_primary()?,
        };
        loop {
            let (op, power) = match self.peek().kind {
                Kind::Op(BinaryOp::Add) => (DurationOperator::Add, 1),
                Kind::Op(BinaryOp::Sub) => (DurationOperator::Sub, 1),
                Kind::Op(BinaryOp::Mul) => (DurationOperator::Mul, 2),
                Kind::Op(BinaryOp::Div) => (DurationOperator::Div, 2),
                Kind::Op(BinaryOp::Mod) => (DurationOperator::Mod, 2),
                Kind::Op(BinaryOp::Pow) => (DurationOperator::Pow, 3),
                _ => return Ok(lhs),
            };
            if power < least {
                return Ok(lhs);
            }
            self.link()?;
            let sign = self.take().span;
            let rhs = self.duration(if power == 3 { power } else { power + 1 })?;
            self.check_enabled(lhs.span());
            let by_zero = matches!(&rhs, DurationExpr::Number(n) if n.value == 0.0);
            match op {
                DurationOperator::Div if by_zero => self.error(sign, "division by zero"),
                DurationOperator::Mod if by_zero => self.error(sign, "modulo by zero"),
                _ => {}
            }
            let span = lhs.span().to(rhs.span());
            lhs = operation(op, Some(lhs), Some(rhs), span);
        }
    }

    /// A sign and what follows it, with operators that bind at least as strongly as `least`.
    fn signed_duration(&mut self, least: u8) -> Parsed<DurationExpr> {
        let sign = self.take();
        let minus = sign.kind == Kind::Op(BinaryOp::Sub);
        let operand =
            if least == u8::MAX { self.duration_primary()? } else { self.duration(least)? };
        Ok(match operand {
            DurationExpr::Number(mut n) => {
                n.value = if minus { -n.value } else { n.value };
                n.span.start = sign.span.start;
                DurationExpr::Number(self.in_range(n, sign.span))
            }
            operand if minus => {
                let span = Span { start: sign.span.start, end: operand.span().end };
                operation(DurationOperator::Sub, None, Some(operand), span)
            }
            operand => operand,
        })
    }

    fn duration_primary(&mut self) -> Parsed<DurationExpr> {
        match self.peek().kind {
            Kind::Number | Kind::Duration => {
                let n = self.number_or_duration();
                let span = n.span;
                Ok(DurationExpr::Number(self.in_range(n, span)))
            }
            Kind::LeftParen => {
                let start = self.take().span.start;
                let inner = self.duration(0)?;
                let end = self.expect(Kind::RightParen)?.span.end;
                self.check_enabled(inner.span());
                Ok(wrapped(inner, Span { start, end }))
            }
            Kind::Preprocessor(Preprocessor::Step) => self.duration_word(DurationOperator::Step),
            Kind::Preprocessor(Preprocessor::Range) => self.duration_word(DurationOperator::Range),
            Kind::Preprocessor(Preprocessor::MaxOf) => self.duration_pair(DurationOperator::MaxOf),
            Kind::Preprocessor(Preprocessor::MinOf) => self.duration_pair(DurationOperator::MinOf),
            _ => Err(Stop { said: false }),
        }
    }

    fn duration_word(&mut self, op: DurationOperator) -> Parsed<DurationExpr> {
        let start = self.take().span.start;
        self.expect(Kind::LeftParen)?;
        let end = self.expect(Kind::RightParen)?.span.end;
        self.check_enabled(Span { start, end });
        Ok(operation(op, None, None, Span { start, end }))
    }

    fn duration_pair(&mut self, op: DurationOperator) -> Parsed<DurationExpr> {
        let start = self.take().span.start;
        self.expect(Kind::LeftParen)?;
        let lhs = self.duration(0)?;
        self.expect(Kind::Comma)?;
        let rhs = self.duration(0)?;
        let end = self.expect(Kind::RightParen)?.span.end;
        self.check_enabled(Span { start, end });
        Ok(operation(op, Some(lhs), Some(rhs), Span { start, end }))
    }

    fn in_range(&mut self, mut n: Number, span: Span) -> Number {
        if n.value.abs() > MAX_SECONDS {
            self.error(span, "duration out of range");
            n.value = 0.0;
        }
        n
    }

    fn check_enabled(&mut self, span: Span) {
        if !self.options.duration_expressions {
            self.error(span, "experimental duration expression is not enabled");
        }
    }
}

fn operation(
    op: DurationOperator,
    lhs: Option<DurationExpr>,
    rhs: Option<DurationExpr>,
    span: Span,
) -> DurationExpr {
    DurationExpr::Op(Box::new(DurationOp { op, lhs, rhs, wrapped: false, span }))
}

/// Remembers the parentheses, so that the expression prints as it was written; a bare number gets
/// them by way of a plus that is not printed.
fn wrapped(inner: DurationExpr, span: Span) -> DurationExpr {
    match inner {
        DurationExpr::Op(mut op) => {
            op.wrapped = true;
            DurationExpr::Op(op)
        }
        number => {
            let (lhs, rhs) = (None, Some(number));
            let op = DurationOp { op: DurationOperator::Add, lhs, rhs, wrapped: true, span };
            DurationExpr::Op(Box::new(op))
        }
    }
}
