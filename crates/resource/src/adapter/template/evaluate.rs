//! Runs a template.

use super::parse::{Base, Command, Operand, Part, Pipeline};
use super::value::{Value, printf};
use super::{At, Fields};
use std::cmp::Ordering;

/// A query is never that long, in bytes.
const OUTPUT: usize = 64 << 10;
/// Loops within loops end here.
const STEPS: usize = 100_000;

/// Whether a loop goes on.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    fields: &'a Fields,
    out: String,
    /// Names with values, the innermost last.
    variables: Vec<(&'a str, Value<'a>)>,
    steps: usize,
}

/// Runs the parts of a template.
pub(super) fn run<'a>(parts: &'a [Part], fields: &'a Fields) -> Result<String, At> {
    let root = Value::Root(fields);
    let variables = vec![("", root.clone())];
    let mut run = Run { fields, out: String::new(), variables, steps: 0 };
    run.parts(parts, &root)?;
    Ok(run.out)
}

impl<'a> Run<'a> {
    fn parts(&mut self, parts: &'a [Part], dot: &Value<'a>) -> Result<Flow, At> {
        let scope = self.variables.len();
        let mut flow = Flow::On;
        for part in parts {
            self.steps += 1;
            if self.steps > STEPS || self.out.len() > OUTPUT {
                return Err(At::new(0, "the text that it gives has no end"));
            }
            flow = match part {
                Part::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Part::Output(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&value.print());
                    }
                    Flow::On
                }
                Part::If(branches, otherwise) => self.branch(branches, otherwise, dot)?,
                Part::With(pipeline, body, otherwise) => {
                    let scope = self.variables.len();
                    let value = self.pipeline(pipeline, dot)?;
                    let flow = match value.is_true() {
                        true => self.parts(body, &value),
                        false => self.parts(otherwise, dot),
                    }?;
                    self.variables.truncate(scope);
                    flow
                }
                Part::Range(pipeline, body, otherwise) => {
                    self.range(pipeline, body, otherwise, dot)?
                }
                Part::Break => Flow::Break,
                Part::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn branch(
        &mut self,
        branches: &'a [(Pipeline, Vec<Part>)],
        otherwise: &'a [Part],
        dot: &Value<'a>,
    ) -> Result<Flow, At> {
        let scope = self.variables.len();
        for (condition, body) in branches {
            if self.pipeline(condition, dot)?.is_true() {
                let flow = self.parts(body, dot)?;
                self.variables.truncate(scope);
                return Ok(flow);
            }
        }
        let flow = self.parts(otherwise, dot)?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(
        &mut self,
        pipeline: &'a Pipeline,
        body: &'a [Part],
        otherwise: &'a [Part],
        dot: &Value<'a>,
    ) -> Result<Flow, At> {
        let value = self.commands(pipeline, dot)?;
        let items: Vec<(Value<'a>, Value<'a>)> = match value {
            Value::List(list) => {
                let numbered = list.iter().enumerate();
                numbered.map(|(i, v)| (Value::Integer(i as i64), Value::Text(v.clone()))).collect()
            }
            Value::Map(map) => {
                map.iter().map(|(k, v)| (Value::Text(k.clone()), Value::Text(v.clone()))).collect()
            }
            Value::Integer(n) if n <= STEPS as i64 => {
                (0..n).map(|i| (Value::Integer(i), Value::Integer(i))).collect()
            }
            other => {
                let what = format!("range can't iterate over a {}", other.kind());
                return Err(At::new(pipeline.at, what));
            }
        };
        if items.is_empty() {
            return self.parts(otherwise, dot);
        }
        for (key, item) in items {
            let scope = self.variables.len();
            match pipeline.variables.as_slice() {
                [value] => self.set(pipeline, value, item.clone()),
                [first, second] => {
                    self.set(pipeline, first, key);
                    self.set(pipeline, second, item.clone());
                }
                _ => {}
            }
            let flow = self.parts(body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, pipeline: &Pipeline, name: &'a str, value: Value<'a>) {
        let known = self.variables.iter_mut().rev().find(|v| v.0 == name);
        match known {
            Some(variable) if !pipeline.declares => variable.1 = value,
            _ => self.variables.push((name, value)),
        }
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<Value<'a>, At> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(pipeline, name, value.clone());
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<Value<'a>, At> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped.take())?);
        }
        Ok(piped.unwrap_or(Value::Nothing))
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        piped: Option<Value<'a>>,
    ) -> Result<Value<'a>, At> {
        let Some((first, rest)) = command.operands.split_first() else { return Ok(Value::Nothing) };
        let Base::Function(name) = &first.base else { return self.operand(first, dot) };
        if matches!(*name, "and" | "or") {
            // Neither looks further than it must.
            let mut value = Value::Nothing;
            for operand in rest {
                value = self.operand(operand, dot)?;
                if value.is_true() == (*name == "or") {
                    return Ok(value);
                }
            }
            return Ok(piped.unwrap_or(value));
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        match call(name, &arguments).map_err(|what| At::new(command.at, what))? {
            Value::Text(text) if text.len() > OUTPUT => {
                Err(At::new(command.at, format!("{name} gives a text of {} bytes", text.len())))
            }
            value => Ok(value),
        }
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, At> {
        let mut value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Nil => Value::Nothing,
            Base::Variable(name) if name.is_empty() => Value::Root(self.fields),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|v| v.0 == name);
                found.map_or(Value::Nothing, |v| v.1.clone())
            }
            Base::Function(name) => call(name, &[]).map_err(|what| At::new(operand.at, what))?,
            Base::Text(text) => Value::Text(text.clone()),
            Base::Integer(n) => Value::Integer(*n),
            Base::Float(n) => Value::Float(*n),
            Base::Bool(b) => Value::Bool(*b),
            Base::Parens(pipeline) => self.pipeline(pipeline, dot)?,
        };
        for name in &operand.fields {
            value = field(&value, name).map_err(|what| At::new(operand.at, what))?;
        }
        Ok(value)
    }
}

fn field<'a>(value: &Value<'a>, name: &str) -> Result<Value<'a>, String> {
    match value {
        Value::Root(fields) => match fields.get(name) {
            Some(field) => Ok(Value::of(field)),
            None => {
                let known: Vec<String> = fields.fields.keys().map(|f| format!(".{f}")).collect();
                Err(format!("there is no field .{name}; there are {}", known.join(", ")))
            }
        },
        Value::Map(map) => Ok(map.get(name).map_or(Value::Nothing, |v| Value::Text(v.clone()))),
        other => Err(format!("can't take field .{name} of a {}", other.kind())),
    }
}

fn call<'a>(name: &str, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    let exactly = |n: usize| match arguments.len() == n {
        true => Ok(()),
        false => Err(format!("{name} wants {n} argument(s), got {}", arguments.len())),
    };
    let print = |between: &str| -> String {
        let mut out = String::new();
        for (i, argument) in arguments.iter().enumerate() {
            // Go's Print has a space between operands of which neither is a string.
            let both = i > 0
                && !matches!(argument, Value::Text(_))
                && !matches!(arguments[i - 1], Value::Text(_));
            if i > 0 && (!between.is_empty() || both) {
                out.push(' ');
            }
            out.push_str(&argument.print());
        }
        out
    };
    Ok(match name {
        "not" => {
            exactly(1)?;
            Value::Bool(!arguments[0].is_true())
        }
        "len" => {
            exactly(1)?;
            Value::Integer(match &arguments[0] {
                Value::Text(text) => text.len(),
                Value::List(list) => list.len(),
                Value::Map(map) => map.len(),
                other => return Err(format!("len of a {}", other.kind())),
            } as i64)
        }
        "print" => Value::Text(print("")),
        "println" => Value::Text(print(" ") + "\n"),
        "printf" => match arguments.split_first() {
            Some((Value::Text(format), rest)) => Value::Text(printf(format, rest)?),
            _ => return Err("printf wants a format".into()),
        },
        "eq" => match arguments.split_first() {
            Some((first, rest)) if !rest.is_empty() => {
                let mut equal = false;
                for other in rest {
                    equal |= equals(first, other)?;
                }
                Value::Bool(equal)
            }
            _ => return Err("eq wants two arguments or more".into()),
        },
        "ne" => {
            exactly(2)?;
            Value::Bool(!equals(&arguments[0], &arguments[1])?)
        }
        "lt" | "le" | "gt" | "ge" => {
            exactly(2)?;
            if matches!(arguments[0], Value::Bool(_) | Value::Nothing) {
                return Err("invalid type for comparison".into());
            }
            let order = arguments[0].compare(&arguments[1])?;
            Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
        "index" => return index(arguments),
        "slice" => return slice(arguments),
        _ => return Err(format!("{name} wants arguments")),
    })
}

fn equals(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    if matches!(a, Value::Nothing) != matches!(b, Value::Nothing) {
        return Ok(false);
    }
    Ok(a.compare(b)? == Ordering::Equal)
}

/// `index map key`, `index list i`; more indices go into what the first gave.
fn index<'a>(arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    let Some((value, indices)) = arguments.split_first() else {
        return Err("index wants arguments".into());
    };
    let mut value = value.clone();
    for index in indices {
        value = match (&value, index) {
            // A key that is not there gives the empty string here, unlike a field.
            (Value::Map(map), Value::Text(key)) => {
                Value::Text(map.get(key).cloned().unwrap_or_default())
            }
            (Value::List(list), Value::Integer(i)) => {
                let item = usize::try_from(*i).ok().and_then(|i| list.get(i));
                Value::Text(item.ok_or_else(|| format!("index out of range: {i}"))?.clone())
            }
            (Value::Text(text), Value::Integer(i)) => {
                let byte = usize::try_from(*i).ok().and_then(|i| text.as_bytes().get(i));
                Value::Integer((*byte.ok_or_else(|| format!("index out of range: {i}"))?).into())
            }
            (value, index) => {
                return Err(format!("can't index a {} with a {}", value.kind(), index.kind()));
            }
        };
    }
    Ok(value)
}

fn slice<'a>(arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    let Some((value, bounds)) = arguments.split_first().filter(|a| a.1.len() <= 2) else {
        return Err("slice wants a value and at most two bounds".into());
    };
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("slice of a {}", other.kind())),
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Integer(n)) => {
            usize::try_from(*n).map_err(|_| format!("index out of range: {n}"))
        }
        Some(other) => Err(format!("can't index with a {}", other.kind())),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    let out_of_range = || format!("slice bounds out of range: {from}:{to} of {length}");
    Ok(match value {
        Value::Text(text) => Value::Text(text.get(from..to).ok_or_else(out_of_range)?.to_owned()),
        Value::List(list) => Value::List(list.get(from..to).ok_or_else(out_of_range)?),
        _ => return Err(out_of_range()),
    })
}
