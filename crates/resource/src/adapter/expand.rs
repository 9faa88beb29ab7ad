//! How a series' name becomes a metric's: Go's `Regexp.Expand`.

use regex_automata::Span;
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// What `name.as` gives for `text`; `None` where `pattern` does not match.
///
/// `$1`, `$name` and `${name}` stand for groups (a group that is not there or did not take part for
/// nothing), `$$` for a dollar. A name without braces is taken as long as it goes: `$1x` is `${1x}`.
pub(super) fn expand(pattern: &Regex, template: &str, text: &str) -> Option<String> {
    let mut captures = pattern.create_captures();
    pattern.captures(text, &mut captures);
    if !captures.is_match() {
        return None;
    }
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
        match name(rest) {
            Some((name, after)) => {
                let span = group(&captures, name);
                out.push_str(span.and_then(|s| text.get(s.start..s.end)).unwrap_or(""));
                rest = after;
            }
            // A dollar that begins nothing stands for itself.
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The name behind a dollar, and what follows it.
fn name(rest: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(inside) = rest.strip_prefix('{') {
        let end = inside.find('}')?;
        let name = &inside[..end];
        return (!name.is_empty() && name.chars().all(is_part))
            .then_some((name, &inside[end + 1..]));
    }
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    (end > 0).then(|| rest.split_at(end))
}

fn group(captures: &Captures, name: &str) -> Option<Span> {
    match name.bytes().all(|b| b.is_ascii_digit()) {
        true => captures.get_group(name.parse().ok()?),
        false => captures.get_group_by_name(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::matcher::unanchored_regex;

    #[test]
    fn as_go_expands() {
        for (pattern, template, text, expected) in [
            (
                "^(.*)_total$",
                "${1}_per_second",
                "http_requests_total",
                Some("http_requests_per_second"),
            ),
            ("^(.*)_total$", "$1_per_second", "http_requests_total", Some("")),
            ("^container_(?P<what>.*)_seconds$", "$what", "container_cpu_seconds", Some("cpu")),
            ("requests", "$0!", "http_requests_total", Some("requests!")),
            ("x", "$0", "http_requests_total", None),
            (".*", "a$$b$", "c", Some("a$b$")),
            ("(a)|(b)", "<$1|$2|$3>", "b", Some("<|b|>")),
            (".*", "${a-b}", "c", Some("${a-b}")),
        ] {
            let pattern = unanchored_regex(pattern).expect("compiles");
            assert_eq!(expand(&pattern, template, text).as_deref(), expected, "{template}");
        }
    }
}
