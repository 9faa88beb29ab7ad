//! What takes most room in the head: series counted by metric, label, target, and those of each that
//! ended or began, which is churn. Counts only; who asks decides what is too much.

use crate::block::Scratch;
use crate::head::series::SeriesIndex;
use crate::numbers::Which;
use crate::store::State;
use crate::{Cardinality, Count};
use model::labels::METRIC_NAME;
use std::collections::{BTreeMap, HashMap};

/// A series that lies in no group at present has ended when others went on for so long without it.
const SILENT_MS: i64 = 5 * 60_000;

/// Counts; at most `limit` names a list.
pub(crate) fn count(state: &State, limit: usize) -> Cardinality {
    let index = &state.head.index;
    let mut result = Cardinality { series: index.len() as u64, ..Cardinality::default() };
    let (mut metrics, mut pairs) = (Vec::new(), Vec::new());
    let mut values: HashMap<String, (u64, u64)> = HashMap::new();
    index.each_label(|name, value, count| {
        result.label_pairs += 1;
        if name == METRIC_NAME {
            metrics.push(Count { name: value.into(), count });
        }
        pairs.push((name.to_owned(), value.to_owned(), count));
        let of_name = values.entry(name.into()).or_default();
        *of_name = (of_name.0 + 1, of_name.1 + value.len() as u64);
    });
    let values: BTreeMap<String, (u64, u64)> = values.into_iter().collect();
    let of_values = |f: fn(&(u64, u64)) -> u64| {
        values.iter().map(|(n, v)| Count { name: n.clone(), count: f(v) }).collect()
    };
    let pairs = pairs.into_iter().map(|(n, v, count)| Count { name: format!("{n}={v}"), count });
    result.series_by_metric = top(metrics, limit);
    result.values_by_label = top(of_values(|v| v.0), limit);
    result.bytes_by_label = top(of_values(|v| v.1), limit);
    result.series_by_label_pair = top(pairs.collect(), limit);
    by_target(state, limit, &mut result);
    result.begun_by_metric = begun(state, limit);
    result
}

/// The series that the newest block does not have.
fn begun(state: &State, limit: usize) -> Vec<Count> {
    let index = &state.head.index;
    let mut begun = index.numbers().clone();
    if let Some(newest) = state.blocks.last() {
        let mut scratch = Scratch::default();
        for entry in 0..newest.block.meta().series as u32 {
            let which = newest.numbers.which(&newest.block, entry, index, &mut scratch);
            // What is damaged is told where it is read.
            if let Ok(Which::Number(number)) = which {
                begun.remove(number);
            }
        }
    }
    let name = index.symbols.find(METRIC_NAME);
    let mut metrics: HashMap<u32, u64> = HashMap::new();
    for metric in begun.iter().filter_map(|n| index.value(n, name?)) {
        *metrics.entry(metric).or_default() += 1;
    }
    named(metrics, index, limit)
}

/// Counts by the numbers of names.
fn named(counts: HashMap<u32, u64>, index: &SeriesIndex, limit: usize) -> Vec<Count> {
    let counts = counts.into_iter();
    let counts = counts.map(|(m, count)| Count { name: index.symbols.text(m).into(), count });
    top(counts.collect(), limit)
}

/// Series, and those that ended.
type Both = (u64, u64);

fn by_target(state: &State, limit: usize, result: &mut Cardinality) {
    let (head, index) = (&state.head, &state.head.index);
    let [metric, job, instance] =
        [METRIC_NAME, "job", "instance"].map(|name| index.symbols.find(name));
    let newest = head.epochs.values().map(|e| e.max_ms).max().unwrap_or(i64::MIN);
    let mut targets: HashMap<(Option<u32>, Option<u32>), Both> = HashMap::new();
    let mut metrics: HashMap<u32, u64> = HashMap::new();
    for number in index.numbers() {
        let value = |name: Option<u32>| name.and_then(|name| index.value(number, name));
        let ended = has_ended(state, number, newest);
        let of_target = targets.entry((value(job), value(instance))).or_default();
        *of_target = (of_target.0 + 1, of_target.1 + u64::from(ended));
        if let Some(metric) = value(metric).filter(|_| ended) {
            *metrics.entry(metric).or_default() += 1;
        }
        result.ended += u64::from(ended);
    }
    let text = |symbol: &Option<u32>| symbol.map_or("", |s| index.symbols.text(s));
    let ranked = |of: fn(&Both) -> u64| {
        let each = targets.iter().map(|((job, instance), both)| {
            let name = format!("job={:?}, instance={:?}", text(job), text(instance));
            Count { name, count: of(both) }
        });
        top(each.filter(|c| c.count > 0).collect(), limit)
    };
    result.series_by_target = ranked(|both| both.0);
    result.ended_by_target = ranked(|both| both.1);
    result.ended_by_metric = named(metrics, index, limit);
}

/// Whether a series gets no samples any more.
fn has_ended(state: &State, number: u32, newest_ms: i64) -> bool {
    let Some(series) = state.head.index.get(number) else { return true };
    let owner = series.owner.and_then(|(group, slot)| {
        let group = state.head.group(group).filter(|g| g.attached)?;
        group.slots.get(slot as usize)
    });
    match owner {
        Some(slot) => !slot.present(),
        None => state.head.last_ms(number) < newest_ms.saturating_sub(SILENT_MS),
    }
}

/// The largest counts, of equal ones the first by name.
fn top(mut counts: Vec<Count>, limit: usize) -> Vec<Count> {
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(limit);
    counts
}
