//! What a request brings, checked sample by sample, and written to the store at once: the good ones
//! are kept, and of the others the sender is told which they are and why. Words are those of
//! Prometheus's `storage/interface.go` and `storage/remote/write_handler.go`.

use super::known::{Digest, Found, Known};
use super::labels::{self, Wrong};
use super::{AHEAD_MS, Limits, Protocol, Reason, Refused, Stats};
use crate::Api;
use crate::queries::Origin;
use model::prompb::SentHistogram;
use model::protobuf::Malformed;
use model::{Labels, Sample, Value, value::is_stale};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;
use tsdb::{Exemplar, ExemplarRefusal, Metadata, Named, Refusal, SeriesRef};

/// So many mistakes are told one by one.
const TOLD: usize = 100;
/// So many series, samples, exemplars and texts may be in a request: in memory they are larger than
/// in a body that was made for that.
const ITEMS: u32 = 1_000_000;

/// A pair of a label's name and value, as it came.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// A series of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series(u32);

/// What a request brings.
pub struct Batch {
    limits: Limits,
    stats: Arc<Stats>,
    sender: Origin,
    /// Where the series are that are named by reference.
    store: Option<tsdb::Db>,
    now_ms: i64,
    /// The least and the greatest time that is taken.
    oldest_ms: i64,
    newest_ms: i64,
    series: Vec<Named>,
    /// What stands for the series that are to be remembered once they are taken.
    digests: Vec<(Series, Digest)>,
    /// Each with its series.
    samples: Vec<(u32, Sample)>,
    /// The place of each sample in the request.
    places: Vec<u32>,
    /// Each with its series.
    exemplars: Vec<(u32, Exemplar)>,
    /// The place of each exemplar in the request.
    exemplar_places: Vec<u32>,
    families: Vec<Metadata>,
    /// Mistakes, each with its place in the request.
    wrong: Vec<(u32, String)>,
    mistakes: u64,
    /// What is refused, to be counted once it is certain.
    refused: Vec<(Reason, u64)>,
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
        (batch.sender, batch.now_ms) = (sender, now_ms);
        // Where there is none, writing says so.
        batch.store = api.backend.receiver().ok();
        batch
    }

    /// A batch for which any time is good.
    pub fn of(limits: Limits, stats: Arc<Stats>) -> Batch {
        Batch {
            limits,
            stats,
            sender: Origin::default(),
            store: None,
            now_ms: 0,
            oldest_ms: i64::MIN,
            newest_ms: i64::MAX,
            series: Vec::new(),
            digests: Vec::new(),
            samples: Vec::new(),
            places: Vec::new(),
            exemplars: Vec::new(),
            exemplar_places: Vec::new(),
            families: Vec::new(),
            wrong: Vec::new(),
            mistakes: 0,
            refused: Vec::new(),
            next_place: 0,
            items: 0,
        }
    }

    /// The same batch, that finds series named by reference in a store.
    #[cfg(test)]
    pub fn over(mut self, store: &tsdb::Db) -> Batch {
        self.store = Some(store.clone());
        self
    }

    /// Makes room for about so many series with a sample each.
    pub fn expect(&mut self, count: usize) {
        let count = count.min(ITEMS as usize);
        self.series.reserve(count);
        self.samples.reserve(count);
        self.places.reserve(count);
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

    /// A series that has `samples`, by its labels; `None` where they are wrong, which is noted.
    pub fn series(&mut self, pairs: &mut [Pair<'_>], samples: usize) -> Option<Series> {
        match labels::check(pairs, &self.limits.labels) {
            Ok(labels) => Some(self.add_series(Named::Labels(labels))),
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

    /// A series that is known by its digest.
    pub fn known(&mut self, digest: Digest, found: &Found) -> Series {
        let series = self.add_series(Named::Known(found.series));
        if found.fading {
            self.remember(series, digest);
        }
        series
    }

    /// Has a series known by a digest from now on, if it is taken.
    pub fn remember(&mut self, series: Series, digest: Digest) {
        self.digests.push((series, digest));
    }

    fn add_series(&mut self, named: Named) -> Series {
        self.series.push(named);
        Series(self.series.len() as u32 - 1)
    }

    /// The labels of a series; none where the store has forgotten it meanwhile.
    pub fn labels_of(&self, series: Series) -> Cow<'_, Labels> {
        match self.series.get(series.0 as usize) {
            Some(Named::Labels(labels)) => Cow::Borrowed(labels),
            Some(Named::Known(known)) => {
                let labels = self.store.as_ref().and_then(|s| s.labels_of(*known));
                Cow::Owned(labels.unwrap_or_default())
            }
            None => Cow::Owned(Labels::empty()),
        }
    }

    /// A series as Prometheus prints it in errors.
    pub fn text(&self, series: Series) -> String {
        labels::text(&self.labels_of(series))
    }

    /// Notes what is wrong with `samples` of the request, or with something that is none.
    pub fn mistake(&mut self, reason: Reason, samples: usize, why: String) {
        let place = self.place();
        self.mistake_at(place, reason, samples, why);
    }

    fn mistake_at(&mut self, place: u32, reason: Reason, samples: usize, why: String) {
        if self.count_mistake(reason, samples) {
            self.wrong.push((place, why));
        }
    }

    /// Counts a mistake; whether there is room to tell it.
    fn count_mistake(&mut self, reason: Reason, samples: usize) -> bool {
        match self.refused.iter_mut().find(|r| r.0 == reason) {
            Some(counted) => counted.1 += samples as u64,
            None => self.refused.push((reason, samples as u64)),
        }
        self.mistakes += 1;
        self.wrong.len() < TOLD
    }

    /// Counts a mistake of a series, of which `why` is said.
    fn mistake_of(&mut self, place: u32, reason: Reason, why: &str, series: Series) {
        if self.count_mistake(reason, 1) {
            let why = format!("{why} for series {}", self.text(series));
            self.wrong.push((place, why));
        }
    }

    fn place(&mut self) -> u32 {
        self.next_place = self.next_place.saturating_add(1);
        self.next_place
    }

    /// Adds a sample of a series.
    pub fn sample(&mut self, series: Series, time_ms: i64, start_ms: i64, value: f64) {
        let value = Value::Float(value);
        self.add(series, Sample { time_ms, start_ms, value });
    }

    /// Adds a histogram of a series.
    pub fn histogram(&mut self, series: Series, sent: SentHistogram) {
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
                let place = self.place();
                self.mistake_of(place, Reason::InvalidHistogram, &why.to_string(), series);
            }
        }
    }

    fn add(&mut self, series: Series, sample: Sample) {
        let place = self.place();
        let why = match sample.time_ms {
            t if t > self.newest_ms => "out of bounds: timestamp is too far in the future",
            t if t < self.oldest_ms => "out of bounds",
            _ => {
                self.samples.push((series.0, sample));
                return self.places.push(place);
            }
        };
        self.mistake_of(place, Reason::OutOfBounds, why, series);
    }

    /// The samples that are good so far, each with its series.
    pub fn samples(&self) -> impl Iterator<Item = (Cow<'_, Labels>, &Sample)> {
        self.samples.iter().map(|(series, sample)| (self.labels_of(Series(*series)), sample))
    }

    /// Adds an exemplar of a series.
    pub fn exemplar(&mut self, series: Series, exemplar: Exemplar) {
        let place = self.place();
        self.exemplars.push((series.0, exemplar));
        self.exemplar_places.push(place);
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
    /// `None`, and nothing was written or counted, where a series that was known is so no more.
    pub fn write(mut self, api: &Api, protocol: Protocol) -> Result<Option<Written>, Refused> {
        let unavailable = |why: String| {
            self.stats.refuse(Reason::Unavailable, 1);
            Refused::later(why)
        };
        let db = api.backend.receiver().map_err(|e| unavailable(e.to_string()))?;
        self.charge(api)?;
        let Batch { series, samples, exemplars, families, .. } = &self;
        let received = match db.receive(series, samples, exemplars, families, self.limits.series) {
            Ok(received) => received,
            Err(tsdb::Error::Forgotten) => return Ok(None),
            Err(e) => return Err(unavailable(e.to_string())),
        };
        self.remember_all(&api.receiver.known, &received.references);
        let mut written = Written::default();
        for (_, sample) in &self.samples {
            match sample.value {
                Value::Float(_) => written.samples += 1,
                Value::Histogram(_) => written.histograms += 1,
            }
        }
        for refused in received.refused {
            let (series, sample) = &self.samples[refused.index];
            match sample.value {
                Value::Float(_) => written.samples -= 1,
                Value::Histogram(_) => written.histograms -= 1,
            }
            let (series, time_ms) = (Series(*series), sample.time_ms);
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
            self.mistake_of(self.places[refused.index], reason, &why, series);
        }
        written.exemplars = (self.exemplars.len() - received.refused_exemplars.len()) as u64;
        for (index, why) in received.refused_exemplars {
            let reason = match why {
                ExemplarRefusal::NoRoom => Reason::SeriesLimit,
                ExemplarRefusal::OutOfOrder | ExemplarRefusal::Length => Reason::Exemplar,
            };
            let (place, series) = (self.exemplar_places[index], Series(self.exemplars[index].0));
            self.mistake_of(place, reason, &why.to_string(), series);
        }
        self.stats.written(protocol, written.samples + written.histograms);
        self.refused.iter().for_each(|(reason, count)| self.stats.refuse(*reason, *count));
        written.refused = self.refused.iter().map(|r| r.1).sum();
        written.wrong = self.told();
        Ok(Some(written))
    }

    /// Has the series known that the store took.
    fn remember_all(&self, known: &Known, references: &[Option<SeriesRef>]) {
        if self.digests.is_empty() {
            return;
        }
        let taken = self.digests.iter().filter_map(|(series, digest)| {
            let reference = references.get(series.0 as usize).copied().flatten();
            Some((*digest, reference?))
        });
        let (series, bytes) = known.remember(taken, self.now_ms);
        self.stats.known(series as u64, bytes as u64);
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
