//! What a request brings, checked sample by sample, and written to the store at once: the good ones
//! are kept, and of the others the sender is told which they are and why. Words are those of
//! Prometheus's `storage/interface.go` and `storage/remote/write_handler.go`.

use super::labels::{self, Wrong};
use super::{AHEAD_MS, Limits, Protocol, Reason, Refused, Stats};
use crate::Api;
use crate::exemplars::Exemplar;
use crate::queries::Origin;
use model::prompb::SentHistogram;
use model::protobuf::Malformed;
use model::{Labels, Sample, Value, value::is_stale};
use std::sync::Arc;
use std::time::Instant;
use tsdb::{Metadata, Refusal};

/// So many mistakes are told one by one.
const TOLD: usize = 100;
/// So many series, samples, exemplars and texts may be in a request: in memory they are larger than
/// in a body that was made for that.
const ITEMS: u32 = 1_000_000;

/// A pair of a label's name and value, as it came.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// What a request brings.
pub struct Batch {
    limits: Limits,
    stats: Arc<Stats>,
    sender: Origin,
    /// The least and the greatest time that is taken.
    oldest_ms: i64,
    newest_ms: i64,
    samples: Vec<(Labels, Sample)>,
    /// The place of each sample in the request.
    places: Vec<u32>,
    exemplars: Vec<(u32, Labels, Exemplar)>,
    families: Vec<Metadata>,
    /// Mistakes, each with its place in the request.
    wrong: Vec<(u32, String)>,
    mistakes: u64,
    refused: u64,
    next_place: u32,
    items: u32,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Floats that were taken.
    pub samples: u64,
    /// Histograms that were taken.
    pub histograms: u64,
    /// Exemplars that were taken.
    pub exemplars: u64,
    /// What was left out, counted.
    pub refused: u64,
    /// What was left out and why, a line each; empty where everything was taken.
    pub wrong: String,
}

impl Batch {
    /// A batch of `sender` at `now_ms`, in which nothing is.
    pub fn new(api: &Api, sender: Origin, now_ms: i64) -> Batch {
        let options = &api.receiver.options;
        let mut batch = Batch::of(options.limits, options.stats.clone());
        if options.retention_ms > 0 {
            batch.oldest_ms = now_ms.saturating_sub(options.retention_ms);
        }
        batch.newest_ms = now_ms.saturating_add(AHEAD_MS);
        batch.sender = sender;
        batch
    }

    /// A batch for which any time is good.
    pub fn of(limits: Limits, stats: Arc<Stats>) -> Batch {
        Batch {
            limits,
            stats,
            sender: Origin::default(),
            oldest_ms: i64::MIN,
            newest_ms: i64::MAX,
            samples: Vec::new(),
            places: Vec::new(),
            exemplars: Vec::new(),
            families: Vec::new(),
            wrong: Vec::new(),
            mistakes: 0,
            refused: 0,
            next_place: 0,
            items: 0,
        }
    }

    /// Notes that the request has one more series, sample, exemplar or text; refuses it where it has
    /// too many.
    pub fn item(&mut self) -> Result<(), Malformed> {
        self.items += 1;
        match self.items > ITEMS {
            true => Err(Malformed {
                at: 0,
                what: "more than 1000000 series, samples, exemplars and texts in a request",
            }),
            false => Ok(()),
        }
    }

    /// The labels of a series that has `samples`; `None` where they are wrong, which is noted.
    pub fn labels(&mut self, pairs: &mut [Pair<'_>], samples: usize) -> Option<Labels> {
        match labels::check(pairs, &self.limits.labels) {
            Ok(labels) => Some(labels),
            Err(wrong) => {
                let (reason, why) = match wrong {
                    Wrong::Invalid(why) => (Reason::InvalidLabels, why),
                    Wrong::Limit(why) => (Reason::LabelLimit, why),
                };
                self.mistake(reason, samples, why);
                None
            }
        }
    }

    /// Notes what is wrong with `samples` of the request, or with something that is none.
    pub fn mistake(&mut self, reason: Reason, samples: usize, why: String) {
        let place = self.place();
        self.mistake_at(place, reason, samples, why);
    }

    fn mistake_at(&mut self, place: u32, reason: Reason, samples: usize, why: String) {
        self.stats.refuse(reason, samples as u64);
        self.mistakes += 1;
        self.refused += samples as u64;
        if self.wrong.len() < TOLD {
            self.wrong.push((place, why));
        }
    }

    fn place(&mut self) -> u32 {
        self.next_place = self.next_place.saturating_add(1);
        self.next_place
    }

    /// Adds a sample of a series.
    pub fn sample(&mut self, series: &Labels, time_ms: i64, start_ms: i64, value: f64) {
        let value = Value::Float(value);
        self.add(series, Sample { time_ms, start_ms, value });
    }

    /// Adds a histogram of a series.
    pub fn histogram(&mut self, series: &Labels, sent: SentHistogram) {
        let SentHistogram { time_ms, start_ms, whole, mut histogram } = sent;
        // Finer ones than the language knows are made coarser, as far as that is foreseen.
        if (9..=52).contains(&histogram.schema) {
            histogram = histogram.at_schema(8);
        }
        // A mark that a series ended has no counts that could be right or wrong.
        let checked = if is_stale(histogram.sum) { Ok(()) } else { histogram.validate(whole) };
        match checked {
            Ok(()) => {
                let value = Value::Histogram(Arc::new(histogram));
                self.add(series, Sample { time_ms, start_ms, value });
            }
            Err(why) => {
                let why = format!("{why} for series {}", labels::text(series));
                self.mistake(Reason::InvalidHistogram, 1, why);
            }
        }
    }

    fn add(&mut self, series: &Labels, sample: Sample) {
        let why = match sample.time_ms {
            t if t > self.newest_ms => "out of bounds: timestamp is too far in the future",
            t if t < self.oldest_ms => "out of bounds",
            _ => {
                let place = self.place();
                self.samples.push((series.clone(), sample));
                return self.places.push(place);
            }
        };
        let why = format!("{why} for series {}", labels::text(series));
        self.mistake(Reason::OutOfBounds, 1, why);
    }

    /// The samples that are good so far.
    pub fn samples(&self) -> &[(Labels, Sample)] {
        &self.samples
    }

    /// Adds an exemplar of a series.
    pub fn exemplar(&mut self, series: &Labels, exemplar: Exemplar) {
        let place = self.place();
        self.exemplars.push((place, series.clone(), exemplar));
    }

    /// Adds what is said of a family.
    pub fn family(&mut self, family: Metadata) {
        let most = self.limits.labels.value_bytes;
        let short = [&family.name, &family.help, &family.unit].iter().all(|t| t.len() <= most);
        // A description is no sample: one that is too long is left out, and nothing else is lost.
        if short && !family.name.is_empty() {
            self.families.push(family);
        }
    }

    /// Writes all of it; an error says that nothing was written, and that it should be sent again.
    pub fn write(mut self, api: &Api, protocol: Protocol) -> Result<Written, Refused> {
        let unavailable = |why: String| {
            self.stats.refuse(Reason::Unavailable, 1);
            Refused::later(why)
        };
        let db = api.backend.receiver().map_err(|e| unavailable(e.to_string()))?;
        self.charge(api)?;
        let (_, refused) = db
            .receive(&self.samples, &self.families, self.limits.series)
            .map_err(|e| unavailable(e.to_string()))?;
        let mut written = Written::default();
        for (_, sample) in &self.samples {
            match sample.value {
                Value::Float(_) => written.samples += 1,
                Value::Histogram(_) => written.histograms += 1,
            }
        }
        for refused in refused {
            let (series, sample) = &self.samples[refused.index];
            match sample.value {
                Value::Float(_) => written.samples -= 1,
                Value::Histogram(_) => written.histograms -= 1,
            }
            let time_ms = sample.time_ms;
            let (reason, why) = match refused.why {
                Refusal::TooOld => (Reason::TooOld, "too old sample".to_owned()),
                Refusal::Duplicate => (
                    Reason::Duplicate,
                    format!("duplicate sample for timestamp {time_ms}; overrides not allowed"),
                ),
                Refusal::NoRoom => (
                    Reason::SeriesLimit,
                    format!("there are {} series, and no more may begin", self.limits.series),
                ),
            };
            let why = format!("{why} for series {}", labels::text(series));
            self.mistake_at(self.places[refused.index], reason, 1, why);
        }
        let exemplars = std::mem::take(&mut self.exemplars);
        let any = !exemplars.is_empty();
        for (place, series, exemplar) in exemplars {
            match api.exemplars.add(&series, exemplar) {
                Ok(()) => written.exemplars += 1,
                Err(why) => {
                    let why = format!("{why} for series {}", labels::text(&series));
                    self.mistake_at(place, Reason::Exemplar, 1, why);
                }
            }
        }
        if any {
            api.exemplars.flush();
        }
        self.stats.written(protocol, written.samples + written.histograms);
        written.refused = self.refused;
        written.wrong = self.told();
        Ok(written)
    }

    /// Refuses the request where its sender sends more than it may.
    fn charge(&self, api: &Api) -> Result<(), Refused> {
        let samples = self.samples.len() as u64;
        let taken = api.receiver.rates.take(&self.sender, samples, Instant::now());
        taken.map_err(|wait| {
            self.stats.refuse(Reason::RateLimit, samples);
            let most = self.limits.samples_per_second;
            let mut refused = Refused::new(
                429,
                format!(
                    "more than {most} samples a second from this sender; send it again later \
                     (--receive.sample-rate-limit)"
                ),
            );
            refused.retry_seconds = Some(wait.as_secs() + 1);
            refused
        })
    }

    /// The mistakes in the order of the request, a line each.
    fn told(&mut self) -> String {
        self.wrong.sort_by_key(|w| w.0);
        let mut told: Vec<String> = self.wrong.drain(..).map(|w| w.1).collect();
        let left = self.mistakes - told.len() as u64;
        if left > 0 {
            told.push(format!("and {left} more"));
        }
        told.join("\n")
    }
}
