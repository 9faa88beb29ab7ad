//! A request becomes a batch: which series each point is, and the sample that `target_info` gets.

use super::attributes::{self, Attributes};
use super::message::{Data, DataKind, Metric, Point};
use super::names::{self, Shape};
use super::{Settings, points};
use crate::receive::{Batch, Reason, Series};
use model::labels::METRIC_NAME;
use model::protobuf::{Malformed, Message};
use model::value::STALE;
use model::{Kind, Labels};
use std::collections::{BTreeMap, HashSet};
use tsdb::{Exemplar, Metadata};

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
/// Attributes that `job` and `instance` are made of.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];
/// No more samples of `target_info` than this are made for one resource of one request.
const TARGET_INFO: i64 = 1000;

/// Reads an `ExportMetricsServiceRequest` into a batch. Where the body is malformed nothing of it is
/// to be written.
pub fn translate(body: &[u8], settings: &Settings, batch: &mut Batch) -> Result<(), Malformed> {
    let mut translator =
        Translator { settings, batch, told: HashSet::new(), described: HashSet::new() };
    let mut request = Message::new(body);
    while let Some(field) = request.next()? {
        if field.number == 1 {
            translator.resource(field.message()?)?;
        }
    }
    Ok(())
}

struct Translator<'a, 'b> {
    settings: &'a Settings,
    batch: &'b mut Batch,
    /// The samples of `target_info` so far: of two resources with the same labels one is enough.
    told: HashSet<(Labels, i64)>,
    /// The families described so far.
    described: HashSet<String>,
}

/// Labels that all series of a resource or of a scope get.
#[derive(Default)]
struct Common {
    promoted: BTreeMap<String, String>,
    job: String,
    instance: String,
    scope: Option<BTreeMap<String, String>>,
}

/// What all points of a metric share.
struct Family {
    name: String,
    delta: bool,
}

impl Translator<'_, '_> {
    fn resource(&mut self, message: Message<'_>) -> Result<(), Malformed> {
        self.batch.item()?;
        let mut attributes = Attributes::new();
        let mut fields = message;
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                read_attributes(field.message()?, 1, &mut attributes)?;
            }
        }
        let mut common = match self.common(&attributes) {
            Ok(common) => common,
            Err(why) => {
                self.batch.mistake(Reason::Untranslatable, count_points(message)?, why);
                return Ok(());
            }
        };
        let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
        let mut fields = message;
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                let times = self.scope(field.message()?, &mut common)?;
                first_ms = first_ms.min(times.0);
                last_ms = last_ms.max(times.1);
            }
        }
        if first_ms <= last_ms {
            common.scope = None;
            self.target_info(&attributes, &common, first_ms, last_ms)?;
        }
        Ok(())
    }

    /// The labels that a resource gives to its series.
    fn common(&self, attributes: &Attributes<'_>) -> Result<Common, String> {
        let mut common = Common::default();
        if let Some(name) = attributes::get(attributes, "service.name") {
            common.job = match attributes::get(attributes, "service.namespace") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            };
        }
        if let Some(instance) = attributes::get(attributes, "service.instance.id") {
            instance.clone_into(&mut common.instance);
        }
        for (name, value) in attributes.iter().filter(|a| self.settings.promoted.has(a.0)) {
            let name = names::label(name, self.settings.strategy)?;
            common.promoted.insert(name.into_owned(), value.clone());
        }
        Ok(common)
    }

    /// Gives the least and the greatest time of the scope's points.
    fn scope(
        &mut self,
        message: Message<'_>,
        common: &mut Common,
    ) -> Result<(i64, i64), Malformed> {
        self.batch.item()?;
        common.scope = None;
        if self.settings.scope_labels {
            match self.scope_labels(message)? {
                Ok(labels) => common.scope = labels,
                Err(why) => {
                    let mut count = 0;
                    count_points_of_scope(message, &mut count)?;
                    self.batch.mistake(Reason::Untranslatable, count, why);
                    return Ok((i64::MAX, i64::MIN));
                }
            }
        }
        let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
        let mut fields = message;
        while let Some(field) = fields.next()? {
            if field.number == 2 {
                let metric = Metric::read(field.message()?)?;
                self.batch.item()?;
                if let Some(data) = &metric.data {
                    data.each(|point| {
                        first_ms = first_ms.min(point.time_ms);
                        last_ms = last_ms.max(point.time_ms);
                        Ok(())
                    })?;
                    self.metric(&metric, data, common)?;
                }
            }
        }
        Ok((first_ms, last_ms))
    }

    /// `otel_scope_*`; `None` for a scope without a name.
    #[allow(clippy::type_complexity)] // a body that is wrong, and a name that is
    fn scope_labels(
        &self,
        mut message: Message<'_>,
    ) -> Result<Result<Option<BTreeMap<String, String>>, String>, Malformed> {
        let (mut name, mut version, mut schema) = ("", "", "");
        let mut attributes = Attributes::new();
        while let Some(field) = message.next()? {
            match field.number {
                1 => {
                    let scope = field.message()?;
                    read_attributes(scope, 3, &mut attributes)?;
                    let mut fields = scope;
                    while let Some(field) = fields.next()? {
                        match field.number {
                            1 => name = field.text()?,
                            2 => version = field.text()?,
                            _ => {}
                        }
                    }
                }
                3 => schema = field.text()?,
                _ => {}
            }
        }
        if name.is_empty() {
            return Ok(Ok(None));
        }
        let mut labels = BTreeMap::new();
        for (name, value) in &attributes {
            match names::label(&format!("otel_scope_{name}"), self.settings.strategy) {
                Ok(name) => labels.insert(name.into_owned(), value.clone()),
                Err(why) => return Ok(Err(why)),
            };
        }
        for (label, value) in [
            ("otel_scope_name", name),
            ("otel_scope_version", version),
            ("otel_scope_schema_url", schema),
        ] {
            labels.insert(label.into(), value.into());
        }
        Ok(Ok(Some(labels)))
    }

    fn metric(
        &mut self,
        metric: &Metric<'_>,
        data: &Data<'_>,
        common: &Common,
    ) -> Result<(), Malformed> {
        let family = match self.family(metric, data) {
            Ok(family) => family,
            Err(why) => {
                let mut count = 0;
                data.each(|_| {
                    count += 1;
                    Ok(())
                })?;
                self.batch.mistake(Reason::Untranslatable, count, why);
                return Ok(());
            }
        };
        data.each(|point| {
            self.batch.item()?;
            match self.labels(&point.attributes, &["__name__"], common, true) {
                Ok(labels) => self.point(data, &family, &labels, point)?,
                Err(why) => self.batch.mistake(Reason::Untranslatable, 1, why),
            }
            Ok(())
        })
    }

    /// The name of a metric; describes its family.
    fn family(&mut self, metric: &Metric<'_>, data: &Data<'_>) -> Result<Family, String> {
        let summed = !matches!(data.kind, DataKind::Gauge | DataKind::Summary);
        let delta = summed && data.temporality == DELTA;
        if summed && data.temporality != CUMULATIVE && !(delta && self.settings.deltas) {
            let name = model::labels::Quoted(metric.name);
            return Err(format!("invalid temporality and type combination for metric {name}"));
        }
        let shape = match data.kind {
            DataKind::Gauge => Shape::Gauge,
            DataKind::Sum if data.monotonic => Shape::Counter,
            _ => Shape::Other,
        };
        let kind = match data.kind {
            // There is no word for deltas yet.
            _ if delta => Kind::Untyped,
            DataKind::Sum if data.monotonic => Kind::Counter,
            DataKind::Gauge | DataKind::Sum => Kind::Gauge,
            DataKind::Histogram | DataKind::ExponentialHistogram => Kind::Histogram,
            DataKind::Summary => Kind::Summary,
        };
        let name = names::metric(metric.name, metric.unit, shape, self.settings.strategy)?;
        if self.described.insert(name.clone()) {
            self.batch.family(Metadata {
                name: name.clone(),
                kind,
                help: metric.description.into(),
                unit: names::unit(metric.unit),
            });
        }
        Ok(Family { name, delta })
    }

    fn point(
        &mut self,
        data: &Data<'_>,
        family: &Family,
        labels: &BTreeMap<String, String>,
        point: Point<'_>,
    ) -> Result<(), Malformed> {
        let or_end = |value: f64| if point.ended { STALE } else { value };
        match data.kind {
            DataKind::Gauge => {
                self.sample(labels, &family.name, None, &point, or_end(point.value), &[]);
            }
            DataKind::Sum => {
                let value = or_end(point.value);
                self.sample(labels, &family.name, None, &point, value, &point.exemplars);
            }
            DataKind::Histogram if !self.settings.native_histograms => {
                self.buckets(labels, &family.name, &point)?;
            }
            DataKind::Histogram | DataKind::ExponentialHistogram => {
                let made = match data.kind {
                    DataKind::Histogram => Ok(points::custom(&point, family.delta)),
                    _ => points::exponential(&point, family.delta),
                };
                let histogram = match made {
                    Ok(histogram) => histogram,
                    Err(why) => {
                        self.batch.mistake(Reason::InvalidHistogram, 1, why);
                        return Ok(());
                    }
                };
                if let Some(series) = self.series(labels, &family.name, None, 1) {
                    self.batch.histogram(series, histogram);
                    self.exemplars(series, &point.exemplars);
                }
            }
            DataKind::Summary => {
                let sum = point.sum.unwrap_or(0.0);
                self.sample(
                    labels,
                    &format!("{}_sum", family.name),
                    None,
                    &point,
                    or_end(sum),
                    &[],
                );
                let count = or_end(point.count as f64);
                self.sample(labels, &format!("{}_count", family.name), None, &point, count, &[]);
                for (quantile, value) in &point.quantiles {
                    self.batch.item()?;
                    let quantile = points::bound(*quantile);
                    let more = Some(("quantile", quantile.as_str()));
                    self.sample(labels, &family.name, more, &point, or_end(*value), &[]);
                }
            }
        }
        Ok(())
    }

    /// A histogram as series of counts.
    fn buckets(
        &mut self,
        labels: &BTreeMap<String, String>,
        name: &str,
        point: &Point<'_>,
    ) -> Result<(), Malformed> {
        let or_end = |value: f64| if point.ended { STALE } else { value };
        if let Some(sum) = point.sum {
            self.sample(labels, &format!("{name}_sum"), None, point, or_end(sum), &[]);
        }
        let count = or_end(point.count as f64);
        self.sample(labels, &format!("{name}_count"), None, point, count, &[]);
        let name = format!("{name}_bucket");
        let (mut below, mut exemplars) = (0u64, point.exemplars.as_slice());
        for (bound, count) in point.bounds.iter().zip(&point.counts) {
            self.batch.item()?;
            below = below.wrapping_add(*count);
            let within = exemplars.iter().take_while(|e| e.value <= *bound).count();
            let (of_bucket, rest) = exemplars.split_at(within);
            exemplars = rest;
            let le = points::bound(*bound);
            let value = or_end(below as f64);
            self.sample(labels, &name, Some(("le", &le)), point, value, of_bucket);
        }
        self.sample(labels, &name, Some(("le", "+Inf")), point, count, exemplars);
        Ok(())
    }

    fn sample(
        &mut self,
        labels: &BTreeMap<String, String>,
        name: &str,
        more: Option<(&str, &str)>,
        point: &Point<'_>,
        value: f64,
        exemplars: &[Exemplar],
    ) {
        if let Some(series) = self.series(labels, name, more, 1) {
            self.batch.sample(series, point.time_ms, point.start_ms, value);
            self.exemplars(series, exemplars);
        }
    }

    fn exemplars(&mut self, series: Series, exemplars: &[Exemplar]) {
        for exemplar in exemplars {
            self.batch.exemplar(series, exemplar.clone());
        }
    }

    /// The series of a name with these labels, checked.
    fn series(
        &mut self,
        labels: &BTreeMap<String, String>,
        name: &str,
        more: Option<(&str, &str)>,
        samples: usize,
    ) -> Option<Series> {
        let own = |n: &str| n == METRIC_NAME || more.is_some_and(|m| m.0 == n);
        let kept = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).filter(|l| !own(l.0));
        let all = kept.chain([(METRIC_NAME, name)]).chain(more);
        // An empty value and no label are the same.
        let all = all.filter(|l| !l.1.is_empty());
        let mut pairs: Vec<_> = all.map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        self.batch.series(&mut pairs, samples)
    }

    /// The labels of a point: its attributes, and what resource and scope add. Attributes whose names
    /// become the same are joined.
    fn labels(
        &self,
        attributes: &Attributes<'_>,
        ignored: &[&str],
        common: &Common,
        promote: bool,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut sorted: Vec<_> = attributes.iter().filter(|a| !ignored.contains(&a.0)).collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in sorted {
            let name = match self.settings.strategy.escapes() {
                true => names::label(name, self.settings.strategy)?.into_owned(),
                false => (*name).to_owned(),
            };
            let label = labels.entry(name).or_default();
            match label.is_empty() {
                true => label.clone_from(value),
                false => *label = format!("{label};{value}"),
            }
        }
        if promote {
            for (name, value) in &common.promoted {
                let label = labels.entry(name.clone()).or_default();
                if label.is_empty() {
                    label.clone_from(value);
                }
            }
        }
        for (name, value) in [("job", &common.job), ("instance", &common.instance)] {
            if !value.is_empty() {
                labels.insert(name.into(), value.clone());
            }
        }
        for (name, value) in common.scope.iter().flatten() {
            labels.insert(name.clone(), value.clone());
        }
        Ok(labels)
    }

    /// A resource's own metric, with what its series do not carry: a sample at least every half of
    /// the time that queries look back.
    fn target_info(
        &mut self,
        attributes: &Attributes<'_>,
        common: &Common,
        first_ms: i64,
        last_ms: i64,
    ) -> Result<(), Malformed> {
        let ignored: &[&str] = if self.settings.keep_identifying { &[] } else { &IDENTIFYING };
        let tells = attributes.iter().any(|a| !IDENTIFYING.contains(&a.0));
        if !tells {
            return Ok(());
        }
        let labels = match self.labels(attributes, ignored, common, false) {
            Ok(labels) => labels,
            Err(why) => {
                self.batch.mistake(Reason::Untranslatable, 1, why);
                return Ok(());
            }
        };
        if !["job", "instance"].iter().any(|n| labels.get(*n).is_some_and(|v| !v.is_empty())) {
            return Ok(());
        }
        let Some(series) = self.series(&labels, "target_info", None, 1) else { return Ok(()) };
        if self.described.insert("target_info".into()) {
            self.batch.family(Metadata {
                name: "target_info".into(),
                kind: Kind::Gauge,
                help: "Target metadata".into(),
                unit: String::new(),
            });
        }
        let step_ms = (self.settings.lookback_ms / 2).max(1);
        let mut time_ms = first_ms.max(last_ms.saturating_sub(step_ms.saturating_mul(TARGET_INFO)));
        loop {
            let at_ms = time_ms.min(last_ms);
            if self.told.insert((self.batch.labels_of(series).into_owned(), at_ms)) {
                self.batch.item()?;
                self.batch.sample(series, at_ms, 0, 1.0);
            }
            if time_ms >= last_ms {
                return Ok(());
            }
            time_ms = time_ms.saturating_add(step_ms);
        }
    }
}

/// Reads the attributes of a message, which are its fields `number`.
fn read_attributes<'a>(
    mut message: Message<'a>,
    number: u32,
    into: &mut Attributes<'a>,
) -> Result<(), Malformed> {
    while let Some(field) = message.next()? {
        if field.number == number {
            if into.len() > 1 << 12 {
                let what = "a resource or scope with more than 4096 attributes";
                return Err(Malformed { at: field.place(), what });
            }
            attributes::read(field.message()?, into)?;
        }
    }
    Ok(())
}

/// How many points a resource has, of which none can be taken.
fn count_points(mut resource: Message<'_>) -> Result<usize, Malformed> {
    let mut count = 0;
    while let Some(field) = resource.next()? {
        if field.number == 2 {
            count_points_of_scope(field.message()?, &mut count)?;
        }
    }
    Ok(count)
}

fn count_points_of_scope(mut scope: Message<'_>, count: &mut usize) -> Result<(), Malformed> {
    while let Some(field) = scope.next()? {
        if field.number == 2
            && let Some(data) = Metric::read(field.message()?)?.data
        {
            data.each(|_| {
                *count += 1;
                Ok(())
            })?;
        }
    }
    Ok(())
}
