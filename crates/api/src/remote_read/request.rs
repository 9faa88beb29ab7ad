//! What a reader asks: `prometheus.ReadRequest`.

use model::protobuf::{Malformed, Message};
use model::{MatchOp, Matcher};

/// How the answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One message with all samples.
    Samples,
    /// Chunks, streamed.
    Chunks,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// How the answer is to look.
    pub shape: Shape,
    /// What to read.
    pub queries: Vec<Query>,
}

/// Series and a time.
#[derive(Debug, Default)]
pub struct Query {
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// From when, included, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Until when, included.
    pub end_ms: i64,
    /// The distance of evaluations.
    pub step_ms: i64,
    /// The length of the range vector.
    pub range_ms: i64,
    /// The function around the selector.
    pub func: String,
}

impl Request {
    /// Reads a request; says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Request, String> {
        let (mut queries, mut accepted) = (Vec::new(), Vec::new());
        let mut message = Message::new(bytes);
        let malformed = |e: Malformed| e.to_string();
        while let Some(field) = message.next().map_err(malformed)? {
            match field.number {
                1 => queries.push(query(field.message().map_err(malformed)?)?),
                2 => field
                    .each_unsigned(|n| {
                        if accepted.len() < 16 {
                            accepted.push(n);
                        }
                    })
                    .map_err(malformed)?,
                _ => {}
            }
        }
        // The first that is known; without a list it is samples.
        let shape = accepted.iter().find_map(|n| match n {
            0 => Some(Shape::Samples),
            1 => Some(Shape::Chunks),
            _ => None,
        });
        let shape = match shape {
            Some(shape) => shape,
            None if accepted.is_empty() => Shape::Samples,
            None => {
                return Err(format!(
                    "server does not support any of the requested response types: {accepted:?}; \
                     supported: SAMPLES (0) and STREAMED_XOR_CHUNKS (1)"
                ));
            }
        };
        Ok(Request { shape, queries })
    }
}

fn query(mut message: Message<'_>) -> Result<Query, String> {
    let mut query = Query::default();
    let malformed = |e: Malformed| e.to_string();
    while let Some(field) = message.next().map_err(malformed)? {
        match field.number {
            1 => query.start_ms = field.integer().map_err(malformed)?,
            2 => query.end_ms = field.integer().map_err(malformed)?,
            3 => query.matchers.push(matcher(field.message().map_err(malformed)?)?),
            4 => hints(field.message().map_err(malformed)?, &mut query).map_err(malformed)?,
            _ => {}
        }
    }
    Ok(query)
}

fn matcher(mut message: Message<'_>) -> Result<Matcher, String> {
    let (mut kind, mut name, mut value) = (0, "", "");
    let malformed = |e: Malformed| e.to_string();
    while let Some(field) = message.next().map_err(malformed)? {
        match field.number {
            1 => kind = field.unsigned().map_err(malformed)?,
            2 => name = field.text().map_err(malformed)?,
            3 => value = field.text().map_err(malformed)?,
            _ => {}
        }
    }
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(format!("invalid matcher type {kind} of label {name:?}")),
    };
    Matcher::new(op, name, value)
        .map_err(|why| format!("the regex {value:?} of the label {name:?} is none: {why}"))
}

fn hints(mut message: Message<'_>, query: &mut Query) -> Result<(), Malformed> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => query.step_ms = field.integer()?,
            2 => field.text()?.clone_into(&mut query.func),
            7 => query.range_ms = field.integer()?,
            _ => {}
        }
    }
    Ok(())
}
