//! Which format a reader asks for, and how names are written for it.
//!
//! Follows Prometheus's content negotiation: the `Accept` header's media types with their `version`,
//! `q` and `escaping` parameters.

use crate::labels::is_metric_name;
use std::borrow::Cow;

/// A text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// Prometheus text 0.0.4.
    #[default]
    Text,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
}

/// What becomes of a metric or label name that is not `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// Written in quotes as it is, for readers that know UTF-8 names.
    AllowUtf8,
    /// Each other character becomes an underscore.
    #[default]
    Underscores,
    /// Dots become `_dot_`, underscores two, each other character one.
    Dots,
    /// `U__` and the name, each other character as `_HEX_`, each underscore as two.
    Values,
}

/// A format as agreed with a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Format {
    /// The format.
    pub syntax: Syntax,
    /// How unusual names are written.
    pub escaping: Escaping,
}

impl Format {
    /// The format for an `Accept` header (empty: text 0.0.4).
    pub fn negotiate(accept: &str) -> Format {
        let mut best: Option<(f32, Syntax)> = None;
        let mut escaping: Option<(f32, Escaping)> = None;
        for clause in accept.split(',') {
            let mut parts = clause.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or("");
            let (mut version, mut quality, mut asked) = ("", 1.0_f32, None);
            for (name, value) in parts.filter_map(|p| p.split_once('=')) {
                match (name.trim(), value.trim().trim_matches('"')) {
                    ("version", v) => version = v,
                    ("q", v) => quality = v.parse().unwrap_or(0.0),
                    ("escaping", v) => asked = Escaping::named(v),
                    _ => {}
                }
            }
            let syntax = match (media_type, version) {
                ("application/openmetrics-text", "" | "0.0.1" | "1.0.0") => Syntax::OpenMetrics,
                ("text/plain", "" | "0.0.4") => Syntax::Text,
                _ => continue,
            };
            // The first of equal quality wins, as in the order in which the reader wrote them.
            if quality > 0.0 && best.is_none_or(|b| quality > b.0) {
                best = Some((quality, syntax));
                escaping = asked.map(|a| (quality, a)).or(escaping);
            }
        }
        Format {
            syntax: best.map(|b| b.1).unwrap_or_default(),
            escaping: escaping.map(|e| e.1).unwrap_or_default(),
        }
    }

    /// The format of a body with this `Content-Type`; `None` for one that is not read here.
    pub fn of_content_type(content_type: &str) -> Option<Syntax> {
        match content_type.split(';').next().unwrap_or("").trim() {
            "application/openmetrics-text" => Some(Syntax::OpenMetrics),
            "text/plain" => Some(Syntax::Text),
            _ => None,
        }
    }

    /// The `Content-Type` of a body in this format.
    pub fn content_type(self) -> &'static str {
        macro_rules! with_escaping {
            ($base:literal) => {
                match self.escaping {
                    Escaping::AllowUtf8 => concat!($base, "; escaping=allow-utf-8"),
                    Escaping::Underscores => concat!($base, "; escaping=underscores"),
                    Escaping::Dots => concat!($base, "; escaping=dots"),
                    Escaping::Values => concat!($base, "; escaping=values"),
                }
            };
        }
        match self.syntax {
            Syntax::Text => with_escaping!("text/plain; version=0.0.4; charset=utf-8"),
            Syntax::OpenMetrics => {
                with_escaping!("application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
        }
    }
}

impl Escaping {
    /// The scheme of that name in a content type.
    fn named(name: &str) -> Option<Escaping> {
        match name {
            "allow-utf-8" => Some(Escaping::AllowUtf8),
            "underscores" => Some(Escaping::Underscores),
            "dots" => Some(Escaping::Dots),
            "values" => Some(Escaping::Values),
            _ => None,
        }
    }

    /// A name as this scheme writes it. `AllowUtf8` leaves it alone: quoting is the writer's.
    pub fn name(self, name: &str) -> Cow<'_, str> {
        let plain = is_metric_name(name);
        match self {
            Escaping::AllowUtf8 => Cow::Borrowed(name),
            Escaping::Underscores | Escaping::Values if plain => Cow::Borrowed(name),
            Escaping::Dots if plain && !name.contains('_') => Cow::Borrowed(name),
            _ => Cow::Owned(self.escaped(name)),
        }
    }

    fn escaped(self, name: &str) -> String {
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (i, c) in name.chars().enumerate() {
            let legal = c.is_ascii_alphabetic() || c == ':' || (c.is_ascii_digit() && i > 0);
            match (self, c) {
                (Escaping::Underscores, '_') => out.push('_'),
                (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                _ if legal => out.push(c),
                (Escaping::Values, _) => out.push_str(&format!("_{:x}_", u32::from(c))),
                (Escaping::Dots, _) => out.push_str("__"),
                _ => out.push('_'),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiates_as_prometheus_asks() {
        // What Prometheus 3 sends.
        let asked = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     application/openmetrics-text;version=0.0.1;q=0.4,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        let format = Format::negotiate(asked);
        assert_eq!(format, Format { syntax: Syntax::OpenMetrics, escaping: Escaping::AllowUtf8 });
        let type_ =
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
        assert_eq!(format.content_type(), type_);
        assert_eq!(Format::of_content_type(type_), Some(Syntax::OpenMetrics));
        for text in ["", "*/*", "text/html", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::negotiate(text), Format::default(), "{text}");
        }
        let q = "text/plain;q=0.5,application/openmetrics-text;q=0.6";
        assert_eq!(Format::negotiate(q).syntax, Syntax::OpenMetrics);
        let bad = "application/openmetrics-text;q=x, ;;=,text/plain;version=0.0.4";
        assert_eq!(Format::negotiate(bad).syntax, Syntax::Text);
    }

    #[test]
    fn escapes_names_as_prometheus_does() {
        for (name, underscores, dots, values) in [
            ("no_change", "no_change", "no__change", "no_change"),
            ("with.dot", "with_dot", "with_dot_dot", "U__with_2e_dot"),
            ("a/b_c", "a_b_c", "a__b__c", "U__a_2f_b__c"),
            ("1up", "_up", "__up", "U___31_up"),
            ("é", "_", "__", "U___e9_"),
        ] {
            assert_eq!(Escaping::Underscores.name(name), underscores);
            assert_eq!(Escaping::Dots.name(name), dots);
            assert_eq!(Escaping::Values.name(name), values);
            assert_eq!(Escaping::AllowUtf8.name(name), name);
        }
    }
}
