//! A PromQL syntax tree as the JSON of `parse_query` (`web/api/v1/translate_ast.go`), on which
//! query builders and tree views stand.

use model::Matcher;
use promql::Expr;
use promql::ast::{At, DurationExpr, DurationOp, Modifiers, Number, VectorSelector};
use serde_json::{Value, json};

/// Translates an expression and all below it.
pub fn translate(expr: &Expr) -> Value {
    match expr {
        Expr::Aggregate(e) => json!({
            "type": "aggregation",
            "op": e.op.as_str(),
            "expr": translate(&e.expr),
            "param": e.param.as_deref().map(translate),
            "grouping": e.grouping,
            "without": e.without,
        }),
        Expr::Binary(e) => json!({
            "type": "binaryExpr",
            "op": e.op.as_str(),
            "lhs": translate(&e.lhs),
            "rhs": translate(&e.rhs),
            "matching": e.matching.as_ref().map(|m| json!({
                "card": m.card.as_str(),
                "labels": m.labels,
                "on": m.on,
                "include": m.include,
                "fillValues": { "lhs": m.fill_left, "rhs": m.fill_right },
            })),
            "bool": e.return_bool,
        }),
        Expr::Call(e) => json!({
            "type": "call",
            "func": {
                "name": e.func.name,
                "argTypes": e.func.args.iter().map(|t| t.as_str()).collect::<Vec<_>>(),
                "variadic": e.func.variadic,
                "returnType": e.func.returns.as_str(),
            },
            "args": e.args.iter().map(translate).collect::<Vec<_>>(),
        }),
        Expr::Matrix(e) => {
            let mut tree = selector("matrixSelector", &e.selector);
            tree["range"] = e.range_ms.into();
            tree["rangeExpr"] = duration(e.range_expr.as_ref());
            tree
        }
        Expr::Number(e) => json!({ "type": "numberLiteral", "val": number(e) }),
        Expr::Paren(e) => json!({ "type": "parenExpr", "expr": translate(&e.expr) }),
        Expr::String(e) => json!({ "type": "stringLiteral", "val": e.value }),
        Expr::Subquery(e) => {
            let mut tree = json!({
                "type": "subquery",
                "expr": translate(&e.expr),
                "range": e.range_ms,
                "rangeExpr": duration(e.range_expr.as_ref()),
                "step": e.step_ms,
                "stepExpr": duration(e.step_expr.as_ref()),
            });
            modifiers(&mut tree, &e.modifiers);
            tree
        }
        Expr::Unary(e) => json!({
            "type": "unaryExpr",
            "op": if e.minus { "-" } else { "+" },
            "expr": translate(&e.expr),
        }),
        Expr::Vector(e) => selector("vectorSelector", e),
        Expr::StepInvariant(e) => translate(e),
    }
}

fn selector(kind: &str, selector: &VectorSelector) -> Value {
    let matcher = |m: &Matcher| json!({ "name": m.name, "value": m.value, "type": m.op.as_str() });
    let mut tree = json!({
        "type": kind,
        "name": selector.name,
        "matchers": selector.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "anchored": selector.anchored,
        "smoothed": selector.smoothed,
    });
    modifiers(&mut tree, &selector.modifiers);
    tree
}

fn modifiers(tree: &mut Value, modifiers: &Modifiers) {
    tree["offset"] = modifiers.offset_ms.into();
    tree["offsetExpr"] = duration(modifiers.offset_expr.as_ref());
    tree["timestamp"] = match modifiers.at {
        Some(At::Time(ms)) => ms.into(),
        _ => Value::Null,
    };
    tree["startOrEnd"] = match modifiers.at {
        Some(At::Start) => "start".into(),
        Some(At::End) => "end".into(),
        _ => Value::Null,
    };
}

fn duration(expr: Option<&DurationExpr>) -> Value {
    match expr {
        None => Value::Null,
        Some(DurationExpr::Number(n)) => {
            json!({ "type": "numberLiteral", "val": number(n), "duration": n.duration })
        }
        Some(DurationExpr::Op(op)) => {
            let DurationOp { op, lhs, rhs, wrapped, .. } = &**op;
            json!({
                "type": "durationExpr",
                "op": op.as_str(),
                "lhs": duration(lhs.as_ref()),
                "rhs": duration(rhs.as_ref()),
                "wrapped": wrapped,
            })
        }
    }
}

/// Without an exponent, as Go's format `f` has it.
fn number(number: &Number) -> String {
    match number.value {
        v if v.is_nan() => "NaN".into(),
        v if v.is_infinite() => if v > 0.0 { "+Inf" } else { "-Inf" }.into(),
        v => v.to_string(),
    }
}
