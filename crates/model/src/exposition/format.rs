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
        let (syntax, escaping) =
            choose(accept, |clause| match (clause.media_type, clause.version) {
                ("application/openmetrics-text", "" | "0.0.1" | "1.0.0") => {
                    Some(Syntax::OpenMetrics)
                }
                ("text/plain", "" | "0.0.4") => Some(Syntax::Text),
                _ => None,
            });
        Format { syntax: syntax.unwrap_or_default(), escaping }
    }

    /// As [`Format::negotiate`] where text 0.0.4 and protobuf are offered: whether the reader asks
    /// for the latter, as delimited `io.prometheus.client.MetricFamily`.
    pub fn negotiate_protobuf(accept: &str) -> (bool, Escaping) {
        let (protobuf, escaping) = choose(accept, |clause| {
            let asks = clause.media_type == "application/vnd.google.protobuf"
                && clause.proto == "io.prometheus.client.MetricFamily"
                && matches!(clause.encoding, "" | "delimited");
            let text = clause.media_type == "text/plain" && matches!(clause.version, "" | "0.0.4");
            (asks || text).then_some(asks)
        });
        (protobuf.unwrap_or(false), escaping)
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

/// One media type of an `Accept` header.
struct Clause<'a> {
    media_type: &'a str,
    version: &'a str,
    proto: &'a str,
    encoding: &'a str,
    quality: f32,
    escaping: Option<Escaping>,
}

impl<'a> Clause<'a> {
    fn new(text: &'a str) -> Clause<'a> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or("");
        let (version, proto, encoding) = ("", "", "");
        let mut clause =
            Clause { media_type, version, proto, encoding, quality: 1.0, escaping: None };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            match (name.trim(), value.trim().trim_matches('"')) {
                ("version", v) => clause.version = v,
                ("proto", v) => clause.proto = v,
                ("encoding", v) => clause.encoding = v,
                ("q", v) => clause.quality = v.parse().unwrap_or(0.0),
                ("escaping", v) => clause.escaping = Escaping::named(v),
                _ => {}
            }
        }
        clause
    }
}

/// What is offered for the clause that the reader likes best, and the escaping that was asked for
/// until then.
fn choose<T>(accept: &str, offer: impl Fn(&Clause<'_>) -> Option<T>) -> (Option<T>, Escaping) {
    let mut clauses: Vec<_> =
        accept.split(',').map(Clause::new).filter(|c| c.quality > 0.0).collect();
    // The first of equal quality wins, as in the order in which the reader wrote them.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    let mut escaping = Escaping::default();
    for clause in &clauses {
        escaping = clause.escaping.unwrap_or(escaping);
        if let Some(offered) = offer(clause) {
            return (Some(offered), escaping);
        }
    }
    (None, escaping)
}

impl Escaping {
    /// Its name in a content type.
    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// The scheme of that name in a content type.
    pub fn named(name: &str) -> Option<Escaping> {
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
        for text in ["", "*/*", "text/html", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::negotiate(text), Format::default(), "{text}");
        }
        let q = "text/plain;q=0.5,application/openmetrics-text;q=0.6";
        assert_eq!(Format::negotiate(q).syntax, Syntax::OpenMetrics);
        let bad = "application/openmetrics-text;q=x, ;;=,text/plain;version=0.0.4";
        assert_eq!(Format::negotiate(bad).syntax, Syntax::Text);
    }

    #[test]
    fn protobuf_is_given_to_those_who_like_it_better() {
        let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily";
        for (accept, wanted) in [
            (format!("{proto};encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.2"), true),
            (format!("{proto};encoding=delimited;q=0.1,text/plain;version=0.0.4;q=0.2"), false),
            (format!("application/openmetrics-text;q=0.9,{proto};q=0.6"), true),
            (format!("{proto};encoding=compact-text"), false),
            ("application/vnd.google.protobuf;proto=other".into(), false),
            (String::new(), false),
        ] {
            assert_eq!(Format::negotiate_protobuf(&accept).0, wanted, "{accept}");
        }
        let escaped = format!("{proto};encoding=delimited;escaping=allow-utf-8");
        assert_eq!(Format::negotiate_protobuf(&escaped), (true, Escaping::AllowUtf8));
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
