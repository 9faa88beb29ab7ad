//! Attributes: names and values of any type, and the text that each value is as a label, as
//! OpenTelemetry's Go library prints it (`pcommon.Value.AsString`).

use model::protobuf::{Malformed, Message};
use serde_json::{Map, Number, Value};

/// Attributes in the order in which they came.
pub type Attributes<'a> = Vec<(&'a str, String)>;

/// So deep may values be nested.
const DEPTH: usize = 32;

/// Reads a `KeyValue` and adds it; of a name that comes twice the first counts.
pub fn read<'a>(mut message: Message<'a>, into: &mut Attributes<'a>) -> Result<(), Malformed> {
    let (mut key, mut value) = ("", None);
    while let Some(field) = message.next()? {
        match field.number {
            1 => key = field.text()?,
            2 => value = Some(field.message()?),
            _ => {}
        }
    }
    let text = match value {
        Some(value) => text(value)?,
        None => String::new(),
    };
    if into.iter().all(|a| a.0 != key) {
        into.push((key, text));
    }
    Ok(())
}

/// The value of an attribute.
pub fn get<'a>(attributes: &'a Attributes<'_>, name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.0 == name).map(|a| a.1.as_str())
}

/// An `AnyValue` as text.
fn text(mut message: Message<'_>) -> Result<String, Malformed> {
    let whole = message;
    let mut made = String::new();
    while let Some(field) = message.next()? {
        made = match field.number {
            1 => field.text()?.to_owned(),
            2 => (field.unsigned()? != 0).to_string(),
            3 => field.integer()?.to_string(),
            4 => float(field.double()?),
            5 | 6 => {
                // Written within the text of a label: JSON, names in order.
                let value = json(whole, 0)?;
                return Ok(value.to_string());
            }
            7 => base64(field.bytes()?),
            _ => continue,
        };
    }
    Ok(made)
}

/// A float as Go's JSON has it: no exponent between 1e-6 and 1e21.
fn float(value: f64) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return format!("json: unsupported value: {name}");
    }
    if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => {
            format!("{mantissa}e+{exponent}")
        }
        _ => text,
    }
}

fn json(mut message: Message<'_>, depth: usize) -> Result<Value, Malformed> {
    let mut made = Value::Null;
    while let Some(field) = message.next()? {
        if depth > DEPTH {
            return Err(Malformed { at: field.place(), what: "an attribute nested too deeply" });
        }
        made = match field.number {
            1 => field.text()?.into(),
            2 => (field.unsigned()? != 0).into(),
            3 => field.integer()?.into(),
            4 => {
                let value = field.double()?;
                Number::from_f64(value).map_or_else(|| float(value).into(), Value::Number)
            }
            5 => {
                let (mut list, mut values) = (Vec::new(), field.message()?);
                while let Some(value) = values.next()? {
                    if value.number == 1 {
                        list.push(json(value.message()?, depth + 1)?);
                    }
                }
                Value::Array(list)
            }
            6 => {
                let (mut map, mut pairs) = (Map::new(), field.message()?);
                while let Some(pair) = pairs.next()? {
                    if pair.number == 1 {
                        let (name, value) = json_pair(pair.message()?, depth + 1)?;
                        map.insert(name, value);
                    }
                }
                Value::Object(map)
            }
            7 => base64(field.bytes()?).into(),
            _ => continue,
        };
    }
    Ok(made)
}

fn json_pair(mut message: Message<'_>, depth: usize) -> Result<(String, Value), Malformed> {
    let (mut name, mut made) = (String::new(), Value::Null);
    while let Some(field) = message.next()? {
        match field.number {
            1 => field.text()?.clone_into(&mut name),
            2 => made = json(field.message()?, depth)?,
            _ => {}
        }
    }
    Ok((name, made))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let six = bits >> (18 - 6 * i) & 63;
            text.push(if i <= three.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::protobuf::{put_bytes, put_double, put_integer, put_message, put_text};

    fn of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        text(Message::new(&out)).unwrap()
    }

    #[test]
    fn values_are_texts() {
        assert_eq!(of(|o| put_text(o, 1, "a\"b")), "a\"b");
        assert_eq!(of(|o| put_integer(o, 2, 1)), "true");
        assert_eq!(of(|o| put_integer(o, 3, -5)), "-5");
        assert_eq!(of(|o| put_double(o, 4, 1.5)), "1.5");
        assert_eq!(of(|o| put_double(o, 4, 1e21)), "1e+21");
        assert_eq!(of(|o| put_double(o, 4, 1e-7)), "1e-7");
        assert_eq!(of(|o| put_double(o, 4, f64::NAN)), "json: unsupported value: NaN");
        assert_eq!(of(|o| put_bytes(o, 7, b"hell")), "aGVsbA==");
        assert_eq!(of(|_| ()), "");
        let list = |o: &mut Vec<u8>| {
            put_message(o, 5, |o| {
                put_message(o, 1, |o| put_text(o, 1, "x"));
                put_message(o, 1, |o| put_integer(o, 3, 2));
            });
        };
        assert_eq!(of(list), "[\"x\",2]");
        let map = |o: &mut Vec<u8>| {
            put_message(o, 6, |o| {
                for (name, value) in [("b", 1), ("a", 2)] {
                    put_message(o, 1, |o| {
                        put_text(o, 1, name);
                        put_message(o, 2, |o| put_integer(o, 3, value));
                    });
                }
            });
        };
        assert_eq!(of(map), "{\"a\":2,\"b\":1}");
    }
}
