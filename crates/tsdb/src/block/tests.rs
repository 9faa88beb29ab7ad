//! A block gives back what went in, matches as a naive reader does, and notices every changed bit.

use super::*;
use model::{Histogram, MatchOp, Matcher};
use proptest::prelude::*;

/// What one series of one group holds: presence, value and start for each tick.
type Column = Vec<Option<(f64, i64)>>;

fn labels(i: usize) -> Labels {
    let (a, b) = (format!("v{}", i % 3), format!("w{i:03}"));
    let mut pairs =
        vec![("__name__", if i.is_multiple_of(2) { "even" } else { "odd" }), ("a", &a), ("b", &b)];
    if i.is_multiple_of(4) {
        pairs.push(("rare", "yes"));
    }
    Labels::from_pairs(pairs)
}

fn write(times: &[Vec<i64>], series: &[(usize, usize, Column)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("begins");
    let groups: Vec<_> = times.iter().map(|t| writer.group(t).expect("a group")).collect();
    let mut order: Vec<_> = series.iter().collect();
    order.sort_by_key(|s| labels(s.0));
    for (i, group, column) in order {
        let present: Vec<u32> =
            (0..column.len() as u32).filter(|&t| column[t as usize].is_some()).collect();
        let floats: Vec<f64> = column.iter().flatten().map(|p| p.0).collect();
        let starts_ms: Vec<i64> = column.iter().flatten().map(|p| p.1).collect();
        let points = Points {
            ticks: Some(&present),
            floats: &floats,
            histograms: &[],
            starts_ms: &starts_ms,
        };
        writer.series(&labels(*i), groups[*group], points).expect("a series");
    }
    let (bytes, meta) = writer.finish(2, &["one".into()]).expect("finishes");
    assert_eq!((meta.level, meta.sources.len()), (2, 1));
    bytes
}

/// Times of groups; (labels, group, column) of series.
type Case = (Vec<Vec<i64>>, Vec<(usize, usize, Column)>);

fn arbitrary() -> impl Strategy<Value = Case> {
    let times = prop::collection::vec((0i64..10_000, prop::collection::vec(1i64..40, 0..20)), 1..4);
    let times = times.prop_map(|groups| {
        let ticks = |(start, steps): (i64, Vec<i64>)| {
            let next = |at: &mut i64, step| {
                *at += step;
                Some(*at)
            };
            std::iter::once(start).chain(steps.into_iter().scan(start, next)).collect()
        };
        groups.into_iter().map(ticks).collect::<Vec<Vec<i64>>>()
    });
    (
        times,
        prop::collection::btree_map(
            0usize..30,
            (any::<prop::sample::Index>(), any::<u64>()),
            0..20,
        ),
    )
        .prop_map(|(times, series)| {
            let column = |(i, (group, seed)): (usize, (prop::sample::Index, u64))| {
                let group = group.index(times.len());
                let mut state = seed | 1;
                let mut next = || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state
                };
                let tick = |_: &i64| {
                    (next() % 4 != 0).then(|| ((next() % 100) as f64 / 10.0, (next() % 3) as i64))
                };
                (i, group, times[group].iter().map(tick).collect())
            };
            let series = series.into_iter().map(column).collect();
            (times, series)
        })
}

proptest! {
    #[test]
    fn gives_back_what_went_in((times, series) in arbitrary(), start in 0i64..12_000, length in 0i64..2_000) {
        let block = Block::open(write(&times, &series)).expect("opens");
        block.verify().expect("is whole");
        let mut expected: Vec<_> = series.iter().filter(|s| s.2.iter().any(Option::is_some)).collect();
        expected.sort_by_key(|s| labels(s.0));
        prop_assert_eq!(block.meta().series as usize, expected.len());
        let mut scratch = Scratch::default();
        for (ordinal, (i, group, column)) in expected.into_iter().enumerate() {
            prop_assert_eq!(block.labels(ordinal as u32, &mut scratch).expect("labels"), labels(*i));
            let mut columns = Columns::default();
            block.read(ordinal as u32, start, start + length, &mut scratch, &mut columns).expect("reads");
            let within = times[*group].iter().zip(column).filter(|(t, _)| (start..=start + length).contains(*t));
            let wanted: Vec<_> = within.filter_map(|(&t, p)| p.map(|(v, s)| (t, v, s))).collect();
            let starts = if columns.starts_ms.is_empty() { vec![0; wanted.len()] } else { columns.starts_ms.clone() };
            let got: Vec<_> = (0..columns.times_ms.len()).map(|k| (columns.times_ms[k], columns.floats[k], starts[k])).collect();
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn matches_as_a_naive_reader_does((times, series) in arbitrary(), op in 0usize..4, name in 0usize..5, value in 0usize..11) {
        let op = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex][op];
        let name = ["__name__", "a", "b", "rare", "absent"][name];
        let value = ["", "even", "v1", "w0.*", "v1|v2", ".*", ".+", "w00?.*", "yes|", "w005|even", "v.?|odd"][value];
        let matcher = Matcher::new(op, name, value).expect("parses");
        let block = Block::open(write(&times, &series)).expect("opens");
        let mut scratch = Scratch::default();
        for _ in 0..2 { // the second time from what is kept
            let found = block.select(std::slice::from_ref(&matcher), model::Stop::default()).expect("selects");
            let mut names = std::collections::BTreeSet::new();
            let mut values = std::collections::BTreeSet::new();
            for ordinal in 0..block.meta().series as u32 {
                let labels = block.labels(ordinal, &mut scratch).expect("labels");
                prop_assert_eq!(found.contains(ordinal), matcher.matches(labels.get(name).unwrap_or("")), "{}", labels);
                if found.contains(ordinal) {
                    names.extend(labels.iter().map(|l| l.0.to_owned()));
                    values.extend(labels.get("a").map(str::to_owned));
                }
            }
            prop_assert_eq!(block.label_names(&found).expect("names"), names.iter().collect::<Vec<_>>());
            prop_assert_eq!(block.label_values("a", &found).expect("values"), values.into_iter().collect::<Vec<_>>());
        }
    }
}

fn small() -> Vec<u8> {
    let times = vec![(0..2500).map(|t| t * 1000).collect::<Vec<i64>>(), vec![5, 6, 9]];
    let series: Vec<_> = (0..6)
        .map(|i| {
            let column = times[i % 2].iter().enumerate();
            (i, i % 2, column.map(|(k, _)| (k % 7 != i).then_some((k as f64, 0))).collect())
        })
        .collect();
    write(&times, &series)
}

#[test]
fn every_changed_bit_is_noticed() {
    let good = small();
    Block::open(good.clone()).and_then(|b| b.verify()).expect("is whole");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let noticed = Block::open(bad).and_then(|b| b.verify());
        assert!(noticed.is_err(), "a changed bit in byte {at} of {} went unnoticed", good.len());
    }
    for length in 0..good.len() {
        assert!(Block::open(good[..length].to_vec()).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut bytes = small();
    bytes[8] = 9;
    // A later format ends in other bytes: those that are told from a damaged version.
    *bytes.last_mut().expect("is not empty") ^= 1;
    let error = Block::open(bytes).err().expect("refused").to_string();
    assert_eq!(error, "block has format 9, newer than 1, the newest that this program reads");
}

#[test]
fn histograms_and_pages_come_back() {
    let times: Vec<i64> = (0..3000).map(|t| t * 15_000).collect();
    let histogram = |i: usize| {
        let buckets = if i < 2000 { vec![i as f64, 2.0] } else { vec![1.0, 2.0, i as f64] };
        Arc::new(Histogram {
            schema: 3,
            count: i as f64,
            sum: if i == 7 { model::value::STALE } else { i as f64 / 3.0 },
            positive_spans: vec![model::histogram::Span {
                offset: -4,
                length: buckets.len() as u32,
            }],
            positive_buckets: buckets,
            reset_hint: model::histogram::ResetHint::NotReset,
            ..Histogram::default()
        })
    };
    let histograms: Vec<_> =
        (0..3000).filter(|i| i % 3 != 0).map(|i| (i as u32, histogram(i))).collect();
    let floats = vec![0.0; 3000];
    let mut writer = Writer::new(Vec::new()).expect("begins");
    let group = writer.group(&times).expect("a group");
    let points = Points { ticks: None, floats: &floats, histograms: &histograms, starts_ms: &[] };
    writer.series(&labels(1), group, points).expect("a series");
    let block = Block::open(writer.finish(0, &[]).expect("finishes").0).expect("opens");
    let (mut scratch, mut columns) = (Scratch::default(), Columns::default());
    let whole = block.read(0, i64::MIN, i64::MAX, &mut scratch, &mut columns).expect("reads");
    assert!(whole.is_some());
    assert_eq!(columns.times_ms, times);
    assert_eq!(columns.histograms.len(), histograms.len());
    for (got, wanted) in columns.histograms.iter().zip(&histograms) {
        assert_eq!(got.0, wanted.0);
        assert_eq!(got.1.sum.to_bits(), wanted.1.sum.to_bits());
        assert_eq!(
            (&got.1.positive_buckets, got.1.reset_hint),
            (&wanted.1.positive_buckets, wanted.1.reset_hint)
        );
    }
    columns.clear();
    block.read(0, 1024 * 15_000, 1100 * 15_000, &mut scratch, &mut columns).expect("reads");
    assert_eq!((columns.times_ms.len(), columns.histograms[0].0), (77, 0));
}
