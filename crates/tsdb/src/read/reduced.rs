//! When companions may be read in place of samples, and for which stretches of time.
//!
//! A window that is made of whole stretches answers from a companion as it does from samples. So where all
//! windows of a reader begin and end with stretches, everything may come from companions; where a few do not,
//! the stretches in which they begin and end are read as samples, and what lies between from companions.

use model::Selection;

/// How a read goes about with companions of one width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub width_ms: i64,
    /// Spans of whole stretches, both ends included, ascending.
    pub companion: Vec<(i64, i64)>,
    /// The spans between them, of which samples are needed.
    pub samples: Vec<(i64, i64)>,
}

/// Below so many stretches the samples are as fast.
const STRETCHES_MIN: i64 = 24;
/// Windows that begin or end within stretches may be so many.
const WINDOWS_MAX: i64 = 8;
/// For each stretch of which samples are needed, so many are saved.
const STRETCHES_A_CUT: i64 = 16;

/// The plans for a read, the widest stretches first; none where all samples are wanted.
pub(super) fn plans(selection: &Selection<'_>, widths_ms: &[i64]) -> Vec<Plan> {
    let mut plans: Vec<Plan> = widths_ms.iter().filter_map(|w| plan(selection, *w)).collect();
    plans.sort_by_key(|p| -p.width_ms);
    plans
}

fn plan(selection: &Selection<'_>, width_ms: i64) -> Option<Plan> {
    let Selection { start_ms, end_ms, ref hints, .. } = *selection;
    let (step, range) = (hints.step_ms, hints.range_ms);
    hints.keep?;
    // Beyond these, times are nobody's.
    let sane = |t: i64| t.abs() < i64::MAX / 8;
    let span = end_ms.saturating_sub(start_ms);
    // A single time looks at a single sample.
    let worthwhile = span >= STRETCHES_MIN.saturating_mul(width_ms) && (range > 0 || step > 0);
    if width_ms <= 0 || !worthwhile || ![start_ms, end_ms, step, range].into_iter().all(sane) {
        return None;
    }
    let whole = |t: i64| t.rem_euclid(width_ms) == 0;
    if whole(end_ms) && whole(step) && whole(range) {
        return Some(Plan { width_ms, companion: vec![(start_ms, end_ms)], samples: Vec::new() });
    }
    if range == 0 {
        return None;
    }
    let windows = if step > 0 { (span + 1 - range).max(0) / step + 1 } else { 1 };
    if windows > WINDOWS_MAX {
        return None;
    }
    let ends = (0..windows).map(|i| end_ms - i * step);
    let mut cut: Vec<i64> =
        ends.flat_map(|end| [end - range, end]).filter(|t| !whole(*t)).collect();
    cut.iter_mut().for_each(|t| *t = t.div_euclid(width_ms));
    cut.sort_unstable();
    cut.dedup();
    if (cut.len() as i64 * STRETCHES_A_CUT).saturating_mul(width_ms) > span {
        return None;
    }
    let (mut companion, mut samples, mut from) = (Vec::new(), Vec::new(), start_ms);
    for number in cut {
        let begin = (number * width_ms + 1).max(start_ms);
        let end = ((number + 1) * width_ms).min(end_ms);
        if from < begin {
            companion.push((from, begin - 1));
        }
        samples.push((begin, end));
        from = end + 1;
    }
    if from <= end_ms {
        companion.push((from, end_ms));
    }
    Some(Plan { width_ms, companion, samples })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Hints, Keep};
    use proptest::prelude::*;

    fn selection(start_ms: i64, end_ms: i64, step_ms: i64, range_ms: i64) -> Selection<'static> {
        let hints = Hints { step_ms, range_ms, keep: Some(Keep::Ends), ..Hints::default() };
        Selection { start_ms, end_ms, hints, ..Selection::default() }
    }

    #[test]
    fn a_window_that_fits_nowhere_has_samples_at_its_ends() {
        let of = |s: &Selection<'_>| plans(s, &[10, 100]);
        let found = of(&selection(1004, 9007, 0, 8004));
        assert_eq!(found[0].width_ms, 100);
        assert_eq!(found[0].companion, [(1101, 9000)]);
        assert_eq!(found[0].samples, [(1004, 1100), (9001, 9007)]);
        assert_eq!(found[1].companion, [(1011, 9000)]);
        // What fits to the shorter stretches alone.
        assert_eq!(of(&selection(1011, 9010, 20, 50)).len(), 1);
        assert_eq!(of(&selection(1011, 9011, 20, 50)), []);
        assert_eq!(of(&selection(1001, 9000, 0, 0)), []);
        let whole = Selection { hints: Hints::default(), ..selection(1001, 9000, 0, 8000) };
        assert_eq!(of(&whole), []);
    }

    proptest! {
        #[test]
        fn every_stretch_is_whole_or_read_as_samples(
            first_end in -50_000i64..50_000,
            windows in 1i64..12,
            step in prop_oneof![1i64..2000, (1i64..20).prop_map(|s| s * 100)],
            range in prop_oneof![1i64..20_000, (1i64..200).prop_map(|r| r * 100)],
        ) {
            let step = if windows == 1 { 0 } else { step };
            let end = first_end + (windows - 1) * step;
            let chosen = selection(first_end - range + 1, end, step, range);
            for Plan { width_ms, companion, samples } in plans(&chosen, &[100, 10, 25]) {
                let mut all: Vec<_> = companion.iter().chain(&samples).copied().collect();
                all.sort_unstable();
                prop_assert_eq!((all[0].0, all[all.len() - 1].1), (chosen.start_ms, end));
                prop_assert!(all.windows(2).all(|w| w[0].1 + 1 == w[1].0), "{:?}", all);
                for window in 0..windows {
                    for bound in [end - window * step, end - window * step - range] {
                        let within = |s: &&(i64, i64)| s.0 <= bound && bound < s.1;
                        if companion.iter().any(|s| within(&s)) {
                            prop_assert_eq!(bound.rem_euclid(width_ms), 0);
                        }
                    }
                }
            }
        }
    }
}
