//! Label selectors and field selectors, as they come in a URL.
//!
//! Followed are `k8s.io/apimachinery`'s packages `labels` and `fields`: the same texts are taken,
//! the same refused.

use crate::Labels;
use std::fmt;

/// A label selector: all requirements must hold; without any, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What must hold of its value.
    pub test: Test,
}

/// What must hold of a label's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// There is such a label, and its value is one of these (sorted).
    In(Vec<String>),
    /// There is no such label, or its value is none of these (sorted).
    NotIn(Vec<String>),
    /// There is such a label.
    Exists,
    /// There is no such label.
    Absent,
    /// The value is an integer above this one.
    Above(i64),
    /// The value is an integer below this one.
    Below(i64),
}

/// Why a selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct SelectorError(String);

impl Selector {
    /// Reads `app=web,tier in (a, b),!canary,rank>3`.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut reader = Reader { rest: text };
        let mut requirements = Vec::new();
        if reader.peek() == Token::End {
            return Ok(Selector::default());
        }
        loop {
            requirements.push(reader.requirement()?);
            match reader.next() {
                Token::End => break,
                Token::Comma if reader.peek() == Token::End => {
                    return Err(found("", "identifier after ','"));
                }
                Token::Comma => {}
                other => return Err(found(&other.text(), "',' or 'end of string'")),
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Selector(requirements))
    }

    /// From requirements.
    pub fn from_requirements(requirements: Vec<Requirement>) -> Selector {
        Selector(requirements)
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_by(|key| labels.get(key))
    }

    /// The same for labels that are kept otherwise.
    pub fn matches_by<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|r| r.test.holds(value(&r.key)))
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[String], value: &str| values.iter().any(|v| v == value);
        let number = || value?.parse::<i64>().ok();
        match self {
            Test::In(values) => value.is_some_and(|v| among(values, v)),
            Test::NotIn(values) => value.is_none_or(|v| !among(values, v)),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::Above(least) => number().is_some_and(|n| n > *least),
            Test::Below(most) => number().is_some_and(|n| n < *most),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Requirement { key, test }) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => write!(f, "{key}")?,
                Test::Absent => write!(f, "!{key}")?,
                Test::Above(n) => write!(f, "{key}>{n}")?,
                Test::Below(n) => write!(f, "{key}<{n}")?,
            }
        }
        Ok(())
    }
}

fn found(what: &str, expected: &str) -> SelectorError {
    SelectorError(format!("found '{what}', expected: {expected}"))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Not,
    Equals,
    NotEquals,
    Above,
    Below,
    Open,
    Close,
    Comma,
    End,
}

impl Token<'_> {
    fn text(&self) -> String {
        match self {
            Token::Word(word) => (*word).to_owned(),
            Token::Not => "!".into(),
            Token::Equals => "=".into(),
            Token::NotEquals => "!=".into(),
            Token::Above => ">".into(),
            Token::Below => "<".into(),
            Token::Open => "(".into(),
            Token::Close => ")".into(),
            Token::Comma => ",".into(),
            Token::End => String::new(),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Token<'a> {
        let before = self.rest;
        let token = self.next();
        self.rest = before;
        token
    }

    fn next(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let rest = self.rest;
        let signs: [(&str, Token<'a>); 9] = [
            ("==", Token::Equals),
            ("=", Token::Equals),
            ("!=", Token::NotEquals),
            ("!", Token::Not),
            (">", Token::Above),
            ("<", Token::Below),
            ("(", Token::Open),
            (")", Token::Close),
            (",", Token::Comma),
        ];
        for (sign, token) in signs {
            if let Some(after) = rest.strip_prefix(sign) {
                self.rest = after;
                return token;
            }
        }
        let ends = |c: char| " \t\r\n=!><(),".contains(c);
        let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.rest = after;
        if word.is_empty() { Token::End } else { Token::Word(word) }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == Token::Not;
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(word) => word,
            other => return Err(found(&other.text(), "identifier")),
        };
        check_key(key)?;
        let key = key.to_owned();
        if absent {
            return Ok(Requirement { key, test: Test::Absent });
        }
        let test = match self.peek() {
            Token::End | Token::Comma => return Ok(Requirement { key, test: Test::Exists }),
            operator => {
                self.next();
                match operator {
                    Token::Equals => Test::In(vec![self.value()?]),
                    Token::NotEquals => Test::NotIn(vec![self.value()?]),
                    Token::Above => Test::Above(self.number()?),
                    Token::Below => Test::Below(self.number()?),
                    Token::Word("in") => Test::In(self.values()?),
                    Token::Word("notin") => Test::NotIn(self.values()?),
                    other => {
                        let expected = "in, notin, =, ==, !=, gt, lt";
                        return Err(found(&other.text(), expected));
                    }
                }
            }
        };
        Ok(Requirement { key, test })
    }

    /// A value may be empty, and may be spelled as an operator is.
    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            Token::End | Token::Comma => Ok(String::new()),
            Token::Word(word) => {
                self.next();
                check_value(word)?;
                Ok(word.to_owned())
            }
            other => Err(found(&other.text(), "identifier")),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        let text = self.value()?;
        text.parse().map_err(|_| SelectorError(format!("{text:?} is not an integer")))
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.next() {
            Token::Open => {}
            other => return Err(found(&other.text(), "'('")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    check_value(word)?;
                    values.push(word.to_owned());
                    match self.next() {
                        Token::Comma if self.peek() == Token::Close => values.push(String::new()),
                        Token::Comma => {}
                        Token::Close => break,
                        other => return Err(found(&other.text(), "',' or ')'")),
                    }
                }
                // An empty value before a comma or at the end.
                Token::Comma => values.push(String::new()),
                Token::Close => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    break;
                }
                other => return Err(found(&other.text(), "',', ')' or identifier")),
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}

/// A name: letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit.
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63 && bytes.iter().all(|b| inner(*b)) && edge(bytes.first()) && edge(bytes.last())
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    let is_domain = |text: &str| {
        let part = |p: &str| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            is_name(p) && p.bytes().all(inner)
        };
        text.len() <= 253 && text.split('.').all(part)
    };
    let sound = match key.split_once('/') {
        Some((domain, name)) => is_domain(domain) && is_name(name),
        None => is_name(key),
    };
    if sound {
        return Ok(());
    }
    Err(SelectorError(format!(
        "invalid label key {key:?}: a qualified name must consist of alphanumeric characters, '-', \
         '_' or '.', and must start and end with an alphanumeric character, with an optional DNS \
         subdomain prefix and '/'"
    )))
}

fn check_value(value: &str) -> Result<(), SelectorError> {
    if is_name(value) {
        return Ok(());
    }
    Err(SelectorError(format!(
        "invalid label value {value:?}: a valid label must be an empty string or at most 63 \
         alphanumeric characters, '-', '_' or '.', starting and ending with an alphanumeric one"
    )))
}

/// A field selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

/// Why a field selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Not a field selector.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Syntax {
        /// All of it.
        selector: String,
        /// The part.
        term: String,
    },
    /// A backslash before something that needs none, or at the end.
    #[error("invalid selector: '{selector}'; invalid escape sequence in {value:?}")]
    Escape {
        /// All of it.
        selector: String,
        /// The value.
        value: String,
    },
    /// A field by which nothing can be selected.
    #[error("field label not supported: {0}")]
    Unsupported(String),
}

impl FieldSelector {
    /// Reads `metadata.name=a,metadata.namespace!=b`; other fields than `known` are refused.
    pub fn parse(text: &str, known: &[&str]) -> Result<FieldSelector, FieldError> {
        let mut terms = Vec::new();
        for part in split_unescaped(text) {
            if part.is_empty() {
                continue;
            }
            let syntax = || FieldError::Syntax { selector: text.to_owned(), term: part.to_owned() };
            let at = part.find('=').ok_or_else(syntax)?;
            let (field, equal) = match part[..at].strip_suffix('!') {
                Some(field) => (field, false),
                None => (&part[..at], true),
            };
            let value = &part[at + 1..];
            let value = if equal { value.strip_prefix('=').unwrap_or(value) } else { value };
            let unescaped = unescape(value);
            let value = unescaped.ok_or_else(|| FieldError::Escape {
                selector: text.to_owned(),
                value: value.to_owned(),
            })?;
            if !known.contains(&field) {
                return Err(FieldError::Unsupported(field.to_owned()));
            }
            terms.push(Term { field: field.to_owned(), value, equal });
        }
        Ok(FieldSelector(terms))
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these fields is selected.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|t| (value(&t.field) == t.value) == t.equal)
    }

    /// The value that a field must have, where there is just one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                c @ ('\\' | ',' | '=') => out.push(c),
                _ => return None,
            },
            // Must be escaped within a value.
            '=' | ',' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = Labels::from_pairs(labels.iter().copied());
        Selector::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn all_forms_select() {
        let labels = [("app", "web"), ("tier", "a"), ("rank", "5"), ("empty", "")];
        for yes in [
            "",
            " ",
            "app",
            "app=web",
            "app==web",
            " app = web , tier in ( a , b ) ",
            "app!=db",
            "other!=x",
            "tier notin (b,c)",
            "other notin (b)",
            "!other",
            "rank>4,rank<6",
            "empty=",
            "empty in ()",
            "empty in (x,)",
            "empty",
            "app in (in,notin,web)",
        ] {
            assert!(selects(yes, &labels), "{yes}");
        }
        for no in
            ["other", "app=db", "!app", "rank>5", "app>1", "tier notin (a)", "other=", "app in ()"]
        {
            assert!(!selects(no, &labels), "{no}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for bad in [
            "=",
            "a=b,",
            ",",
            "a in",
            "a in b",
            "a in (b",
            "a b",
            "a=b c",
            "!",
            "!a=b",
            "a>x",
            "a!b",
            "-a",
            "a/b/c",
            "/a",
            "A.b/c=",
            "a=-b",
            "a=b@c",
            "a in (b c)",
            "(a)",
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
        let long = format!("{}=x", "a".repeat(64));
        assert!(Selector::parse(&long).is_err());
    }

    #[test]
    fn printing_and_reading_again_is_the_same() {
        for text in ["a=b", "a!=b", "a in (b,c)", "a notin (b,c)", "a,!b", "x.y/a>3,z<4"] {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.to_string(), text);
            assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn fields() {
        const KNOWN: &[&str] = &["metadata.name", "metadata.namespace"];
        let selects = |text: &str| {
            FieldSelector::parse(text, KNOWN)
                .map(|s| s.matches(|f| if f == "metadata.name" { "a,b" } else { "ns" }))
        };
        assert_eq!(selects(""), Ok(true));
        assert_eq!(selects(r"metadata.name=a\,b"), Ok(true));
        assert_eq!(selects("metadata.namespace==ns"), Ok(true));
        assert_eq!(selects("metadata.namespace!=ns"), Ok(false));
        assert_eq!(selects("metadata.name!=x,metadata.namespace=ns"), Ok(true));
        assert!(matches!(selects("spec.nodeName=x"), Err(FieldError::Unsupported(_))));
        assert!(matches!(selects("metadata.name"), Err(FieldError::Syntax { .. })));
        assert!(matches!(selects(r"metadata.name=a\b"), Err(FieldError::Escape { .. })));
        assert!(matches!(selects("metadata.name=a=b"), Err(FieldError::Escape { .. })));
        let exact = FieldSelector::parse("metadata.name=x", KNOWN).unwrap();
        assert_eq!(exact.exact("metadata.name"), Some("x"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c =!<>(),./\\\\-]{0,24}") {
            if let Ok(selector) = Selector::parse(&text) {
                let printed = selector.to_string();
                proptest::prop_assert_eq!(Selector::parse(&printed), Ok(selector), "{}", printed);
            }
            let _ = FieldSelector::parse(&text, &["a"]);
        }
    }
}
