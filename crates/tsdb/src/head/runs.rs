//! The runs of many series, by the series' numbers: those of neighbours lie beside each other, so that samples
//! of many series, which come in about the order of their numbers, cost no jump through memory for each.

use super::run::Run;

/// So many neighbours are together: what a lone series takes is this many times a run.
const PAGE: usize = 8;

/// Runs by the numbers of their series.
#[derive(Default)]
pub(crate) struct Runs {
    pages: Vec<Option<Box<[Option<Run>; PAGE]>>>,
}

impl Runs {
    /// The run of a series.
    pub fn get(&self, series: u32) -> Option<&Run> {
        let (page, at) = place(series);
        self.pages.get(page)?.as_ref()?[at].as_ref()
    }

    /// The run of a series, made where there is none.
    pub fn get_or_new(&mut self, series: u32) -> &mut Run {
        let (page, at) = place(series);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([const { None }; PAGE]));
        page[at].get_or_insert_with(Run::new)
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let of_page = |page: &[Option<Run>; PAGE]| {
            let runs = page.iter().flatten();
            size_of_val(page) + runs.map(|r| r.memory() - size_of::<Run>()).sum::<usize>()
        };
        let pages = self.pages.iter().flatten().map(|p| of_page(p)).sum::<usize>();
        pages + self.pages.capacity() * size_of::<usize>()
    }
}

fn place(series: u32) -> (usize, usize) {
    (series as usize / PAGE, series as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Step;

    #[test]
    fn each_series_has_its_own() {
        let mut runs = Runs::default();
        for series in [0, 7, 8, 1000, 7] {
            let run = runs.get_or_new(series);
            let step = Step::Float(f64::from(series).to_bits());
            run.push(i64::from(series), 0, step, &mut Vec::new()).unwrap();
        }
        for series in [0, 7, 8, 1000] {
            let run = runs.get(series).unwrap();
            assert!(run.find(i64::from(series)).unwrap().is_some(), "{series}");
        }
        assert!([1, 9, 999, 1001, u32::MAX].iter().all(|n| runs.get(*n).is_none()));
        assert!(runs.memory() > 4 * size_of::<Run>());
    }
}
