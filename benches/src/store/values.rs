//! How the values of the load go from scrape to scrape, by the kinds that Kubernetes measures, and what was
//! recorded of our agent's node families on this machine.

use super::random::Random;
use anyhow::{Context, Result, bail};
use model::exposition::{Event, Parser, Syntax};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A series' value from scrape to scrape.
#[derive(Clone, Debug)]
pub enum Value {
    /// Always the same.
    Constant(f64),
    /// A counter that stands still but for one scrape in so many.
    Idle(f64, f64),
    /// A counter of events, so many a scrape.
    Events(f64, f64),
    /// A counter of bytes, so many a scrape, in one scrape of three.
    Bytes(f64, f64),
    /// Seconds of CPU in microseconds, so many a scrape.
    Seconds(f64, f64),
    /// Memory in pages, which changes in one scrape of three.
    Pages(f64),
    /// The time of the scrape, in whole seconds.
    Seen(f64),
    /// What was recorded, again and again: the last value, the steps, where it is.
    Recorded(f64, usize, usize),
    /// A float of which every bit changes each time.
    Walk(f64),
}

impl Value {
    /// This value, or where everything is to change each time another.
    pub fn or_walk(self, floats: bool, random: &mut Random) -> Value {
        if floats { Value::Walk(100.0 * random.unit()) } else { self }
    }

    /// The next value.
    pub fn step(&mut self, random: &mut Random, recorded: &Recording) -> f64 {
        match self {
            Value::Constant(v) => *v,
            Value::Idle(v, chance) => {
                if random.unit() < *chance {
                    *v += 1.0;
                }
                *v
            }
            Value::Events(v, mean) => {
                *v += (*mean * (0.5 + random.unit())).round();
                *v
            }
            Value::Bytes(v, mean) => {
                if random.unit() < 0.34 {
                    *v += (*mean * (0.7 + 0.6 * random.unit())).round();
                }
                *v
            }
            Value::Seconds(v, mean) => {
                *v += (*mean * (0.7 + 0.6 * random.unit())).round();
                *v / 1e6
            }
            Value::Pages(v) => {
                if random.unit() < 0.34 {
                    *v = (*v + 4096.0 * ((random.unit() - 0.5) * 64.0).round()).max(4096.0);
                }
                *v
            }
            Value::Seen(v) => {
                *v += 15.0;
                *v
            }
            Value::Recorded(v, series, at) => {
                let series = &recorded.series[*series];
                *at = (*at + 1) % series.values.len();
                if series.counter {
                    let before = if *at == 0 { series.values[0] } else { series.values[*at - 1] };
                    *v += (series.values[*at] - before).max(0.0);
                } else {
                    *v = series.values[*at];
                }
                *v
            }
            Value::Walk(v) => {
                *v += random.unit() - 0.5;
                *v
            }
        }
    }
}

/// What was recorded of our agent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Recording {
    /// Series by series.
    pub series: Vec<RecordedSeries>,
}

/// A series as it was recorded.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordedSeries {
    /// The comment lines before it, where it is a family's first.
    pub head: String,
    /// Name and labels, as they stand in the text.
    pub name: String,
    counter: bool,
    /// One value a round.
    pub values: Vec<f64>,
}

impl Recording {
    /// Makes one of the agent's answers, oldest first; families of containers are left out.
    pub fn of(answers: &[Vec<u8>]) -> Result<Recording> {
        let mut recording = Recording::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (round, answer) in answers.iter().enumerate() {
            let (mut head, mut counter, mut at_line) = (String::new(), false, 0);
            let lines: Vec<&str> = std::str::from_utf8(answer)?.lines().collect();
            let mut parser = Parser::new(answer, Syntax::Text);
            while let Some(event) = parser.next().context("the agent's answer")? {
                match event {
                    Event::Sample(s) if !s.name.starts_with("container_") => {
                        let at = match places.get(s.series) {
                            Some(at) => *at,
                            None if round > 0 => continue,
                            None => {
                                places.insert(s.series.to_owned(), recording.series.len());
                                let (head, name) = (std::mem::take(&mut head), s.series.to_owned());
                                let values = Vec::new();
                                recording.series.push(RecordedSeries {
                                    head,
                                    name,
                                    counter,
                                    values,
                                });
                                recording.series.len() - 1
                            }
                        };
                        let values = &mut recording.series[at].values;
                        values.resize(round, s.value);
                        values.push(s.value);
                        continue;
                    }
                    Event::Type { kind, .. } => counter = kind == model::Kind::Counter,
                    Event::Help { .. } => head.clear(),
                    _ => continue,
                }
                at_line = at_line.max(parser.line());
                if let Some(line) = lines.get(at_line.wrapping_sub(1)) {
                    head.push_str(line);
                    head.push('\n');
                }
            }
        }
        let rounds = answers.len();
        for series in &mut recording.series {
            let last = series.values.last().copied().unwrap_or(0.0);
            series.values.resize(rounds, last);
        }
        if recording.series.len() < 100 {
            bail!("only {} series of the agent were recorded", recording.series.len());
        }
        Ok(recording)
    }
}
