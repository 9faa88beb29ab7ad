//! Aggregations that pick series (`topk`, `bottomk`, `limitk`, `limit_ratio`) or count their values.

use super::aggregate::{Groups, bounds};
use super::evaluate::{Evaluator, Result};
use super::quantile::sort_key;
use super::values::{Grid, Point, Points, Series};
use crate::ast::{Aggregate, AggregateOp};
use crate::literal::{format_float, format_float_short};
use crate::query::{Interrupt, QueryError};
use hashbrown::HashMap;
use model::Labels;
use model::sort::sort_by;
use std::cmp::Ordering;

/// `topk`, `bottomk`, `limitk` and `limit_ratio`: the elements that they pick at each time.
pub(super) fn pick(ev: &Evaluator<'_>, e: &Aggregate, grid: &Grid) -> Result<Vec<Series>> {
    let Some(param) = &e.param else { return Ok(Vec::new()) };
    let params = ev.scalar(param, grid)?;
    let all = ev.vector(&e.expr, grid)?;
    let (min, max) = bounds(&params);
    let fail = |text: String| Err(QueryError::Execution(text));
    let any_nan = params.iter().any(|p| p.is_nan());
    if e.op == AggregateOp::LimitRatio {
        if max == 0.0 && min == 0.0 {
            return Ok(Vec::new());
        }
        if any_nan {
            return fail("Ratio value is NaN".into());
        }
        if max > 1.0 {
            ev.notes().invalid_ratio(max, 1.0, param.span());
        }
        if min < -1.0 {
            ev.notes().invalid_ratio(min, -1.0, param.span());
        }
    } else {
        if max < 1.0 {
            return Ok(Vec::new());
        }
        if any_nan {
            return fail("Parameter value is NaN".into());
        }
        if min <= i64::MIN as f64 {
            return fail(format!("Scalar value {} underflows int64", format_float_short(min)));
        }
        if max >= i64::MAX as f64 {
            return fail(format!("Scalar value {} overflows int64", format_float_short(max)));
        }
    }
    let mut groups = Groups::new(&e.grouping, e.without);
    let group_of: Vec<usize> = all.iter().map(|s| groups.index(&s.labels)).collect();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); groups.labels.len()];
    ev.hold_bytes(9 * grid.count * all.len())?;
    let mut picked: Vec<Points> = vec![Points::absent(grid.count); all.len()];
    let mut order: Vec<usize> = Vec::new();
    for (i, param) in params.iter().enumerate() {
        members.iter_mut().for_each(Vec::clear);
        ev.interrupt.check()?;
        for (at, series) in all.iter().enumerate() {
            ev.pause(at)?;
            match series.points.get(i) {
                Some(Point::Histogram(_))
                    if matches!(e.op, AggregateOp::Topk | AggregateOp::Bottomk) =>
                {
                    let name = e.op.as_str();
                    ev.notes().histogram_ignored_in_aggregation(name, e.span);
                }
                Some(_) => members[group_of[at]].push(at),
                None => {}
            }
        }
        for group in &mut members {
            keep(e.op, *param, group, &all, i, ev.interrupt)?;
            for at in group.iter() {
                if let Some(point) = all[*at].points.get(i) {
                    picked[*at].set_point(i, point);
                }
            }
            if grid.single {
                order.extend_from_slice(group);
            }
        }
    }
    if !grid.single {
        order = (0..all.len()).collect();
    }
    let mut all: Vec<Option<Series>> = all.into_iter().map(Some).collect();
    let mut out = Vec::new();
    for at in order {
        let points = std::mem::take(&mut picked[at]);
        if points.is_absent() {
            continue;
        }
        if let Some(series) = all[at].take() {
            out.push(Series { points, ..series });
        }
    }
    Ok(out)
}

/// Reduces the members of a group at time `i` to those that are picked, best first.
fn keep(
    op: AggregateOp,
    param: f64,
    group: &mut Vec<usize>,
    all: &[Series],
    i: usize,
    interrupt: &Interrupt,
) -> Result<()> {
    if op == AggregateOp::LimitRatio {
        let ratio = param.clamp(-1.0, 1.0);
        group.retain(|at| {
            let offset = label_hash(&all[*at].labels) as f64 / u64::MAX as f64;
            if ratio > 0.0 { offset < ratio } else { ratio < 0.0 && offset >= 1.0 + ratio }
        });
        return Ok(());
    }
    let k = if param < 1.0 { 0 } else { (param as usize).min(all.len()) };
    if op != AggregateOp::Limitk {
        let value = |at: &usize| all[*at].points.floats[i];
        // Stable: of equal values, the first series stay. NaN is the last choice.
        sort_by(
            group,
            || interrupt.check(),
            |a, b| {
                let (a, b) = (value(a), value(b));
                match (a.is_nan(), b.is_nan()) {
                    (false, false) if op == AggregateOp::Topk => sort_key(&b, &a),
                    (false, false) => sort_key(&a, &b),
                    (true, true) => Ordering::Equal,
                    (a_nan, _) => a_nan.cmp(&!a_nan),
                }
            },
        )?;
    }
    group.truncate(k);
    Ok(())
}

/// `count_values("label", vector)`
pub(super) fn count_values(ev: &Evaluator<'_>, e: &Aggregate, grid: &Grid) -> Result<Vec<Series>> {
    let label = match e.param.as_ref().map(|p| ev.label_name(p)) {
        Some(Ok(label)) => label,
        Some(Err(shown)) => {
            return Err(QueryError::Execution(format!("invalid label name {shown}")));
        }
        None => return Ok(Vec::new()),
    };
    let mut grouping = e.grouping.clone();
    if !e.without {
        grouping.push(label.clone());
    }
    let mut groups = Groups::new(&grouping, e.without);
    let mut counts: Vec<Points> = Vec::new();
    ev.stream(&e.expr, grid, &mut |series| {
        let mut known: HashMap<String, usize> = HashMap::new();
        for i in 0..grid.count {
            let text = match series.points.get(i) {
                None => continue,
                Some(Point::Float(f)) => format_float(f),
                Some(Point::Histogram(h)) => h.to_string(),
            };
            let at = *known.entry(text).or_insert_with_key(|text| {
                groups.index(&series.labels.builder().set(&label, text).build())
            });
            while counts.len() <= at {
                ev.hold(grid.count)?;
                ev.hold_bytes(9 * grid.count + series.labels.bytes())?;
                counts.push(Points::absent(grid.count));
            }
            let before = counts[at].float(i).unwrap_or(0.0);
            counts[at].set_float(i, before + 1.0);
        }
        Ok(())
    })?;
    let series = groups.labels.into_iter().zip(counts);
    Ok(series.map(|(labels, points)| Series { labels, drop_name: false, points }).collect())
}

/// The hash of a label set as Prometheus computes it in its default build: xxHash64 over the labels,
/// each name and value preceded by its length.
fn label_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::new();
    for (name, value) in labels.iter() {
        for part in [name, value] {
            let len = part.len();
            if len < 255 {
                bytes.push(len as u8);
            } else {
                bytes.extend_from_slice(&[255, len as u8, (len >> 8) as u8, (len >> 16) as u8]);
            }
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    xxh64(&bytes)
}

/// xxHash64 with seed 0 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
fn xxh64(input: &[u8]) -> u64 {
    const P: [u64; 5] = [
        0x9e37_79b1_85eb_ca87,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x85eb_ca77_c2b2_ae63,
        0x27d4_eb2f_1656_67c5,
    ];
    let round = |acc: u64, lane: u64| {
        acc.wrapping_add(lane.wrapping_mul(P[1])).rotate_left(31).wrapping_mul(P[0])
    };
    let word = |b: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..b.len()].copy_from_slice(b);
        u64::from_le_bytes(bytes)
    };
    let stripes = input.chunks_exact(32);
    let mut rest = stripes.remainder();
    let mut hash = if input.len() >= 32 {
        let mut acc = [P[0].wrapping_add(P[1]), P[1], 0, 0u64.wrapping_sub(P[0])];
        for stripe in stripes {
            for (acc, lane) in acc.iter_mut().zip(stripe.chunks_exact(8)) {
                *acc = round(*acc, word(lane));
            }
        }
        let [a, b, c, d] = acc;
        let mut hash = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        for lane in acc {
            hash = (hash ^ round(0, lane)).wrapping_mul(P[0]).wrapping_add(P[3]);
        }
        hash
    } else {
        P[4]
    };
    hash = hash.wrapping_add(input.len() as u64);
    while let Some((lane, after)) = rest.split_at_checked(8) {
        hash = (hash ^ round(0, word(lane))).rotate_left(27).wrapping_mul(P[0]).wrapping_add(P[3]);
        rest = after;
    }
    if let Some((lane, after)) = rest.split_at_checked(4) {
        hash = (hash ^ word(lane).wrapping_mul(P[0]))
            .rotate_left(23)
            .wrapping_mul(P[1])
            .wrapping_add(P[2]);
        rest = after;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(P[1]);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(P[2]);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh64_reference_values() {
        // From the specification's own test vectors.
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        let long: Vec<u8> = b"Nobody inspects the spammish repetition".to_vec();
        assert_eq!(xxh64(&long), 0xfbce_a83c_8a37_8bf1);
    }
}
