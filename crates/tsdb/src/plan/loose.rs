//! Plans samples that come beside any group.

use super::{Context, same_value};
use crate::batch::{Committed, Refusal, Refused};
use crate::change::Kind;
use crate::exemplars::{Entry as ExemplarEntry, Judge};
use crate::receive::Named;
use crate::record::Builder;
use crate::{Error, Exemplar, ExemplarRefusal, Metadata};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::value::STALE_BITS;
use model::{Labels, Sample, Value};
use std::sync::Arc;

/// What is to be written of a sender's samples.
pub(crate) struct Planned {
    pub record: Builder,
    pub done: Committed,
    pub refused: Vec<Refused>,
    pub refused_exemplars: Vec<(usize, ExemplarRefusal)>,
    /// For each series that was named what it is, where it has samples.
    pub series: Vec<Option<Numbered>>,
    /// As of which generation the numbers of those that are not new hold.
    pub generation: u32,
}

/// A series of a request.
#[derive(Clone, Copy)]
pub(crate) struct Numbered {
    pub number: u32,
    /// Whether the number is its own only once the record is applied.
    pub is_new: bool,
}

/// Plans samples and exemplars, each with the place of its series in `named`, and what is told of families. A sample
/// that its series has already is not written again.
///
/// Fails where a series was forgotten that is named by a reference.
pub(crate) fn plan<'s>(
    context: &Context<'_>,
    named: &[Named],
    samples: impl Iterator<Item = (usize, &'s Sample)>,
    exemplars: &[(u32, Exemplar)],
    families: &[Metadata],
    series_limit: u64,
) -> Result<Planned, Error> {
    let mut plan = Plan {
        context,
        record: Builder::default(),
        done: Committed::default(),
        seen: Seen::default(),
    };
    for family in families {
        plan.record.metadata(family);
    }
    let mut lines = Lines::new(context, named, series_limit);
    let mut refused = Vec::new();
    for (index, (place, sample)) in samples.enumerate() {
        let why = match lines.at(place)? {
            At::Line(line) => plan.sample(line, &mut lines.list[line as usize], sample),
            At::NoRoom => Some(Refusal::NoRoom),
            At::Unseen | At::Nameless => None,
        };
        refused.extend(why.map(|why| Refused { index, why }));
    }
    let refused_exemplars = plan.exemplars(&mut lines, exemplars)?;
    let Plan { record, done, .. } = plan;
    let generation = context.head.index.generation();
    Ok(Planned { record, done, refused, refused_exemplars, series: lines.numbered(), generation })
}

/// What a series that was named is.
#[derive(Clone, Copy)]
enum At {
    /// Not known yet.
    Unseen,
    /// In the list of lines.
    Line(u32),
    /// New, and there are as many as there may be.
    NoRoom,
    /// Without labels.
    Nameless,
}

/// A series of the request.
struct Line<'a> {
    number: u32,
    is_new: bool,
    /// The time of its newest sample, those of the request so far included.
    newest_ms: i64,
    /// How the log is to be told of it; `None` once it knows it.
    untold: Option<&'a Named>,
    /// Its slot in a group, until it leaves that.
    slot: Option<(u32, u32)>,
}

/// The series of a request, each once, however often it is named.
struct Lines<'a> {
    context: &'a Context<'a>,
    named: &'a [Named],
    places: Vec<At>,
    list: Vec<Line<'a>>,
    by_number: HashMap<u32, u32>,
    /// Numbers of series that are new.
    new: HashMap<&'a Labels, u32>,
    next_numbers: Box<dyn Iterator<Item = u32> + 'a>,
    room: u64,
}

impl<'a> Lines<'a> {
    fn new(context: &'a Context<'a>, named: &'a [Named], series_limit: u64) -> Lines<'a> {
        let index = &context.head.index;
        Lines {
            context,
            named,
            places: vec![At::Unseen; named.len()],
            list: Vec::with_capacity(named.len()),
            by_number: HashMap::with_capacity(named.len()),
            new: HashMap::new(),
            next_numbers: Box::new(index.next_numbers()),
            room: series_limit.saturating_sub(index.len() as u64),
        }
    }

    /// What the series at a place is.
    fn at(&mut self, place: usize) -> Result<At, Error> {
        let Some(known) = self.places.get(place) else { return Ok(At::Nameless) };
        if !matches!(known, At::Unseen) {
            return Ok(*known);
        }
        let found = self.find(&self.named[place])?;
        self.places[place] = found;
        Ok(found)
    }

    fn find(&mut self, named: &'a Named) -> Result<At, Error> {
        let index = &self.context.head.index;
        let (number, is_new) = match named {
            Named::Known(known) if index.is_since(known.number, known.generation) => {
                (known.number, false)
            }
            Named::Known(_) => return Err(Error::Forgotten),
            Named::Labels(labels) if labels.is_empty() => return Ok(At::Nameless),
            Named::Labels(labels) => match index.find(labels) {
                Some(number) => (number, false),
                None => match self.number_for(labels) {
                    Some(number) => (number, true),
                    None => return Ok(At::NoRoom),
                },
            },
        };
        let line = match self.by_number.entry(number) {
            Entry::Occupied(line) => *line.get(),
            Entry::Vacant(free) => {
                let line = self.list.len() as u32;
                let known = index.get(number).filter(|_| !is_new);
                self.list.push(Line {
                    number,
                    is_new,
                    newest_ms: known.map_or(i64::MIN, |_| self.context.head.last_ms(number)),
                    untold: known.is_none_or(|s| s.epoch != self.context.epoch).then_some(named),
                    slot: known.and_then(|s| s.owner),
                });
                *free.insert(line)
            }
        };
        Ok(At::Line(line))
    }

    /// The number of a series that the head does not have, while there is room for it.
    fn number_for(&mut self, labels: &'a Labels) -> Option<u32> {
        if let Some(number) = self.new.get(labels) {
            return Some(*number);
        }
        if self.new.len() as u64 >= self.room {
            return None;
        }
        let number = self.next_numbers.next()?;
        self.new.insert(labels, number);
        Some(number)
    }

    fn numbered(&self) -> Vec<Option<Numbered>> {
        let of = |at: &At| match at {
            At::Line(line) => {
                let line = &self.list[*line as usize];
                // Of a new series nothing may have been taken.
                let known = !line.is_new || line.untold.is_none();
                known.then_some(Numbered { number: line.number, is_new: line.is_new })
            }
            _ => None,
        };
        self.places.iter().map(of).collect()
    }
}

struct Plan<'a, 's> {
    context: &'a Context<'a>,
    record: Builder,
    done: Committed,
    seen: Seen<'s>,
}

impl<'s> Plan<'_, 's> {
    /// Plans a sample of the series at place `number` of the list; gives why it is left out.
    fn sample(&mut self, number: u32, line: &mut Line<'_>, sample: &'s Sample) -> Option<Refusal> {
        let time_ms = sample.time_ms;
        if time_ms < line.newest_ms.saturating_sub(self.context.window_ms) {
            self.done.too_old += 1;
            return Some(Refusal::TooOld);
        }
        if time_ms > line.newest_ms {
            // Newer than all there is: nothing can be at its time.
            self.seen.add(number, sample);
            line.newest_ms = time_ms;
            self.tell(line);
            // What is newer than its group's tick would stand in the way of the next one.
            if let Some((group, slot)) = line.slot.take() {
                self.record.leave(group, slot);
            }
        } else {
            let there = match self.seen.first(number, sample) {
                Some(first) => Some(same_value(first, &sample.value)),
                None => self.context.taken(line.number, sample),
            };
            if let Some(same) = there {
                self.done.duplicates += u64::from(!same);
                return (!same).then_some(Refusal::Duplicate);
            }
            self.tell(line);
            self.done.out_of_order += 1;
        }
        self.record.loose(line.number, sample);
        self.done.samples += 1;
        None
    }

    /// Plans exemplars; gives those that are left out.
    fn exemplars(
        &mut self,
        lines: &mut Lines<'_>,
        exemplars: &[(u32, Exemplar)],
    ) -> Result<Vec<(usize, ExemplarRefusal)>, Error> {
        let index = &self.context.head.index;
        let mut judge = Judge::new(&self.context.head.exemplars);
        let mut refused = Vec::new();
        for (i, (place, exemplar)) in exemplars.iter().enumerate() {
            let judged = match (lines.at(*place as usize)?, lines.named.get(*place as usize)) {
                (At::NoRoom, _) => Err(ExemplarRefusal::NoRoom),
                (At::Line(line), Some(named)) => {
                    let line = &mut lines.list[line as usize];
                    let entry = ExemplarEntry::stated(exemplar.clone());
                    let judged = match named {
                        Named::Labels(labels) => judge.judge(labels, &entry),
                        Named::Known(_) => judge.judge(&index.labels(line.number), &entry),
                    };
                    if judged == Ok(true) {
                        self.tell(line);
                        self.record.exemplar(line.number, &entry);
                    }
                    judged
                }
                _ => continue,
            };
            self.done.judged(judged);
            refused.extend(judged.err().map(|why| (i, why)));
        }
        Ok(refused)
    }

    /// Tells the log a series that this epoch does not know.
    fn tell(&mut self, line: &mut Line<'_>) {
        let Some(named) = line.untold.take() else { return };
        match named {
            Named::Labels(labels) => self.record.series(line.number, labels),
            Named::Known(_) => {
                let labels = self.context.head.index.labels(line.number);
                self.record.series(line.number, &labels);
            }
        }
        self.done.new_series += u64::from(line.is_new);
    }
}

/// The samples of a request so far, for those that come late to be compared with.
#[derive(Default)]
struct Seen<'s> {
    list: Vec<(u32, &'s Sample)>,
    /// For each series and time the first value; made of the list when it is first asked for, since most
    /// requests never do.
    first: Option<HashMap<(u32, i64), &'s Value>>,
}

impl<'s> Seen<'s> {
    /// Adds a sample that is the first of its series at its time.
    fn add(&mut self, line: u32, sample: &'s Sample) {
        match &mut self.first {
            Some(first) => {
                first.entry((line, sample.time_ms)).or_insert(&sample.value);
            }
            None => self.list.push((line, sample)),
        }
    }

    /// The first value of its series at its time before this sample, which is added.
    fn first(&mut self, line: u32, sample: &'s Sample) -> Option<&'s Value> {
        let list = &mut self.list;
        let first = self.first.get_or_insert_with(|| {
            list.drain(..).map(|(line, s)| ((line, s.time_ms), &s.value)).collect()
        });
        match first.entry((line, sample.time_ms)) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(free) => {
                free.insert(&sample.value);
                None
            }
        }
    }
}

impl Context<'_> {
    /// Whether a series has a sample at that time, as far as that is seen easily, and if so,
    /// whether it is the same.
    fn taken(&self, series: u32, sample: &Sample) -> Option<bool> {
        let runs = self.head.loose.values().filter_map(|l| l.get(series));
        for run in runs {
            if let Ok(Some(known)) = run.find(sample.time_ms) {
                return Some(same_value(&known.value, &sample.value));
            }
        }
        let (_, slot) = self.slot(series)?;
        (self.head.last_ms(series) == sample.time_ms).then(|| {
            match (slot.state.kind, &sample.value) {
                (Kind::Float, Value::Float(v)) => slot.state.bits == v.to_bits(),
                (Kind::Histogram, Value::Histogram(h)) => {
                    slot.state.histogram().is_some_and(|s| Arc::ptr_eq(s, h) || s.same_value(h))
                }
                // What ended at that time has the mark there.
                (Kind::Absent, Value::Float(v)) => v.to_bits() == STALE_BITS,
                _ => false,
            }
        })
    }
}
