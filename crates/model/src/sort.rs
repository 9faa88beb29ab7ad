//! Sorting that can be stopped, however much there is to sort.

use std::cmp::Ordering;

/// So many are sorted between two looks at whether to go on.
const PIECE: usize = 0x4000;

/// Sorts as a slice's `sort_by` does, stable as that is. `go_on` is asked all the time; where it fails, so
/// does the sorting, which has then moved nothing.
pub fn sort_by<T: Default, E>(
    all: &mut [T],
    go_on: impl Fn() -> Result<(), E>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<(), E> {
    if all.len() <= PIECE {
        all.sort_by(compare);
        return Ok(());
    }
    // What comes from a store is in order already, more often than not.
    if all.is_sorted_by(|a, b| compare(a, b).is_le()) {
        return go_on();
    }
    let compare = |a: &u32, b: &u32| compare(&all[*a as usize], &all[*b as usize]);
    let mut order: Vec<u32> = (0..all.len() as u32).collect();
    for piece in order.chunks_mut(PIECE) {
        go_on()?;
        piece.sort_by(compare);
    }
    let (mut length, mut merged) = (PIECE, Vec::with_capacity(order.len()));
    while length < order.len() {
        for two in order.chunks(2 * length) {
            let (left, right) = two.split_at(length.min(two.len()));
            merge(left, right, &mut merged, &go_on, compare)?;
        }
        std::mem::swap(&mut order, &mut merged);
        merged.clear();
        length *= 2;
    }
    let sorted: Vec<T> = order.iter().map(|at| std::mem::take(&mut all[*at as usize])).collect();
    all.iter_mut().zip(sorted).for_each(|(place, element)| *place = element);
    Ok(())
}

/// Appends both to `out`, in order; of equal ones the left first.
fn merge<E>(
    mut left: &[u32],
    mut right: &[u32],
    out: &mut Vec<u32>,
    go_on: impl Fn() -> Result<(), E>,
    compare: impl Fn(&u32, &u32) -> Ordering,
) -> Result<(), E> {
    while let (Some((l, after_l)), Some((r, after_r))) = (left.split_first(), right.split_first()) {
        if compare(l, r).is_le() {
            out.push(*l);
            left = after_l;
        } else {
            out.push(*r);
            right = after_r;
        }
        if out.len().is_multiple_of(PIECE) {
            go_on()?;
        }
    }
    out.extend_from_slice(left);
    out.extend_from_slice(right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Numbers in no order, each twice, with their places.
    fn mixed(count: usize) -> Vec<(usize, usize)> {
        (0..count).map(|i| (i.wrapping_mul(2_654_435_761) % count / 2, i)).collect()
    }

    #[test]
    fn sorts_as_a_slice_does() {
        let key = |a: &(usize, usize), b: &(usize, usize)| a.0.cmp(&b.0);
        let go_on = || Ok::<_, ()>(());
        for count in [0, 1, 1000, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 17] {
            let (mut own, mut other) = (mixed(count), mixed(count));
            sort_by(&mut own, go_on, key).unwrap();
            other.sort_by(key);
            assert!(own == other, "{count}");
            sort_by(&mut own, go_on, |a, b| key(b, a)).unwrap();
            other.sort_by(|a, b| key(b, a));
            assert!(own == other, "{count}, falling");
        }
    }

    #[test]
    fn ends_when_it_is_stopped() {
        // In the first pass, and while pieces are merged.
        for stop_at in [7 * PIECE, 300 * PIECE] {
            let compared = Cell::new(0);
            let mut all = mixed(20 * PIECE);
            let go_on = || if compared.get() > stop_at { Err(compared.get()) } else { Ok(()) };
            let outcome = sort_by(&mut all, go_on, |a, b| {
                compared.set(compared.get() + 1);
                a.0.cmp(&b.0)
            });
            // As much as a piece takes, and no more.
            let most = stop_at + PIECE * PIECE.ilog2() as usize;
            assert!(outcome.is_err_and(|n| n <= most), "{outcome:?}");
            assert!(all == mixed(20 * PIECE));
        }
    }
}
