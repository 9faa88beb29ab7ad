//! Prepares an expression for one query: computes what depends only on the query's own times, and
//! marks what has the same value at every step.

use crate::ast::{At, BinaryOp, DurationExpr, DurationOperator, Expr, Modifiers, Number};
use crate::duration_parser::MAX_SECONDS;
use crate::query::QueryError;

/// Functions whose value may change from step to step although their arguments do not.
pub(crate) fn depends_on_time(function: &str) -> bool {
    matches!(
        function,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "end"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "range"
            | "start"
            | "step"
            | "time"
            | "timestamp"
    )
}

struct Times {
    start: i64,
    end: i64,
    step: i64,
}

/// Prepares `expr` for a query from `start` to `end` in steps of `step` (0 for an instant query).
pub(super) fn prepare(expr: &mut Expr, start: i64, end: i64, step: i64) -> Result<(), QueryError> {
    let times = Times { start, end, step };
    mark_counts(expr, false, false);
    fold(expr, &times);
    durations(expr, &times)?;
    let (_, wrap) = mark(expr, &times);
    if wrap {
        invariant(expr);
    }
    Ok(())
}

/// Marks selectors of whose histograms only counts and sums are asked for: those `within` a function
/// that asks for just those, unless anything around needs the buckets. Prometheus then looks for
/// counter resets while it reads, which shows in warnings.
fn mark_counts(expr: &mut Expr, mut within: bool, mut needs_buckets: bool) {
    match expr {
        Expr::Vector(v) => v.counts_only = within && !needs_buckets,
        Expr::Matrix(m) => m.selector.counts_only = within && !needs_buckets,
        // Resets within a subquery are found by the buckets.
        Expr::Subquery(_) => needs_buckets = true,
        Expr::Call(c) => match c.func.name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => within = true,
            "histogram_quantile"
            | "histogram_quantiles"
            | "histogram_fraction"
            | "histogram_stddev"
            | "histogram_stdvar" => needs_buckets = true,
            _ => {}
        },
        Expr::Binary(b) => {
            needs_buckets |= matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        }
        _ => {}
    }
    expr.children_mut().into_iter().for_each(|c| mark_counts(c, within, needs_buckets));
}

/// Replaces `start()`, `end()`, `range()` and `step()` by numbers.
fn fold(expr: &mut Expr, times: &Times) {
    if let Expr::Call(call) = expr {
        let ms = match call.func.name {
            "start" => times.start,
            "end" => times.end,
            "range" => times.end - times.start,
            "step" if times.start != times.end => times.step,
            "step" => 0,
            _ => i64::MIN,
        };
        if ms != i64::MIN {
            let value = ms as f64 / 1000.0;
            *expr = Expr::Number(Number { value, duration: false, span: call.span });
            return;
        }
    }
    expr.children_mut().into_iter().for_each(|c| fold(c, times));
}

fn durations(expr: &mut Expr, times: &Times) -> Result<(), QueryError> {
    match expr {
        Expr::Vector(v) => offset(&mut v.modifiers, times)?,
        Expr::Matrix(m) => {
            if let Some(e) = &m.range_expr {
                m.range_ms = compute(e, times, false)?;
            }
            offset(&mut m.selector.modifiers, times)?;
        }
        Expr::Subquery(s) => {
            offset(&mut s.modifiers, times)?;
            if let Some(e) = &s.step_expr {
                s.step_ms = compute(e, times, false)?;
            }
            if let Some(e) = &s.range_expr {
                s.range_ms = compute(e, times, false)?;
            }
        }
        _ => {}
    }
    expr.children_mut().into_iter().try_for_each(|c| durations(c, times))
}

fn offset(modifiers: &mut Modifiers, times: &Times) -> Result<(), QueryError> {
    if let Some(e) = &modifiers.offset_expr {
        modifiers.offset_ms = compute(e, times, true)?;
    }
    Ok(())
}

/// The milliseconds of a duration expression.
fn compute(expr: &DurationExpr, times: &Times, may_be_negative: bool) -> Result<i64, QueryError> {
    let seconds = value(expr, times)?;
    let span = expr.span();
    let fail =
        |what: &str| Err(QueryError::BadData(format!("{}:{}: {what}", span.start, span.end)));
    if !seconds.is_finite() {
        return fail("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !may_be_negative {
        return fail("duration must be greater than 0");
    }
    if seconds.abs() > MAX_SECONDS {
        return fail("duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

fn value(expr: &DurationExpr, times: &Times) -> Result<f64, QueryError> {
    let op = match expr {
        DurationExpr::Number(n) => return Ok(n.value),
        DurationExpr::Op(op) => op,
    };
    let side = |e: &Option<DurationExpr>| e.as_ref().map_or(Ok(0.0), |e| value(e, times));
    let (l, r) = (side(&op.lhs)?, side(&op.rhs)?);
    let by_zero = |what: &str| {
        let span = expr.span();
        Err(QueryError::BadData(format!("{}:{}: {what} by zero", span.start, span.end)))
    };
    Ok(match op.op {
        DurationOperator::Step => times.step as f64 / 1000.0,
        DurationOperator::Range => (times.end - times.start) as f64 / 1000.0,
        DurationOperator::MinOf => super::functions::go_min(l, r),
        DurationOperator::MaxOf => super::functions::go_max(l, r),
        DurationOperator::Add => l + r,
        DurationOperator::Sub => l - r,
        DurationOperator::Mul => l * r,
        DurationOperator::Div if r == 0.0 => return by_zero("division"),
        DurationOperator::Div => l / r,
        DurationOperator::Mod if r == 0.0 => return by_zero("modulo"),
        DurationOperator::Mod => l % r,
        DurationOperator::Pow => l.powf(r),
    })
}

/// Marks the largest parts that have the same value at every step. Gives whether `expr` as a whole
/// is such a part, and whether it has to be marked for it.
fn mark(expr: &mut Expr, times: &Times) -> (bool, bool) {
    match expr {
        Expr::Vector(v) => {
            let fixed = settle(&mut v.modifiers, times);
            (fixed, fixed)
        }
        Expr::Matrix(m) => (settle(&mut m.selector.modifiers, times), false),
        Expr::Aggregate(e) => {
            unwrap_parens(&mut e.expr);
            if let Some(param) = &mut e.param {
                unwrap_parens(param);
            }
            mark(&mut e.expr, times)
        }
        Expr::Binary(e) => {
            let (l, r) = (mark(&mut e.lhs, times), mark(&mut e.rhs, times));
            if l.0 && r.0 {
                return (true, true);
            }
            for (side, wrap) in [(&mut e.lhs, l.1), (&mut e.rhs, r.1)] {
                if wrap {
                    invariant(side);
                }
            }
            (false, false)
        }
        Expr::Call(call) => {
            let mut fixed = !depends_on_time(call.func.name);
            // The time of a sample is fixed where the sample is.
            let mut fixed_samples = call.func.name == "timestamp";
            let mut wraps = Vec::with_capacity(call.args.len());
            for (i, arg) in call.args.iter_mut().enumerate() {
                unwrap_parens(arg);
                let (arg_fixed, wrap) = mark(arg, times);
                if call.func.name == "info" && i == 1 {
                    wraps.push(false);
                    continue;
                }
                wraps.push(wrap);
                fixed &= arg_fixed;
                fixed_samples &= arg_fixed && matches!(arg, Expr::Vector(_));
            }
            if call.func.name == "info"
                && let Some(arg) = call.args.first()
            {
                fixed &= super::info::uniform_reference(arg);
            }
            if fixed || fixed_samples {
                return (true, true);
            }
            for (arg, _) in call.args.iter_mut().zip(wraps).filter(|(_, wrap)| *wrap) {
                invariant(arg);
            }
            (false, false)
        }
        Expr::Subquery(s) => {
            if mark(&mut s.expr, times).0 {
                invariant(&mut s.expr);
            }
            (settle(&mut s.modifiers, times), false)
        }
        Expr::Paren(e) => mark(&mut e.expr, times),
        Expr::Unary(e) => mark(&mut e.expr, times),
        Expr::Number(_) | Expr::String(_) | Expr::StepInvariant(_) => (true, false),
    }
}

/// Replaces `@ start()` and `@ end()` by times; whether there is an `@`.
fn settle(modifiers: &mut Modifiers, times: &Times) -> bool {
    match modifiers.at {
        Some(At::Start) => modifiers.at = Some(At::Time(times.start)),
        Some(At::End) => modifiers.at = Some(At::Time(times.end)),
        _ => {}
    }
    modifiers.at.is_some()
}

fn invariant(expr: &mut Expr) {
    let inner = take(expr);
    *expr = Expr::StepInvariant(Box::new(inner));
}

fn unwrap_parens(expr: &mut Expr) {
    while let Expr::Paren(_) = expr {
        if let Expr::Paren(p) = take(expr) {
            *expr = *p.expr;
        }
    }
}

fn take(expr: &mut Expr) -> Expr {
    let span = expr.span();
    std::mem::replace(expr, Expr::Number(Number { value: 0.0, duration: false, span }))
}
