//! Configuration files in YAML, read with places, so that all mistakes of a file are told at once,
//! each with its line and column.
//!
//! Never here: what a file means, and the file itself: a caller brings the text. YAML is read by
//! `saphyr`; of several documents in one text the first counts.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, Yaml, YamlEmitter};
use std::fmt;

/// A node of a file.
pub type Node<'y> = MarkedYaml<'y>;

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

/// All mistakes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// How the file is called in messages.
    pub file: String,
    /// At least one, in the order of the text.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.problems.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}", self.file)?;
            if p.line > 0 {
                write!(f, ":{}:{}", p.line, p.column)?;
            }
            write!(f, ": {}", p.what)?;
        }
        Ok(())
    }
}

impl Problems {
    /// The one mistake that a file could not be read.
    pub fn unreadable(file: &str, why: &std::io::Error) -> Problems {
        let what = format!("cannot read it: {why}");
        Problems { file: file.into(), problems: vec![Problem { line: 0, column: 0, what }] }
    }
}

/// Takes the nodes of one text apart and collects what is wrong with them.
#[derive(Debug, Default)]
pub struct Reader {
    problems: Vec<Problem>,
}

/// An entry of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'n, 'y> {
    /// The key.
    pub name: &'n str,
    /// The key's node, for its place.
    pub key: &'n Node<'y>,
    /// The value.
    pub value: &'n Node<'y>,
}

/// Reads a text: `root` gets its first document and takes from it what it wants. `file` is how the
/// text is called in messages.
pub fn read<T: Default>(
    text: &str,
    file: &str,
    root: impl FnOnce(&mut Reader, &Node<'_>) -> T,
) -> Result<T, Problems> {
    let mut reader = Reader::default();
    let mut read = T::default();
    match MarkedYaml::load_from_str(text) {
        Ok(documents) => {
            if let Some(document) = documents.first() {
                read = root(&mut reader, document);
            }
        }
        Err(error) => {
            let place = error.marker();
            // What is missing at the end of a text is told at a line behind it.
            let lines = text.matches(['\r', '\n']).count() + 1;
            reader.problem_at(place.line().min(lines), place.col() + 1, error.info());
        }
    }
    if reader.problems.is_empty() {
        return Ok(read);
    }
    reader.problems.sort_by_key(|p| (p.line, p.column));
    Err(Problems { file: file.into(), problems: reader.problems })
}

/// What stands for a secret.
pub const HIDDEN: &str = "<secret>";

/// A text's first document printed anew: without comments, what stands below keys that are secret replaced by
/// [`HIDDEN`], and passwords within URLs by `xxxxx`. Empty where the text cannot be read.
pub fn without_secrets(text: &str, is_secret: impl Fn(&str) -> bool) -> String {
    let Ok(documents) = Yaml::load_from_str(text) else { return String::new() };
    let Some(mut document) = documents.into_iter().next() else { return String::new() };
    hide(&mut document, &is_secret);
    let mut out = String::new();
    if YamlEmitter::new(&mut out).dump(&document).is_err() {
        return String::new();
    }
    let out = out.strip_prefix("---\n").unwrap_or(&out);
    // Plain, as Prometheus prints it; the quotes are not needed.
    format!("{}\n", out.trim_end().replace(&format!("{HIDDEN:?}"), HIDDEN))
}

fn hide(node: &mut Yaml<'_>, is_secret: &dyn Fn(&str) -> bool) {
    match node {
        Yaml::Sequence(items) => items.iter_mut().for_each(|item| hide(item, is_secret)),
        Yaml::Tagged(_, inner) => hide(inner, is_secret),
        Yaml::Mapping(entries) => {
            for (key, value) in entries.iter_mut() {
                let stays = value.is_null() || value.as_str().is_some_and(str::is_empty);
                match key.as_str() {
                    Some(name) if is_secret(name) && !stays => {
                        *value = Yaml::Value(Scalar::String(HIDDEN.into()));
                    }
                    _ => hide(value, is_secret),
                }
            }
        }
        Yaml::Value(Scalar::String(text)) => {
            if let Some(hidden) = without_password(text) {
                *text = hidden.into();
            }
        }
        _ => {}
    }
}

/// A URL without its password; `None` where it has none.
fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@')?;
    let (name, _) = user.split_once(':')?;
    Some(format!("{scheme}://{name}:xxxxx@{host}{path}"))
}

impl Reader {
    /// A mistake at a node.
    pub fn problem(&mut self, at: &Node<'_>, what: impl Into<String>) {
        let start = at.span.start;
        self.problem_at(start.line(), start.col() + 1, what);
    }

    /// A mistake at a place, both counted from 1.
    pub fn problem_at(&mut self, line: usize, column: usize, what: impl Into<String>) {
        self.problems.push(Problem { line, column, what: what.into() });
    }

    /// How many mistakes were found so far.
    pub fn found(&self) -> usize {
        self.problems.len()
    }

    /// The entries of a mapping, keys checked against `known` (empty: any key goes). `section` is
    /// how the mapping is called in messages.
    pub fn entries<'n, 'y>(
        &mut self,
        node: &'n Node<'y>,
        section: &str,
        known: &[&str],
    ) -> Vec<Entry<'n, 'y>> {
        if node.data.is_null() {
            return Vec::new();
        }
        let Some(mapping) = node.data.as_mapping() else {
            self.problem(node, format!("{section} must be a mapping of keys to values"));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (key, value) in mapping {
            match key.data.as_str() {
                Some(name) if known.is_empty() || known.contains(&name) => {
                    entries.push(Entry { name, key, value });
                }
                Some(name) => {
                    let known = known.join(", ");
                    let what = format!("unknown field {name:?} in {section}; there are {known}");
                    self.problem(key, what);
                }
                None => self.problem(key, format!("a key of {section} must be a string")),
            }
        }
        entries
    }

    /// The items of a list; none of `null`.
    pub fn items<'n, 'y>(&mut self, node: &'n Node<'y>, name: &str) -> &'n [Node<'y>] {
        if node.data.is_null() {
            return &[];
        }
        match node.data.as_sequence() {
            Some(items) => items,
            None => {
                self.problem(node, format!("{name} must be a list"));
                &[]
            }
        }
    }

    /// A string; a number or a truth value stands for its digits or its word, as Go's reader of
    /// YAML takes them.
    pub fn text(&mut self, node: &Node<'_>, name: &str) -> Option<String> {
        let data = &node.data;
        let text = data.as_str().map(str::to_owned);
        let text = text.or_else(|| data.as_integer().map(|n| n.to_string()));
        let text = text.or_else(|| data.as_floating_point().map(|n| n.to_string()));
        let text = text.or_else(|| data.as_bool().map(|b| b.to_string()));
        if text.is_none() && data.is_null() {
            return Some(String::new());
        }
        if text.is_none() {
            self.problem(node, format!("{name} must be a string"));
        }
        text
    }

    /// A list of strings.
    pub fn texts(&mut self, node: &Node<'_>, name: &str) -> Vec<String> {
        let items = self.items(node, name);
        items.iter().filter_map(|item| self.text(item, &format!("an item of {name}"))).collect()
    }

    /// `true` or `false`.
    pub fn flag(&mut self, node: &Node<'_>, name: &str) -> Option<bool> {
        let flag = node.data.as_bool();
        if flag.is_none() {
            self.problem(node, format!("{name} must be true or false"));
        }
        flag
    }

    /// A whole number that is not negative.
    pub fn count(&mut self, node: &Node<'_>, name: &str) -> Option<u64> {
        let count = node.data.as_integer().and_then(|n| u64::try_from(n).ok());
        if count.is_none() {
            self.problem(node, format!("{name} must be a whole number of 0 or more"));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_printed() {
        let text = "# why\na: {password: hush, user: \"1\", password_file: p}\nb:\n- url: https://me:hush@h:1/x?a=b@c\n  \
                    keys: [hush]\n- password: ''\n- http://you@h\n";
        let is_secret = |key: &str| ["password", "keys"].contains(&key);
        let wanted = "a:\n  password: <secret>\n  user: \"1\"\n  password_file: p\nb:\n  - url: \"https://me:xxxxx@h:1/x?a=b@c\"\n    \
                      keys: <secret>\n  - password: \"\"\n  - \"http://you@h\"\n";
        assert_eq!(without_secrets(text, is_secret), wanted);
        assert_eq!(without_secrets("a: [", is_secret), "");
        assert_eq!(without_secrets("", is_secret), "");
    }

    #[test]
    fn all_mistakes_at_once_in_the_order_of_the_text() {
        let text = "b: [1, x]\na: maybe\nc: 1\nlist: {}\n";
        let problems = read(text, "f.yml", |reader, root| {
            for entry in reader.entries(root, "the file", &["a", "b", "list"]) {
                match entry.name {
                    "a" => drop(reader.flag(entry.value, "a")),
                    "list" => drop(reader.items(entry.value, "list")),
                    _ => assert_eq!(reader.texts(entry.value, "b"), ["1", "x"]),
                }
            }
        });
        let text = problems.expect_err("mistakes").to_string();
        let expected = [
            "f.yml:2:4: a must be true or false",
            "f.yml:3:1: unknown field \"c\" in the file; there are a, b, list",
            "f.yml:4:7: list must be a list",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let broken = read("a: [", "f.yml", |_, _| ()).expect_err("not YAML").to_string();
        assert!(broken.starts_with("f.yml:"), "{broken}");
        read("", "f.yml", |_, _| ()).expect("an empty file is one");
    }
}
