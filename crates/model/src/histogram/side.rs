//! One side (positive or negative) of a histogram as a plain list of buckets, on which arithmetic
//! is done; spans are read from it and written back.

use super::Span;

/// A bucket's index, its count, and what rounding lost of the count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub index: i32,
    pub count: f64,
    pub lost: f64,
}

/// Sums with Neumaier's improvement of Kahan's algorithm: the new sum and what rounding lost.
pub fn kahan(add: f64, sum: f64, lost: f64) -> (f64, f64) {
    let total = sum + add;
    if total.is_infinite() {
        (total, 0.0)
    } else if sum.abs() >= add.abs() {
        (total, lost + ((sum - total) + add))
    } else {
        (total, lost + ((add - total) + sum))
    }
}

/// The buckets of a side; `lost` may be shorter than `counts`.
pub(super) fn cells(spans: &[Span], counts: &[f64], lost: &[f64]) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(counts.len());
    let (mut index, mut at) = (0i32, 0);
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(&count) = counts.get(at) else { return cells };
            cells.push(Cell { index, count, lost: lost.get(at).copied().unwrap_or(0.0) });
            index = index.wrapping_add(1);
            at += 1;
        }
    }
    cells
}

/// Spans, counts and losses of buckets that are sorted by index.
pub(super) fn layout(cells: &[Cell]) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0i32;
    for cell in cells {
        match spans.last_mut() {
            Some(span) if cell.index == next => span.length += 1,
            _ => spans.push(Span { offset: cell.index.wrapping_sub(next), length: 1 }),
        }
        next = cell.index.wrapping_add(1);
    }
    (spans, cells.iter().map(|c| c.count).collect(), cells.iter().map(|c| c.lost).collect())
}

/// Whether two lists of spans name the same buckets in the same runs; empty runs do not count.
pub(super) fn same_layout(a: &[Span], b: &[Span]) -> bool {
    fn runs(spans: &[Span]) -> impl Iterator<Item = (i32, u32)> + '_ {
        let mut gap = 0i32;
        spans.iter().filter_map(move |s| {
            gap = gap.wrapping_add(s.offset);
            if s.length == 0 {
                return None;
            }
            Some((std::mem::take(&mut gap), s.length))
        })
    }
    runs(a).eq(runs(b))
}

/// The same buckets at a coarser exponential schema.
pub(super) fn coarser(cells: Vec<Cell>, from: i32, to: i32, exact: bool) -> Vec<Cell> {
    let mut out: Vec<Cell> = Vec::with_capacity(cells.len());
    for cell in cells {
        let index = (cell.index.wrapping_sub(1) >> (from - to).clamp(0, 31)).wrapping_add(1);
        match out.last_mut() {
            Some(last) if last.index == index => last.add(cell.count, cell.lost, exact),
            _ => out.push(Cell { index, ..cell }),
        }
    }
    out
}

impl Cell {
    fn add(&mut self, count: f64, lost: f64, exact: bool) {
        if exact {
            (self.count, self.lost) = kahan(count, self.count, self.lost);
            (self.count, self.lost) = kahan(lost, self.count, self.lost);
        } else {
            self.count += count;
        }
    }
}

/// Adds the buckets of `other` (`sign` -1 subtracts them) to those of `into`.
pub(super) fn merge(into: Vec<Cell>, other: &[Cell], sign: f64, exact: bool) -> Vec<Cell> {
    let mut out = Vec::with_capacity(into.len().max(other.len()));
    let (mut a, mut b) = (into.into_iter().peekable(), other.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.index == y.index => {
                let mut cell = *x;
                cell.add(sign * y.count, sign * y.lost, exact);
                out.push(cell);
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x.index < y.index) => out.extend(a.next()),
            (_, Some(y)) => {
                out.push(Cell { index: y.index, count: sign * y.count, lost: sign * y.lost });
                b.next();
            }
            _ => return out,
        }
    }
}
