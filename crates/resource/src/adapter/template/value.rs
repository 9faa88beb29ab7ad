//! Values while a template runs, and how they are printed and compared.

use super::{Field, Fields};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// What a map gives for a key that it does not have; printed `<no value>`.
    Nothing,
    Root(&'a Fields),
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(&'a [String]),
    Map(&'a BTreeMap<String, String>),
}

impl<'a> Value<'a> {
    pub fn of(field: &'a Field) -> Value<'a> {
        match field {
            Field::Text(text) => Value::Text(text.clone()),
            Field::List(list) => Value::List(list),
            Field::Map(map) => Value::Map(map),
        }
    }

    /// How messages call its type, in Go's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nil",
            Value::Root(_) => "struct",
            Value::Text(_) => "string",
            Value::Integer(_) => "int",
            Value::Float(_) => "float64",
            Value::Bool(_) => "bool",
            Value::List(_) => "[]string",
            Value::Map(_) => "map[string]string",
        }
    }

    /// Whether `if` takes it as true: not empty, not zero.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nothing => false,
            Value::Root(_) => true,
            Value::Text(text) => !text.is_empty(),
            Value::Integer(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Bool(b) => *b,
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
        }
    }

    /// As Go's `%v` prints it.
    pub fn print(&self) -> String {
        match self {
            Value::Nothing => "<no value>".into(),
            Value::Root(_) => "{}".into(),
            Value::Text(text) => text.clone(),
            Value::Integer(n) => n.to_string(),
            Value::Float(n) => float(*n),
            Value::Bool(b) => b.to_string(),
            Value::List(list) => format!("[{}]", list.join(" ")),
            Value::Map(map) => {
                let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{v}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }

    /// Compares as `eq` and `lt` do; fails where Go's do.
    pub fn compare(&self, other: &Value<'_>) -> Result<Ordering, String> {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
            (Value::Integer(a), Value::Integer(b)) => Ok(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
            (Value::Nothing, Value::Nothing) => Ok(Ordering::Equal),
            _ => Err(format!(
                "incompatible types for comparison: {} and {}",
                self.kind(),
                other.kind()
            )),
        }
    }
}

/// A float as `%v` prints it: the shortest digits, with an exponent where it is below -4 or from 21.
fn float(n: f64) -> String {
    let scientific = format!("{n:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let Ok(exponent) = exponent.parse::<i32>() else { return scientific };
    match exponent {
        -4..21 => n.to_string(),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

/// `printf`, with the verbs `%s %v %d %q %f %g %t %%`, flags `-`, `0`, `+`, a width and a precision.
pub(super) fn printf(format: &str, arguments: &[Value<'_>]) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(c) = chars.next_if(|c| "+-# 0".contains(*c)) {
            flags.push(c);
        }
        let mut number = || -> Option<usize> {
            let mut digits = String::new();
            while let Some(c) = chars.next_if(char::is_ascii_digit) {
                digits.push(c);
            }
            digits.parse().ok().filter(|n| *n <= 1000)
        };
        let width = number().unwrap_or(0);
        let precision = match chars.next_if_eq(&'.') {
            Some(_) => {
                let mut digits = String::new();
                while let Some(c) = chars.next_if(char::is_ascii_digit) {
                    digits.push(c);
                }
                Some(digits.parse::<usize>().unwrap_or(0).min(1000))
            }
            None => None,
        };
        let Some(verb) = chars.next() else { return Err("printf: % at the end".into()) };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let argument = arguments.get(next).ok_or("printf: more verbs than arguments")?;
        next += 1;
        let mut text = verb_text(verb, argument, precision)?;
        if flags.contains('+') && matches!(verb, 'd' | 'f' | 'g') && !text.starts_with('-') {
            text.insert(0, '+');
        }
        let missing = width.saturating_sub(text.chars().count());
        if flags.contains('-') {
            out.push_str(&text);
            out.extend(std::iter::repeat_n(' ', missing));
        } else {
            let zeros = flags.contains('0') && matches!(verb, 'd' | 'f' | 'g');
            out.extend(std::iter::repeat_n(if zeros { '0' } else { ' ' }, missing));
            out.push_str(&text);
        }
    }
    match next == arguments.len() {
        true => Ok(out),
        false => Err("printf: more arguments than verbs".into()),
    }
}

fn verb_text(verb: char, value: &Value<'_>, precision: Option<usize>) -> Result<String, String> {
    let cut = |text: String| match precision {
        Some(n) => text.chars().take(n).collect(),
        None => text,
    };
    match (verb, value) {
        ('v', value) => Ok(value.print()),
        ('s', Value::Text(text)) => Ok(cut(text.clone())),
        ('s', value @ (Value::List(_) | Value::Map(_))) => Ok(value.print()),
        ('q', Value::Text(text)) => Ok(model::labels::Quoted(text).to_string()),
        ('d', Value::Integer(n)) => Ok(n.to_string()),
        ('t', Value::Bool(b)) => Ok(b.to_string()),
        ('f', Value::Float(n)) => Ok(format!("{n:.*}", precision.unwrap_or(6))),
        ('g', Value::Float(n)) => Ok(float(*n)),
        ('s' | 'q' | 'd' | 't' | 'f' | 'g', value) => {
            Err(format!("printf: %{verb} does not print a {}", value.kind()))
        }
        _ => Err(format!("printf: %{verb} is not supported")),
    }
}
