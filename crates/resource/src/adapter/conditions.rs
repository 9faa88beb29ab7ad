//! Label selectors in PromQL's words.

use cluster::{Selector, Test};
use model::labels::{Quoted, is_label_name};
use std::collections::BTreeMap;

/// A selector asks for what no matcher of PromQL can say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metric selectors know no {0}: write =, !=, in, notin or a label's name")]
pub struct Unsupported(&'static str);

/// What a template gets of labels: matchers, and the values by label.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conditions {
    /// `a="b"`, `c=~"d|e"`
    pub matchers: Vec<String>,
    /// The values of each label, joined by `|`.
    pub values: BTreeMap<String, String>,
}

impl Conditions {
    /// From a selector of series.
    pub fn of(selector: &Selector) -> Result<Conditions, Unsupported> {
        let mut conditions = Conditions::default();
        for requirement in selector.requirements() {
            let key = requirement.key.as_str();
            let none: [&str; 0] = [];
            match &requirement.test {
                Test::In(values) => conditions.add(key, values, ["=", "=~"]),
                Test::NotIn(values) => conditions.add(key, values, ["!=", "!~"]),
                Test::Exists => conditions.add(key, &none[..], ["!=", "!="]),
                Test::Absent => conditions.add(key, &none[..], ["=", "="]),
                Test::Above(_) => return Err(Unsupported(">")),
                Test::Below(_) => return Err(Unsupported("<")),
            }
        }
        Ok(conditions)
    }

    /// Adds that a label has one of some values.
    pub fn add_equal(&mut self, label: &str, values: &[impl AsRef<str>]) {
        self.add(label, values, ["=", "=~"]);
    }

    /// `operators` are those for one value (or none) and for several.
    fn add(&mut self, label: &str, values: &[impl AsRef<str>], operators: [&str; 2]) {
        let name = match is_label_name(label) {
            true => label.to_owned(),
            false => Quoted(label).to_string(),
        };
        let plain: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        let joined = plain.join("|");
        let matcher = match plain.as_slice() {
            [] => format!("{name}{}\"\"", operators[0]),
            [one] => format!("{name}{}{}", operators[0], Quoted(one)),
            several => {
                // A dot in a pod's name stands for itself.
                let escaped: Vec<String> = several.iter().map(|v| v.replace('.', "\\.")).collect();
                format!("{name}{}{}", operators[1], Quoted(&escaped.join("|")))
            }
        };
        self.matchers.push(matcher);
        self.values.insert(label.to_owned(), joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_become_matchers() {
        let selector =
            Selector::parse("verb=GET,code in (200,201),!canary,path,zone notin (a),x!=y");
        let conditions = Conditions::of(&selector.expect("parses")).expect("can be said");
        let expected = [
            "canary=\"\"",
            "code=~\"200|201\"",
            "path!=\"\"",
            "verb=\"GET\"",
            "x!=\"y\"",
            "zone!=\"a\"",
        ];
        assert_eq!(conditions.matchers, expected);
        assert_eq!(conditions.values["code"], "200|201");
        let dotted = Selector::parse("app.kubernetes.io/name=web").expect("parses");
        let conditions = Conditions::of(&dotted).expect("can be said");
        assert_eq!(conditions.matchers, ["\"app.kubernetes.io/name\"=\"web\""]);
        let above = Selector::parse("rank>3").expect("parses");
        assert!(Conditions::of(&above).expect_err("not said").to_string().contains("no >"));
    }
}
