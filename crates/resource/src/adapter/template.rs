//! The part of Go's `text/template` that rule files use, between `<<` and `>>`.
//!
//! Done are text, comments, trim markers, fields, variables, pipelines, `if`, `range`, `with`,
//! `break`, `continue` and the built-in functions that make sense in a query (`index`, `slice`, `len`,
//! `print…`, comparisons, `and`, `or`, `not`). What is left out (`define`, `template`, `block`,
//! `call`, `html`, `js`, `urlquery`) is refused by name when the rule file is read. Follows the
//! documentation of Go's `text/template`.

mod evaluate;
mod lexer;
mod parse;
mod value;

use parse::Part;
use std::collections::BTreeMap;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
    /// As it was given: errors name places in it.
    text: String,
}

/// What a template can name: `.Series`, `.LabelMatchers` and so on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    fields: BTreeMap<&'static str, Field>,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A string.
    Text(String),
    /// A list of strings.
    List(Vec<String>),
    /// A map of strings.
    Map(BTreeMap<String, String>),
}

/// Why a template is none, or why it gives no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at} of the template")]
pub struct TemplateError {
    /// Where in the template, in characters counted from 1.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

impl Fields {
    /// With one field more.
    pub fn with(mut self, name: &'static str, field: Field) -> Fields {
        self.fields.insert(name, field);
        self
    }

    fn get(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let parts = parse::parse(text).map_err(|e| e.place(text))?;
        Ok(Template { parts, text: text.to_owned() })
    }

    /// The text that it gives; at most 64 KiB of it.
    ///
    /// Fails where Go's does: a field that there is not, an index beyond the end, a comparison of
    /// things that cannot be compared.
    pub fn run(&self, fields: &Fields) -> Result<String, TemplateError> {
        evaluate::run(&self.parts, fields).map_err(|e| e.place(&self.text))
    }
}

/// An error by its byte in the template.
#[derive(Debug)]
struct At {
    at: usize,
    what: String,
}

impl At {
    fn new(at: usize, what: impl Into<String>) -> At {
        At { at, what: what.into() }
    }

    fn place(self, text: &str) -> TemplateError {
        let before = text.char_indices().take_while(|(at, _)| *at < self.at).count();
        TemplateError { at: before + 1, what: self.what }
    }
}

#[cfg(test)]
mod tests;
