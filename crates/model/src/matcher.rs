//! Label matchers, and the one translation from RE2 (Go's dialect) to our regular expressions.

use regex_automata::meta::Regex;
use std::fmt;
use std::sync::Arc;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As PromQL writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// One condition on one label; an absent label has the empty value.
#[derive(Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How it compares.
    pub op: MatchOp,
    /// The value or the regular expression, as written.
    pub value: String,
    regex: Option<Arc<Regex>>,
}

impl Matcher {
    /// A matcher; fails on a regular expression that does not parse, with the reason.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Matcher, String> {
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(anchored_regex(value)?)),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher { name: name.into(), op, value: value.into(), regex })
    }

    /// An equality matcher.
    pub fn equal(name: &str, value: &str) -> Matcher {
        Matcher { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether a label value satisfies it.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => self.regex.as_ref().is_some_and(|r| r.is_match(value)),
            MatchOp::NotRegex => self.regex.as_ref().is_some_and(|r| !r.is_match(value)),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

/// Compiles an RE2 expression so that it matches whole strings, a dot any character.
///
/// Fails with the reason, worded for the person who wrote the expression.
pub fn anchored_regex(re2: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?s:{})$", translate_re2(re2))).map_err(|e| e.to_string())
}

/// Compiles an RE2 expression that may match anywhere, a dot any character but a line's end.
///
/// Fails with the reason, worded for the person who wrote the expression.
pub fn unanchored_regex(re2: &str) -> Result<Regex, String> {
    Regex::new(&translate_re2(re2)).map_err(|e| e.to_string())
}

/// Go's RE2 syntax in ours, where the two differ: `\Q…\E` quotes, Perl classes are ASCII.
fn translate_re2(re2: &str) -> String {
    let mut out = String::with_capacity(re2.len());
    let mut chars = re2.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('Q') => {
                let mut quoted = String::new();
                while let Some(c) = chars.next() {
                    if c == '\\' && chars.peek() == Some(&'E') {
                        chars.next();
                        break;
                    }
                    quoted.push(c);
                }
                out.push_str(&regex_syntax::escape(&quoted));
            }
            Some(class @ ('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B')) => {
                // RE2's Perl classes and word boundaries are ASCII only.
                out.push_str(match class {
                    'd' => "[0-9]",
                    'D' => "[^0-9]",
                    'w' => "[0-9A-Za-z_]",
                    'W' => "[^0-9A-Za-z_]",
                    's' => r"[\t\n\f\r ]",
                    'S' => r"[^\t\n\f\r ]",
                    'b' => r"(?-u:\b)",
                    _ => r"(?-u:\B)",
                });
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes_are_anchored_and_dot_matches_newline() {
        let m = Matcher::new(MatchOp::Regex, "a", "x.z|y").expect("parses");
        assert!(m.matches("x\nz") && m.matches("y"));
        assert!(!m.matches("xyzz") && !m.matches("ayb"));
        assert!(Matcher::new(MatchOp::Regex, "a", "(").is_err());
    }

    #[test]
    fn re2_dialect() {
        let is = |re: &str, s: &str| anchored_regex(re).expect("parses").is_match(s);
        assert!(is(r"\Qa.b\E+", "a.bb") && !is(r"\Qa.b\E", "axb"));
        assert!(is(r"\d+", "12") && !is(r"\d", "٣"));
        assert!(is(r"[\d\-x]+", "1-x"));
        assert!(is("", "") && !is("", "a"));
    }
}
