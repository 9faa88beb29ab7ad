//! Relabelling: rules that change a label set, or drop it.
//!
//! Never here: how rules are written in a file. Followed is Prometheus's `configuration.md`,
//! "relabel_config", and the behaviour of `model/relabel/relabel.go`, version 3.15, with UTF-8 names.

use crate::labels::{Labels, LabelsBuilder};
use crate::matcher::anchored_regex;
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use std::fmt;
use std::sync::Arc;

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the replacement where the expression matches.
    #[default]
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops that whose target label is not the joined source labels.
    KeepEqual,
    /// Drops that whose target label is the joined source labels.
    DropEqual,
    /// Sets the target label to the modulus of a hash of the source labels.
    HashMod,
    /// Copies labels whose names match to the replacement's name.
    LabelMap,
    /// Deletes labels whose names match.
    LabelDrop,
    /// Deletes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the source labels in lower case.
    Lowercase,
    /// Sets the target label to the source labels in upper case.
    Uppercase,
}

/// All actions with their names.
const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl Action {
    /// The action of a name, in any case.
    pub fn of_name(name: &str) -> Option<Action> {
        ACTIONS.iter().find(|a| a.0.eq_ignore_ascii_case(name)).map(|a| a.1)
    }

    /// As a configuration file writes it.
    pub fn name(self) -> &'static str {
        ACTIONS.iter().find(|a| a.1 == self).map_or("", |a| a.0)
    }

    fn has_target(self) -> bool {
        use Action::{DropEqual, HashMod, KeepEqual, Lowercase, Replace, Uppercase};
        matches!(self, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual)
    }
}

/// An expression that must match a whole text.
#[derive(Clone)]
pub struct Expression {
    text: String,
    regex: Arc<Regex>,
}

impl Expression {
    /// Compiles it; fails with the reason, worded for who wrote it.
    pub fn new(text: &str) -> Result<Expression, String> {
        Ok(Expression { text: text.into(), regex: Arc::new(anchored_regex(text)?) })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// A rule, every field as the file has it; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// Their values are joined to the text that is looked at.
    pub source_labels: Vec<String>,
    /// Stands between them; `;`.
    pub separator: Option<String>,
    /// What the text, or a label's name, must match; `(.*)`.
    pub regex: Option<Expression>,
    /// What the hash is divided by.
    pub modulus: u64,
    /// The label that is set.
    pub target_label: String,
    /// What it is set to, `$1` standing for the first group; `$1`.
    pub replacement: Option<String>,
}

/// Where nothing else is given.
const REPLACEMENT: &str = "$1";

impl Rule {
    /// What of the rule makes no sense.
    pub fn check(&self) -> Result<(), String> {
        let (name, target) = (self.action.name(), &self.target_label);
        if self.action.has_target() && target.is_empty() {
            return Err(format!("the action {name} needs a target_label"));
        }
        let is_default =
            self.separator.is_none() && self.replacement.is_none() && self.modulus == 0;
        match self.action {
            Action::HashMod if self.modulus == 0 => {
                Err("the action hashmod needs a modulus of 1 or more".into())
            }
            Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
                if self.replacement.as_deref().is_some_and(|r| r != REPLACEMENT) =>
            {
                Err(format!("the action {name} takes no replacement"))
            }
            Action::KeepEqual | Action::DropEqual if !is_default || self.regex.is_some() => {
                Err(format!("the action {name} takes source_labels and target_label alone"))
            }
            Action::LabelDrop | Action::LabelKeep
                if !is_default || !self.source_labels.is_empty() || !target.is_empty() =>
            {
                Err(format!("the action {name} takes a regex alone"))
            }
            Action::LabelMap if self.replacement.as_deref() == Some("") => {
                Err("the action labelmap needs a replacement".into())
            }
            _ => Ok(()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        self.regex.as_ref().is_none_or(|r| r.regex.is_match(text))
    }

    fn replacement(&self) -> &str {
        self.replacement.as_deref().unwrap_or(REPLACEMENT)
    }

    /// What stands for a template once the expression matched `text`; `None` where it does not.
    fn expand(&self, text: &str, templates: [&str; 2]) -> Option<[String; 2]> {
        let Some(expression) = &self.regex else {
            let group = |name: &str| matches!(name, "0" | "1").then_some(text);
            return Some(templates.map(|t| expand(t, group)));
        };
        let mut captures = expression.regex.create_captures();
        expression.regex.captures(text, &mut captures);
        captures
            .is_match()
            .then(|| templates.map(|t| expand(t, |name| group(&captures, name, text))))
    }

    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let separator = self.separator.as_deref().unwrap_or(";");
        let mut text = String::new();
        for (i, name) in self.source_labels.iter().enumerate() {
            text.push_str(if i == 0 { "" } else { separator });
            text.push_str(labels.get(name));
        }
        let target = &self.target_label;
        match self.action {
            Action::Keep => return self.matches(&text),
            Action::Drop => return !self.matches(&text),
            Action::KeepEqual => return labels.get(target) == text,
            Action::DropEqual => return labels.get(target) != text,
            Action::Replace => {
                if let Some([target, value]) = self.expand(&text, [target, self.replacement()])
                    && !target.is_empty()
                {
                    labels.set(&target, &value);
                }
            }
            Action::HashMod => {
                labels.set(target, &(hash(&text) % self.modulus.max(1)).to_string());
            }
            Action::Lowercase => {
                labels.set(target, &text.to_lowercase());
            }
            Action::Uppercase => {
                labels.set(target, &text.to_uppercase());
            }
            Action::LabelMap => {
                for (name, value) in labels.pairs() {
                    if let Some([to, _]) = self.expand(&name, [self.replacement(), ""]) {
                        labels.set(&to, &value);
                    }
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                for (name, _) in labels.pairs() {
                    if self.matches(&name) == (self.action == Action::LabelDrop) {
                        labels.del(&name);
                    }
                }
            }
        }
        true
    }
}

/// What rules make of a label set; `None` where they drop it.
pub fn relabel(rules: &[Rule], labels: &Labels) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.builder();
    rules.iter().all(|rule| rule.apply(&mut builder)).then(|| builder.build())
}

/// The last eight bytes of the MD5 of a text, as Prometheus takes them.
fn hash(text: &str) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = md5::compute(text.as_bytes()).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn group<'t>(captures: &Captures, name: &str, text: &'t str) -> Option<&'t str> {
    let span = match name.parse::<usize>() {
        Ok(number) => captures.get_group(number),
        Err(_) => captures.get_group_by_name(name),
    };
    span.and_then(|s| text.get(s.range()))
}

/// Puts groups in the place of `$1`, `${1}` and `$name`; `$$` is a dollar. A group that is not
/// there is empty, what is no name stays as it is: the rules of Go's `regexp.Expand`.
fn expand<'t>(template: &str, group: impl Fn(&str) -> Option<&'t str>) -> String {
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
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let braced = rest.strip_prefix('{').and_then(|inner| {
            let end = inner.find('}')?;
            let name = &inner[..end];
            (!name.is_empty() && name.chars().all(is_name)).then_some((name, end + 2))
        });
        let bare = || {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            (end > 0).then_some((&rest[..end], end))
        };
        match if rest.starts_with('{') { braced } else { bare() } {
            Some((name, length)) => {
                out.push_str(group(name).unwrap_or(""));
                rest = &rest[length..];
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    fn rule(action: &str, source: &str, regex: &str, target: &str, replacement: &str) -> Rule {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Rule {
            action: Action::of_name(action).expect("an action"),
            source_labels: source.split_whitespace().map(str::to_owned).collect(),
            regex: some(regex).map(|r| Expression::new(&r).expect("compiles")),
            target_label: target.into(),
            replacement: some(replacement),
            ..Rule::default()
        }
    }

    fn apply(rules: &[Rule], pairs: &[(&str, &str)]) -> String {
        relabel(rules, &labels(pairs)).map_or("dropped".into(), |l| l.to_string())
    }

    /// Inputs and results are those of Prometheus's own behaviour (checked in the whole-program
    /// test against a real one).
    #[test]
    fn every_action() {
        let set = [("a", "foo"), ("b", "bar"), ("c", "baz")];
        let one = |r: Rule| apply(&[r], &set);
        assert_eq!(
            one(rule("replace", "a", "f(.*)", "d", "ch${1}-ch$1")),
            r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#
        );
        assert_eq!(
            one(rule("Replace", "a b", "foo;(.*)", "${1}x", "$1")),
            r#"{a="foo", b="bar", barx="bar", c="baz"}"#
        );
        assert_eq!(one(rule("replace", "a", "no", "d", "x")), r#"{a="foo", b="bar", c="baz"}"#);
        assert_eq!(
            one(rule("replace", "", "", "d", "fixed")),
            r#"{a="foo", b="bar", c="baz", d="fixed"}"#
        );
        assert_eq!(one(rule("replace", "a", "fo(x)?o", "a", "$1")), r#"{b="bar", c="baz"}"#);
        assert_eq!(
            one(rule("replace", "a", "(?P<n>f)oo", "d", "$n$$")),
            r#"{a="foo", b="bar", c="baz", d="f$"}"#
        );
        assert_eq!(one(rule("keep", "a", "f.o", "", "")), r#"{a="foo", b="bar", c="baz"}"#);
        assert_eq!(one(rule("keep", "a", "o", "", "")), "dropped");
        assert_eq!(one(rule("drop", "a b", "foo;b.*", "", "")), "dropped");
        assert_eq!(one(rule("keepequal", "a", "", "b", "")), "dropped");
        assert_eq!(one(rule("dropequal", "a", "", "b", "")), r#"{a="foo", b="bar", c="baz"}"#);
        assert_eq!(
            one(rule("labelmap", "", "([ab])", "", "x_$1")),
            r#"{a="foo", b="bar", c="baz", x_a="foo", x_b="bar"}"#
        );
        assert_eq!(one(rule("labeldrop", "", "[ab]", "", "")), r#"{c="baz"}"#);
        assert_eq!(one(rule("labelkeep", "", "[ab]", "", "")), r#"{a="foo", b="bar"}"#);
        assert_eq!(one(rule("uppercase", "a", "", "a", "")), r#"{a="FOO", b="bar", c="baz"}"#);
        assert_eq!(
            apply(&[rule("lowercase", "a", "", "d", "")], &[("a", "FoÖ")]),
            r#"{a="FoÖ", d="foö"}"#
        );
        let hashed = Rule { modulus: 1000, ..rule("hashmod", "c", "", "d", "") };
        assert_eq!(one(hashed), r#"{a="foo", b="bar", c="baz", d="976"}"#);
        let joined = Rule {
            separator: Some("||".into()),
            ..rule("replace", "a b", "foo\\|\\|(.*)", "a", "")
        };
        assert_eq!(one(joined), r#"{a="bar", b="bar", c="baz"}"#);
        assert_eq!(apply(&[], &set), r#"{a="foo", b="bar", c="baz"}"#);
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        let check = |r: Rule| r.check().expect_err("refused");
        assert!(check(rule("replace", "a", "", "", "")).contains("needs a target_label"));
        assert!(check(rule("hashmod", "a", "", "b", "")).contains("modulus"));
        assert!(check(rule("lowercase", "a", "", "b", "x")).contains("takes no replacement"));
        assert!(check(rule("keepequal", "a", "x", "b", "")).contains("alone"));
        assert!(check(rule("labeldrop", "a", "x", "", "")).contains("regex alone"));
        assert!(rule("keep", "a", "x", "", "").check().is_ok());
        assert!(Action::of_name("other").is_none());
    }

    proptest! {
        /// Without an expression a rule does what it does with the one that it stands for.
        #[test]
        fn the_defaults_are_those_of_the_documentation(
            pairs in prop::collection::vec(("[a-c]", "[x-z]{0,3}"), 0..4), source in "[a-d ]{0,4}", template in "[$a-c1{}]{0,6}",
        ) {
            let set: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            for action in ["replace", "keep", "drop", "labelmap"] {
                let bare = rule(action, &source, "", "t", &template);
                let said = Rule { separator: Some(";".into()), ..rule(action, &source, "(.*)", "t", &template) };
                prop_assert_eq!(apply(&[bare], &set), apply(&[said], &set));
            }
        }

        #[test]
        fn no_template_breaks_it(template in ".{0,20}", text in ".{0,20}") {
            let _ = expand(&template, |name| (name == "1").then_some(text.as_str()));
            let _ = apply(&[rule("replace", "a", "(.*)", &template, &template)], &[("a", &text)]);
        }
    }
}
