//! Checks types and what the grammar alone cannot say, with Prometheus 3's messages.

use crate::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Span, ValueType};
use crate::lexer::is_space;
use crate::parser::Parser;
use model::labels::{METRIC_NAME, Quoted};

/// Checks `expr`, tells the parser of errors, and settles how vectors are matched.
pub(crate) fn check(expr: &mut Expr, parser: &mut Parser<'_>) {
    // Errors of syntax leave trees that make no sense.
    if !parser.has_errors() {
        visit(expr, parser);
    }
}

fn visit(expr: &mut Expr, parser: &mut Parser<'_>) -> ValueType {
    let kind = expr.value_type();
    let span = expr.span();
    match expr {
        Expr::Aggregate(e) => aggregate(e, parser),
        Expr::Binary(e) => binary(e, span, parser),
        Expr::Call(e) => call(e, parser),
        Expr::Paren(e) => {
            visit(&mut e.expr, parser);
        }
        Expr::Unary(e) => {
            let got = visit(&mut e.expr, parser);
            if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                let got = Quoted(got.documented());
                parser.error(
                    span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {got}"
                    ),
                );
            }
        }
        Expr::Subquery(e) => {
            let got = visit(&mut e.expr, parser);
            if got != ValueType::Vector {
                let got = got.as_str();
                parser.error(
                    span,
                    format!("subquery is only allowed on instant vector, got {got} instead"),
                );
            }
        }
        Expr::Matrix(e) => selector(&e.selector, parser),
        Expr::Vector(e) => selector(e, parser),
        Expr::StepInvariant(e) => {
            visit(e, parser);
        }
        Expr::Number(_) | Expr::String(_) => {}
    }
    kind
}

fn expect(expr: &mut Expr, wanted: ValueType, context: &str, parser: &mut Parser<'_>) {
    let got = visit(expr, parser);
    if got != wanted {
        let (wanted, got) = (wanted.documented(), got.documented());
        parser.error(expr.span(), format!("expected type {wanted} in {context}, got {got}"));
    }
}

fn aggregate(e: &mut Aggregate, parser: &mut Parser<'_>) {
    expect(&mut e.expr, ValueType::Vector, "aggregation expression", parser);
    if let Some(param) = &mut e.param {
        let wanted =
            if e.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        expect(param, wanted, "aggregation parameter", parser);
    }
}

fn binary(e: &mut Binary, span: Span, parser: &mut Parser<'_>) {
    let (lt, rt) = (visit(&mut e.lhs, parser), visit(&mut e.rhs, parser));
    let op_span = operator_span(e, parser.input);
    let op = e.op;
    let quoted = Quoted(op.as_str()).to_string();
    let scalars = (lt == ValueType::Scalar, rt == ValueType::Scalar);
    if e.return_bool && !op.is_comparison() {
        parser.error(op_span, "bool modifier can only be used on comparison operators");
    }
    if op.is_comparison() && !e.return_bool && scalars == (true, true) {
        parser.error(op_span, "comparisons between scalars must use BOOL modifier");
    }
    let mut matching = e.matching.take().unwrap_or_default();
    if op.is_set() && matching.card == Cardinality::OneToOne {
        matching.card = Cardinality::ManyToMany;
    }
    if matching.on {
        for label in matching.labels.iter().filter(|l| matching.include.contains(l)) {
            let label = Quoted(label);
            parser.error(
                op_span,
                format!("label {label} must not occur in ON and GROUP clause at once"),
            );
        }
    }
    for (side, operand) in [(lt, &e.lhs), (rt, &e.rhs)] {
        if !matches!(side, ValueType::Scalar | ValueType::Vector) {
            parser.error(
                operand.span(),
                "binary expression must contain only scalar and instant vector types",
            );
        }
    }
    let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
    let vectors = lt == ValueType::Vector && rt == ValueType::Vector;
    if !vectors {
        if !matching.labels.is_empty() {
            parser.error(span, "vector matching only allowed between instant vectors");
        }
        if filled {
            parser.error(span, "filling in missing series only allowed between instant vectors");
        }
    } else {
        if op.is_set() {
            if matches!(matching.card, Cardinality::OneToMany | Cardinality::ManyToOne) {
                parser.error(span, format!("no grouping allowed for {quoted} operation"));
            }
            if matching.card != Cardinality::ManyToMany {
                parser.error(span, "set operations must always be many-to-many");
            }
            if filled {
                parser.error(span, "filling in missing series not allowed for set operators");
            }
        }
        e.matching = Some(matching);
    }
    if (scalars.0 || scalars.1) && op.is_set() {
        parser
            .error(span, format!("set operator {quoted} not allowed in binary scalar expression"));
    }
}

/// Where the operator stands: between the operands, without the space around it.
fn operator_span(e: &Binary, input: &str) -> Span {
    let (mut start, mut end) = (e.lhs.span().end, e.rhs.span().start.saturating_sub(1));
    let space_at = |at: usize| input.as_bytes().get(at).is_some_and(|b| is_space(*b as char));
    while space_at(start) {
        start += 1;
    }
    while end > 0 && space_at(end) {
        end -= 1;
    }
    Span { start, end }
}

fn call(e: &mut Call, parser: &mut Parser<'_>) {
    let (name, wanted, got) = (Quoted(e.func.name), e.func.args.len(), e.args.len());
    let span = e.span;
    if e.func.variadic == 0 {
        if wanted != got {
            parser
                .error(span, format!("expected {wanted} argument(s) in call to {name}, got {got}"));
        }
    } else {
        let least = wanted - 1;
        let most = usize::try_from(e.func.variadic).ok().map(|v| least + v);
        if got < least {
            parser.error(
                span,
                format!("expected at least {least} argument(s) in call to {name}, got {got}"),
            );
        } else if let Some(most) = most.filter(|m| got > *m) {
            parser.error(
                span,
                format!("expected at most {most} argument(s) in call to {name}, got {got}"),
            );
        }
    }
    if e.func.name == "info" && got > 1 {
        info_selector(&mut e.args[1], span, parser);
    }
    for i in 0..e.args.len() {
        if i >= e.func.args.len() && e.func.variadic == 0 {
            break;
        }
        let wanted = e.func.args[i.min(e.func.args.len() - 1)];
        let got = visit(&mut e.args[i], parser);
        if got != wanted {
            let (wanted, got) = (wanted.documented(), got.documented());
            parser.error(
                e.args[i].span(),
                format!("expected type {wanted} in call to function {name}, got {got}"),
            );
        }
    }
}

/// The second argument of `info` is a selector without a metric name.
fn info_selector(arg: &mut Expr, call: Span, parser: &mut Parser<'_>) {
    let (kind, span) = (arg.value_type(), arg.span());
    if kind != ValueType::Vector {
        let (wanted, got) = (ValueType::Vector.documented(), kind.documented());
        parser
            .error(call, format!("expected type {wanted} in call to function \"info\", got {got}"));
    }
    match arg {
        Expr::Vector(v) if v.name.is_empty() => v.may_match_all = true,
        Expr::Vector(_) => {
            parser.error(span, "expected label selectors only, got vector selector instead")
        }
        _ => parser.error(span, "expected label selectors only"),
    }
}

fn selector(v: &crate::ast::VectorSelector, parser: &mut Parser<'_>) {
    if !v.name.is_empty() {
        // The last matcher is the name's own.
        let others = v.matchers.split_last().map_or(&[][..], |(_, others)| others);
        for m in others.iter().filter(|m| m.name == METRIC_NAME) {
            let (one, two) = (Quoted(&v.name), Quoted(&m.value));
            parser.error(v.span, format!("metric name must not be set twice: {one} or {two}"));
        }
    } else if !v.may_match_all && v.matchers.iter().all(|m| m.matches("")) {
        parser.error(v.span, "vector selector must contain at least one non-empty matcher");
    }
}
