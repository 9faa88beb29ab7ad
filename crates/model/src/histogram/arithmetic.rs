//! Adding, subtracting, scaling and comparing histograms, with the rules of Prometheus 3 for
//! different schemas, zero buckets and bounds.

use super::bounds::exponential_bound;
pub use super::side::kahan as kahan_add;
use super::side::{Cell, cells, coarser, layout, merge};
use super::{Histogram, ResetHint};

/// Exponential and custom buckets cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct IncompatibleSchemas;

/// What happened while two histograms were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One was marked as reset and the other as not reset.
    pub reset_collision: bool,
    /// Their custom bounds differed, and only common ones were kept.
    pub bounds_reconciled: bool,
}

impl Histogram {
    /// Adds `other`.
    pub fn add(&mut self, other: &Histogram) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, 1.0, None)
    }

    /// Subtracts `other`.
    pub fn sub(&mut self, other: &Histogram) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, -1.0, None)
    }

    /// Adds `other` and keeps what rounding lost in `lost`.
    pub fn add_exactly(
        &mut self,
        other: &Histogram,
        lost: &mut Option<Histogram>,
    ) -> Result<Combined, IncompatibleSchemas> {
        let mut kept = lost.take().unwrap_or_else(|| self.nothing_lost());
        let combined = self.combine(other, 1.0, Some(&mut kept));
        *lost = Some(kept);
        combined
    }

    fn nothing_lost(&self) -> Histogram {
        Histogram {
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            ..self.clone()
        }
    }

    fn combine(
        &mut self,
        other: &Histogram,
        sign: f64,
        mut lost: Option<&mut Histogram>,
    ) -> Result<Combined, IncompatibleSchemas> {
        if self.uses_custom_bounds() != other.uses_custom_bounds() {
            return Err(IncompatibleSchemas);
        }
        let mut combined =
            Combined { reset_collision: self.adjust_hint(other), bounds_reconciled: false };
        let exact = lost.is_some();
        if !self.uses_custom_bounds() {
            let (zero_count, zero_lost) = self.widen_zero_bucket(other, lost.as_deref_mut());
            match &mut lost {
                Some(l) => {
                    for add in [zero_count, zero_lost] {
                        (self.zero_count, l.zero_count) =
                            kahan_add(add, self.zero_count, l.zero_count);
                    }
                }
                None => self.zero_count += sign * zero_count,
            }
        }
        match &mut lost {
            Some(l) => {
                (self.count, l.count) = kahan_add(other.count, self.count, l.count);
                (self.sum, l.sum) = kahan_add(other.sum, self.sum, l.sum);
            }
            None => {
                self.count += sign * other.count;
                self.sum += sign * other.sum;
            }
        }
        if self.uses_custom_bounds() && self.custom_bounds != other.custom_bounds {
            combined.bounds_reconciled = true;
            self.combine_common_bounds(other, sign, lost);
            return Ok(combined);
        }
        let schema = self.schema.min(other.schema);
        let no_loss: (&[f64], &[f64]) = (&[], &[]);
        let losses = lost.as_ref().map_or(no_loss, |l| (&l.positive_buckets, &l.negative_buckets));
        let side = |own: Vec<Cell>, theirs: Vec<Cell>| {
            let own = coarser_if(own, self.schema, schema, exact);
            let theirs = coarser_if(theirs, other.schema, schema, exact);
            // What lies in the zero bucket was counted there.
            let custom = self.uses_custom_bounds();
            let start = theirs
                .iter()
                .position(|c| custom || exponential_bound(c.index, schema) > self.zero_threshold)
                .unwrap_or(theirs.len());
            layout(&merge(own, &theirs[start..], sign, exact))
        };
        let positive = side(
            cells(&self.positive_spans, &self.positive_buckets, losses.0),
            cells(&other.positive_spans, &other.positive_buckets, &[]),
        );
        let negative = side(
            cells(&self.negative_spans, &self.negative_buckets, losses.1),
            cells(&other.negative_spans, &other.negative_buckets, &[]),
        );
        self.schema = schema;
        (self.positive_spans, self.positive_buckets) = (positive.0, positive.1);
        (self.negative_spans, self.negative_buckets) = (negative.0, negative.1);
        if let Some(l) = lost {
            (l.schema, l.zero_threshold) = (schema, self.zero_threshold);
            (l.positive_spans, l.positive_buckets) = (self.positive_spans.clone(), positive.2);
            (l.negative_spans, l.negative_buckets) = (self.negative_spans.clone(), negative.2);
        }
        Ok(combined)
    }

    /// Combines histograms of different custom bounds over the bounds that both have.
    fn combine_common_bounds(
        &mut self,
        other: &Histogram,
        sign: f64,
        lost: Option<&mut Histogram>,
    ) {
        let common: Vec<f64> = self
            .custom_bounds
            .iter()
            .copied()
            .filter(|b| other.custom_bounds.contains(b))
            .collect();
        let no_loss: &[f64] = &[];
        let losses = lost.as_ref().map_or(no_loss, |l| &l.positive_buckets);
        let mut sums = vec![(0.0, 0.0); common.len() + 1];
        let own = cells(&self.positive_spans, &self.positive_buckets, losses);
        let theirs = cells(&other.positive_spans, &other.positive_buckets, &[]);
        for (cells, bounds, sign) in
            [(own, &self.custom_bounds, 1.0), (theirs, &other.custom_bounds, sign)]
        {
            for cell in cells {
                let bound = usize::try_from(cell.index).ok().and_then(|i| bounds.get(i));
                let at = bound.map_or(common.len(), |b| common.partition_point(|c| c < b));
                for add in [cell.count, cell.lost] {
                    sums[at] = kahan_add(sign * add, sums[at].0, sums[at].1);
                }
            }
        }
        let kept: Vec<Cell> = (0i32..)
            .zip(sums)
            .filter(|(_, s)| s.0 != 0.0 || s.1 != 0.0)
            .map(|(index, s)| Cell { index, count: s.0, lost: s.1 })
            .collect();
        let losses;
        (self.positive_spans, self.positive_buckets, losses) = layout(&kept);
        self.custom_bounds = common.into();
        if let Some(l) = lost {
            l.custom_bounds = self.custom_bounds.clone();
            (l.positive_spans, l.positive_buckets) = (self.positive_spans.clone(), losses);
        }
    }

    /// Settles the hint of a combination; true where the two hints contradict each other.
    fn adjust_hint(&mut self, other: &Histogram) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.reset_hint, other.reset_hint) {
            (a, b) if a == b => false,
            (Gauge, _) => false,
            (_, Gauge) => {
                self.reset_hint = Gauge;
                false
            }
            (Unknown, _) => false,
            (_, Unknown) => {
                self.reset_hint = Unknown;
                false
            }
            _ => {
                self.reset_hint = Unknown;
                true
            }
        }
    }

    /// Widens the zero bucket until `other`'s fits; gives the zero count of `other` at that width
    /// and what rounding lost of it.
    fn widen_zero_bucket(&mut self, other: &Histogram, lost: Option<&mut Histogram>) -> (f64, f64) {
        let (mut count, mut threshold, mut count_lost) =
            (other.zero_count, other.zero_threshold, 0.0);
        let mut lost = lost;
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold, count_lost) = other.zero_count_at(self.zero_threshold, None);
            }
            if threshold > self.zero_threshold {
                let widened = self.zero_count_at(threshold, lost.as_deref());
                (self.zero_count, self.zero_threshold) = (widened.0, widened.1);
                if let Some(l) = &mut lost {
                    l.zero_count = widened.2;
                }
                self.empty_below_threshold(lost.as_deref_mut());
            }
            if threshold.is_nan() || self.zero_threshold.is_nan() {
                break;
            }
        }
        (count, count_lost)
    }

    /// The zero count if the zero bucket reached up to `threshold`, the threshold at which no bucket
    /// is cut, and what rounding lost.
    fn zero_count_at(&self, mut threshold: f64, lost: Option<&Histogram>) -> (f64, f64, f64) {
        let first_lost = lost.map_or(0.0, |l| l.zero_count);
        if threshold <= self.zero_threshold {
            return (self.zero_count, self.zero_threshold, first_lost);
        }
        let mut total_lost = first_lost;
        'again: loop {
            let mut total = self.zero_count;
            let mut add = |count: f64, loss: Option<f64>| {
                (total, total_lost) = kahan_add(count, total, total_lost);
                if let Some(loss) = loss {
                    (total, total_lost) = kahan_add(loss, total, total_lost);
                }
            };
            for (i, b) in self.positive().enumerate() {
                if b.lower >= threshold {
                    break;
                }
                add(b.count, lost.and_then(|l| l.positive_buckets.get(i).copied()));
                if b.upper > threshold {
                    if b.count != 0.0 {
                        threshold = b.upper;
                    }
                    break;
                }
            }
            for (i, b) in self.negative().enumerate() {
                if b.upper <= -threshold {
                    break;
                }
                add(b.count, lost.and_then(|l| l.negative_buckets.get(i).copied()));
                if b.lower < -threshold {
                    if b.count != 0.0 {
                        threshold = -b.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (total, threshold, total_lost);
        }
    }

    /// Empties the buckets that the zero bucket now covers.
    fn empty_below_threshold(&mut self, mut lost: Option<&mut Histogram>) {
        let zero = self.zero_threshold;
        let positive = self.positive().take_while(|b| b.lower < zero).count();
        let negative = self.negative().take_while(|b| b.upper > -zero).count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        if let Some(l) = &mut lost {
            l.positive_buckets[..positive].fill(0.0);
            l.negative_buckets[..negative].fill(0.0);
        }
        self.compact_with(lost);
    }

    /// Drops empty buckets.
    pub fn compact(&mut self) {
        let tidy = |spans: &[super::Span], buckets: &[f64]| {
            buckets.iter().all(|b| *b != 0.0)
                && spans.iter().all(|s| s.length > 0)
                && spans.iter().skip(1).all(|s| s.offset > 0)
        };
        if tidy(&self.positive_spans, &self.positive_buckets)
            && tidy(&self.negative_spans, &self.negative_buckets)
        {
            return;
        }
        self.compact_with(None);
    }

    fn compact_with(&mut self, lost: Option<&mut Histogram>) {
        let no_loss: (&[f64], &[f64]) = (&[], &[]);
        let losses = lost.as_ref().map_or(no_loss, |l| (&l.positive_buckets, &l.negative_buckets));
        let keep = |mut cells: Vec<Cell>| {
            cells.retain(|c| c.count != 0.0 || c.lost != 0.0);
            layout(&cells)
        };
        let positive = keep(cells(&self.positive_spans, &self.positive_buckets, losses.0));
        let negative = keep(cells(&self.negative_spans, &self.negative_buckets, losses.1));
        (self.positive_spans, self.positive_buckets) = (positive.0, positive.1);
        (self.negative_spans, self.negative_buckets) = (negative.0, negative.1);
        if let Some(l) = lost {
            (l.positive_spans, l.positive_buckets) = (self.positive_spans.clone(), positive.2);
            (l.negative_spans, l.negative_buckets) = (self.negative_spans.clone(), negative.2);
        }
    }

    /// Multiplies all counts and the sum; a negative factor makes it a gauge.
    pub fn scale(&mut self, factor: f64) {
        self.each(|v| v * factor);
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum; by zero leaves no buckets.
    pub fn divide(&mut self, divisor: f64) {
        self.each(|v| v / divisor);
        if divisor == 0.0 {
            self.positive_buckets.clear();
            self.negative_buckets.clear();
            self.positive_spans.clear();
            self.negative_spans.clear();
        } else if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn each(&mut self, f: impl Fn(f64) -> f64) {
        for v in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *v = f(*v);
        }
        for v in self.positive_buckets.iter_mut().chain(&mut self.negative_buckets) {
            *v = f(*v);
        }
    }

    /// Whether a count or the sum grew beyond all numbers.
    pub fn has_overflow(&self) -> bool {
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .any(|v| v.is_infinite())
    }

    /// The same at a coarser exponential schema; the hint is lost unless the schema is the same.
    pub fn at_schema(&self, schema: i32) -> Histogram {
        if schema >= self.schema || self.uses_custom_bounds() {
            return self.clone();
        }
        let side = |spans, buckets| {
            layout(&coarser(cells(spans, buckets, &[]), self.schema, schema, false))
        };
        let positive = side(&self.positive_spans, &self.positive_buckets);
        let negative = side(&self.negative_spans, &self.negative_buckets);
        Histogram {
            reset_hint: ResetHint::Unknown,
            schema,
            positive_spans: positive.0,
            positive_buckets: positive.1,
            negative_spans: negative.0,
            negative_buckets: negative.1,
            ..self.clone()
        }
    }

    /// Whether a counter was reset between `previous` and this.
    pub fn is_reset_after(&self, previous: &Histogram) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            _ => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_bounds() {
            if !previous.uses_custom_bounds() {
                return true;
            }
            if self.custom_bounds != previous.custom_bounds {
                return self.is_reset_over_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        if previous.uses_custom_bounds() && !self.uses_custom_bounds() {
            return true;
        }
        let (zero_count, threshold, _) = previous.zero_count_at(self.zero_threshold, None);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let side = |spans, buckets, schema| {
            let mut cells = coarser_if(cells(spans, buckets, &[]), schema, self.schema, false);
            if !self.uses_custom_bounds() && self.zero_threshold != 0.0 {
                let covered =
                    |c: &Cell| exponential_bound(c.index, self.schema) <= self.zero_threshold;
                let start = cells.iter().position(|c| !covered(c)).unwrap_or(cells.len());
                cells.drain(..start);
            }
            cells
        };
        lost_any(
            &side(&self.positive_spans, &self.positive_buckets, self.schema),
            &side(&previous.positive_spans, &previous.positive_buckets, previous.schema),
        ) || lost_any(
            &side(&self.negative_spans, &self.negative_buckets, self.schema),
            &side(&previous.negative_spans, &previous.negative_buckets, previous.schema),
        )
    }

    /// Compares the counts between bounds that both have.
    fn is_reset_over_common_bounds(&self, previous: &Histogram) -> bool {
        let mut bounds: Vec<f64> = self
            .custom_bounds
            .iter()
            .copied()
            .filter(|b| previous.custom_bounds.contains(b))
            .collect();
        bounds.push(f64::INFINITY);
        let sums = |h: &Histogram| {
            let mut sums = vec![0.0; bounds.len()];
            for b in h.positive() {
                let at = bounds.partition_point(|bound| *bound < b.upper);
                sums[at.min(bounds.len() - 1)] += b.count;
            }
            sums
        };
        sums(self).iter().zip(sums(previous)).any(|(now, before)| *now < before)
    }
}

fn coarser_if(cells: Vec<Cell>, from: i32, to: i32, exact: bool) -> Vec<Cell> {
    if from > to { coarser(cells, from, to, exact) } else { cells }
}

/// Whether a bucket holds less than it held before.
fn lost_any(now: &[Cell], before: &[Cell]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|b| {
        while now.next_if(|n| n.index < b.index).is_some() {}
        match now.peek() {
            Some(n) if n.index == b.index => n.count < b.count,
            _ => b.count != 0.0,
        }
    })
}
