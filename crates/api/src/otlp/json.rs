//! OTLP in JSON becomes OTLP in protobuf, field by field, so that one reader serves both. The
//! mapping is protobuf's own for JSON with OTLP's exceptions: identifiers are hexadecimal, names may
//! be in camel or snake case, enumerations are numbers.

use model::protobuf::{put_bytes, put_varint};
use serde_json::{Map, Value};

/// What a field holds.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Bool,
    /// `uint32`, `uint64`, `int64` and enumerations.
    Integer,
    Zigzag,
    Fixed64,
    Double,
    Hexadecimal,
    Base64,
    /// By the address of its fields, which may hold the same message again.
    Message(&'static &'static [Field]),
}

/// Name in camel case, number, type; lists are told from single values by the JSON itself.
type Field = (&'static str, u32, Type);

use Type::{Base64, Bool, Double, Fixed64, Hexadecimal, Integer, Message, Text, Zigzag};

static REQUEST: &[Field] = &[("resourceMetrics", 1, Message(&RESOURCE_METRICS))];
static RESOURCE_METRICS: &[Field] = &[
    ("resource", 1, Message(&RESOURCE)),
    ("scopeMetrics", 2, Message(&SCOPE_METRICS)),
    ("schemaUrl", 3, Text),
];
static SCOPE_METRICS: &[Field] =
    &[("scope", 1, Message(&SCOPE)), ("metrics", 2, Message(&METRIC)), ("schemaUrl", 3, Text)];
static SCOPE: &[Field] =
    &[("name", 1, Text), ("version", 2, Text), ("attributes", 3, Message(&KEY_VALUE))];
static METRIC: &[Field] = &[
    ("name", 1, Text),
    ("description", 2, Text),
    ("unit", 3, Text),
    ("gauge", 5, Message(&GAUGE)),
    ("sum", 7, Message(&SUM)),
    ("histogram", 9, Message(&HISTOGRAM)),
    ("exponentialHistogram", 10, Message(&EXPONENTIAL)),
    ("summary", 11, Message(&SUMMARY)),
];
static SUM: &[Field] = &[
    ("dataPoints", 1, Message(&NUMBER)),
    ("aggregationTemporality", 2, Integer),
    ("isMonotonic", 3, Bool),
];
static HISTOGRAM: &[Field] =
    &[("dataPoints", 1, Message(&HISTOGRAM_POINT)), ("aggregationTemporality", 2, Integer)];
static EXPONENTIAL: &[Field] =
    &[("dataPoints", 1, Message(&EXPONENTIAL_POINT)), ("aggregationTemporality", 2, Integer)];
static NUMBER: &[Field] = &[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("asDouble", 4, Double),
    ("exemplars", 5, Message(&EXEMPLAR)),
    ("asInt", 6, Fixed64),
    ("attributes", 7, Message(&KEY_VALUE)),
    ("flags", 8, Integer),
];
static HISTOGRAM_POINT: &[Field] = &[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("bucketCounts", 6, Fixed64),
    ("explicitBounds", 7, Double),
    ("exemplars", 8, Message(&EXEMPLAR)),
    ("attributes", 9, Message(&KEY_VALUE)),
    ("flags", 10, Integer),
];
static BUCKETS: &[Field] = &[("offset", 1, Zigzag), ("bucketCounts", 2, Integer)];
static EXPONENTIAL_POINT: &[Field] = &[
    ("attributes", 1, Message(&KEY_VALUE)),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("scale", 6, Zigzag),
    ("zeroCount", 7, Fixed64),
    ("positive", 8, Message(&BUCKETS)),
    ("negative", 9, Message(&BUCKETS)),
    ("flags", 10, Integer),
    ("exemplars", 11, Message(&EXEMPLAR)),
];
static SUMMARY_POINT: &[Field] = &[
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("count", 4, Fixed64),
    ("sum", 5, Double),
    ("quantileValues", 6, Message(&QUANTILE)),
    ("attributes", 7, Message(&KEY_VALUE)),
    ("flags", 8, Integer),
];
static EXEMPLAR: &[Field] = &[
    ("timeUnixNano", 2, Fixed64),
    ("asDouble", 3, Double),
    ("spanId", 4, Hexadecimal),
    ("traceId", 5, Hexadecimal),
    ("asInt", 6, Fixed64),
    ("filteredAttributes", 7, Message(&KEY_VALUE)),
];
static RESOURCE: &[Field] = &[("attributes", 1, Message(&KEY_VALUE))];
static GAUGE: &[Field] = &[("dataPoints", 1, Message(&NUMBER))];
static SUMMARY: &[Field] = &[("dataPoints", 1, Message(&SUMMARY_POINT))];
static QUANTILE: &[Field] = &[("quantile", 1, Double), ("value", 2, Double)];
static LIST: &[Field] = &[("values", 1, Message(&ANY))];
static MAP: &[Field] = &[("values", 1, Message(&KEY_VALUE))];
static KEY_VALUE: &[Field] = &[("key", 1, Text), ("value", 2, Message(&ANY))];
static ANY: &[Field] = &[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Integer),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, Message(&LIST)),
    ("kvlistValue", 6, Message(&MAP)),
    ("bytesValue", 7, Base64),
];

/// Translates an `ExportMetricsServiceRequest`; says what is wrong with it, and where.
pub fn to_protobuf(json: &[u8]) -> Result<Vec<u8>, String> {
    let value: Value = serde_json::from_slice(json).map_err(|e| format!("malformed JSON: {e}"))?;
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut place = String::new();
    match value {
        Value::Object(object) => message(&mut out, REQUEST, &object, &mut place)?,
        _ => return Err("malformed JSON: the request is not an object".into()),
    }
    Ok(out)
}

fn message(
    out: &mut Vec<u8>,
    fields: &[Field],
    object: &Map<String, Value>,
    place: &mut String,
) -> Result<(), String> {
    for (name, value) in object {
        let Some(&(known, number, kind)) = fields.iter().find(|f| is_name(name, f.0)) else {
            continue; // as protobuf's readers do with what is newer than they are
        };
        let before = place.len();
        place.push('.');
        place.push_str(known);
        match value {
            Value::Array(list) => {
                for value in list {
                    field(out, number, kind, value, place)?;
                }
            }
            // No value, in every type.
            Value::Null => {}
            value => field(out, number, kind, value, place)?,
        }
        place.truncate(before);
    }
    Ok(())
}

/// Whether a name in camel or snake case is this one in camel case.
fn is_name(name: &str, camel: &str) -> bool {
    if name == camel {
        return true;
    }
    let mut chars = name.chars();
    camel.chars().all(|wanted| match chars.next() {
        Some('_') => chars.next().is_some_and(|c| c.to_ascii_uppercase() == wanted),
        Some(c) => c == wanted,
        None => false,
    }) && chars.next().is_none()
}

fn field(
    out: &mut Vec<u8>,
    number: u32,
    kind: Type,
    value: &Value,
    place: &mut String,
) -> Result<(), String> {
    let wrong = |what: &str, place: &str| {
        let shown: String = value.to_string().chars().take(100).collect();
        Err(format!("malformed JSON: {} is not {what}: {shown}", place.trim_start_matches('.')))
    };
    let key = |out: &mut Vec<u8>, wire: u32| put_varint(out, u64::from(number << 3 | wire));
    match kind {
        Text => match value {
            Value::String(text) => put_bytes(out, number, text.as_bytes()),
            _ => return wrong("a text", place),
        },
        Bool => match value {
            Value::Bool(yes) => {
                key(out, 0);
                put_varint(out, u64::from(*yes));
            }
            _ => return wrong("true or false", place),
        },
        Integer | Zigzag | Fixed64 => {
            let Some(whole) = integer(value) else { return wrong("a whole number", place) };
            match kind {
                Fixed64 => {
                    key(out, 1);
                    out.extend_from_slice(&whole.to_le_bytes());
                }
                Zigzag => {
                    let signed = whole as i64;
                    key(out, 0);
                    put_varint(out, ((signed << 1) ^ (signed >> 63)) as u64);
                }
                _ => {
                    key(out, 0);
                    put_varint(out, whole);
                }
            }
        }
        Double => {
            let Some(double) = double(value) else { return wrong("a number", place) };
            key(out, 1);
            out.extend_from_slice(&double.to_bits().to_le_bytes());
        }
        Hexadecimal => match value.as_str().and_then(hexadecimal) {
            Some(bytes) => put_bytes(out, number, &bytes),
            None => return wrong("hexadecimal", place),
        },
        Base64 => match value.as_str().and_then(base64) {
            Some(bytes) => put_bytes(out, number, &bytes),
            None => return wrong("base64", place),
        },
        Message(fields) => {
            let Value::Object(object) = value else { return wrong("an object", place) };
            let mut inner = Vec::new();
            message(&mut inner, fields, object, place)?;
            put_bytes(out, number, &inner);
        }
    }
    Ok(())
}

/// A whole number, also as a text, as the bits of 64.
fn integer(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_i64().map(i64::cast_unsigned)).or_else(|| {
                let float = number.as_f64()?;
                (float.trunc() == float && float.abs() < 9e15).then_some(float as i64 as u64)
            })
        }
        Value::String(text) => {
            text.parse().ok().or_else(|| text.parse().ok().map(i64::cast_unsigned))
        }
        _ => None,
    }
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16);
    let pair = |p: &[u8; 2]| Some((digit(p[0])? << 4 | digit(p[1])?) as u8);
    digits.1.is_empty().then(|| digits.0.iter().map(pair).collect())?
}

/// RFC 4648, either alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for b in text.trim_end_matches('=').bytes() {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::protobuf::{put_double, put_integer, put_message, put_text};

    #[test]
    fn both_cases_and_all_types() {
        let json = br#"{"resourceMetrics":[{"resource":{"attributes":[
            {"key":"service.name","value":{"stringValue":"a"}},
            {"key":"n","value":{"intValue":"-5"}}]},
          "scope_metrics":[{"metrics":[{"name":"m","newer":{"x":1},"sum":{"isMonotonic":true,
            "aggregation_temporality":2,"dataPoints":[{"timeUnixNano":"1000","asDouble":1.5,
            "exemplars":[{"traceId":"0aFF","asInt":7}]}]}}]}]}]}"#;
        let mut wanted = Vec::new();
        put_message(&mut wanted, 1, |out| {
            put_message(out, 1, |out| {
                put_message(out, 1, |out| {
                    put_text(out, 1, "service.name");
                    put_message(out, 2, |out| put_text(out, 1, "a"));
                });
                put_message(out, 1, |out| {
                    put_text(out, 1, "n");
                    put_message(out, 2, |out| put_integer(out, 3, -5));
                });
            });
            put_message(out, 2, |out| {
                put_message(out, 2, |out| {
                    put_text(out, 1, "m");
                    put_message(out, 7, |out| {
                        // JSON objects come sorted by name here.
                        put_integer(out, 2, 2);
                        put_message(out, 1, |out| {
                            put_double(out, 4, 1.5);
                            put_message(out, 5, |out| {
                                out.push(6 << 3 | 1);
                                out.extend_from_slice(&7u64.to_le_bytes());
                                put_bytes(out, 5, &[0x0a, 0xff]);
                            });
                            out.push(3 << 3 | 1);
                            out.extend_from_slice(&1000u64.to_le_bytes());
                        });
                        put_integer(out, 3, 1);
                    });
                });
            });
        });
        assert_eq!(to_protobuf(json), Ok(wanted));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, why) in [
            ("[]", "malformed JSON: the request is not an object"),
            ("{\"resourceMetrics\":1}", "malformed JSON: resourceMetrics is not an object: 1"),
            (
                "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":5}]}]}]}",
                "malformed JSON: resourceMetrics.scopeMetrics.metrics.name is not a text: 5",
            ),
        ] {
            assert_eq!(to_protobuf(json.as_bytes()), Err(why.into()));
        }
        assert!(to_protobuf(b"{").is_err());
        assert_eq!(base64("aGVsbA=="), Some(b"hell".to_vec()));
        assert_eq!(hexadecimal("abc"), None);
    }
}
