//! `label_replace` and `label_join`.

use super::evaluate::{Evaluator, Result};
use super::merge_same_labels;
use super::values::{Grid, Series};
use crate::ast::{Call, Expr};
use crate::query::QueryError;
use model::labels::METRIC_NAME;
use model::matcher::anchored_regex;
use regex_automata::util::captures::Captures;

/// `label_replace(vector, destination, replacement, source, regex)`
pub(super) fn replace(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let text: Vec<String> = call.args[1..].iter().map(|a| ev.string(a)).collect();
    let [destination, replacement, source, pattern] = &text[..] else {
        return Err(QueryError::Execution("label_replace() needs four strings".into()));
    };
    let regex = anchored_regex(pattern).map_err(|_| {
        QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
    })?;
    check_name(ev, &call.args[1], "destination", "label_replace")?;
    let mut all = ev.vector(&call.args[0], grid)?;
    let mut captures = regex.create_captures();
    for series in &mut all {
        ev.interrupt.check()?;
        let value = series.labels.get(source).unwrap_or("").to_string();
        regex.captures(&value, &mut captures);
        if captures.is_match() {
            set(series, destination, &expand(replacement, &value, &captures));
        }
    }
    merge_same_labels(all, ev.interrupt)
}

/// `label_join(vector, destination, separator, source…)`
pub(super) fn join(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let text: Vec<String> = call.args[1..].iter().map(|a| ev.string(a)).collect();
    let [destination, separator, sources @ ..] = &text[..] else {
        return Err(QueryError::Execution("label_join() needs two strings".into()));
    };
    for source in &call.args[3..] {
        check_name(ev, source, "source", "label_join")?;
    }
    check_name(ev, &call.args[1], "destination", "label_join")?;
    let mut all = ev.vector(&call.args[0], grid)?;
    for series in &mut all {
        ev.interrupt.check()?;
        let values: Vec<&str> =
            sources.iter().map(|s| series.labels.get(s).unwrap_or("")).collect();
        let joined = values.join(separator);
        set(series, destination, &joined);
    }
    merge_same_labels(all, ev.interrupt)
}

fn check_name(ev: &Evaluator<'_>, arg: &Expr, what: &str, function: &str) -> Result<()> {
    ev.label_name(arg).map(|_| ()).map_err(|_| {
        let name = ev.string(arg);
        QueryError::Execution(format!("invalid {what} label name in {function}(): {name}"))
    })
}

fn set(series: &mut Series, name: &str, value: &str) {
    series.labels = series.labels.builder().set(name, value).build();
    if name == METRIC_NAME {
        series.drop_name = false;
    }
}

/// Expands `$1`, `${1}`, `$name` and `$$` as Go's regexp package does.
fn expand(template: &str, text: &str, captures: &Captures) -> String {
    let group = |name: &str| -> &str {
        let span = match name.parse::<usize>() {
            Ok(index) => captures.get_group(index),
            Err(_) => captures.get_group_by_name(name),
        };
        span.map_or("", |s| &text[s.range()])
    };
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_word = |c: char| c == '_' || c.is_alphanumeric();
        let braced = rest.strip_prefix('{').and_then(|inner| {
            let end = inner.find('}')?;
            let name = &inner[..end];
            (!name.is_empty() && name.chars().all(is_word)).then(|| (name, &inner[end + 1..]))
        });
        if let Some((name, after)) = braced {
            out.push_str(group(name));
            rest = after;
            continue;
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            // Not a reference: Go keeps the dollar.
            out.push('$');
            continue;
        }
        out.push_str(group(&rest[..end]));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_go_does() {
        let regex = anchored_regex("(?P<first>a+)-(b+)").expect("parses");
        let mut captures = regex.create_captures();
        regex.captures("aa-bbb", &mut captures);
        let expand = |t: &str| expand(t, "aa-bbb", &captures);
        assert_eq!(expand("$1/$2"), "aa/bbb");
        assert_eq!(expand("${1}x$2x"), "aax");
        assert_eq!(expand("$first$$"), "aa$");
        assert_eq!(expand("$9."), ".");
        assert_eq!(expand("$"), "$");
    }
}
