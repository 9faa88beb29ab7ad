//! How well a value fits what someone is typing: by subsequence (`util/strutil/subsequence.go`) or by
//! Jaro and Winkler's likeness (`util/strutil/jarowinkler.go`). Scores lie between 0 and 1, and are
//! Prometheus's to the bit: a client may compare them with a threshold of its own.

/// How a term is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// All characters of the term, in order, with others between them.
    Subsequence,
    /// The term within the value, or one that is like it.
    JaroWinkler,
}

/// The terms of a search.
#[derive(Clone, Debug)]
pub struct Filter {
    terms: Vec<String>,
    /// Scores below it do not count.
    threshold: f64,
    algorithm: Algorithm,
    case_sensitive: bool,
}

impl Filter {
    /// Accepts what fits any of the terms; `None` where there is none.
    pub fn new(
        terms: &[&str],
        threshold: f64,
        algorithm: Algorithm,
        case_sensitive: bool,
    ) -> Option<Filter> {
        let folded = |t: &&str| if case_sensitive { (*t).to_owned() } else { t.to_lowercase() };
        let terms: Vec<String> = terms.iter().filter(|t| !t.is_empty()).map(folded).collect();
        (!terms.is_empty()).then_some(Filter { terms, threshold, algorithm, case_sensitive })
    }

    /// The score of the term that fits best; `None` where none fits.
    pub fn score(&self, value: &str) -> Option<f64> {
        let folded;
        let value = match self.case_sensitive {
            true => value,
            false => {
                folded = value.to_lowercase();
                &folded
            }
        };
        let scores = self.terms.iter().filter_map(|term| self.score_of(term, value));
        scores.reduce(f64::max)
    }

    fn score_of(&self, term: &str, value: &str) -> Option<f64> {
        match self.algorithm {
            Algorithm::Subsequence if value.starts_with(term) => Some(1.0),
            Algorithm::Subsequence => {
                let score = subsequence(term, value);
                (score > 0.0 && score >= self.threshold).then_some(score)
            }
            Algorithm::JaroWinkler => within(term, value).or_else(|| {
                let score = (self.threshold > 0.0).then(|| jaro_winkler(term, value))?;
                (score >= self.threshold).then_some(score)
            }),
        }
    }
}

/// The score of a term that stands in the value: the further in front, the better.
fn within(term: &str, value: &str) -> Option<f64> {
    let at = value.find(term)?;
    if at == 0 {
        return Some(1.0);
    }
    let count = |text: &str| text.chars().count();
    let room = count(value) - count(term);
    Some(1.0 - 0.9 * count(&value[..at]) as f64 / room as f64)
}

/// What is not the value itself scores less than 1.
const NOT_EXACT: f64 = 0.999;

/// The squares of the lengths of what stands together, less what stands between, relative to the
/// square of the term's length; 0 where the term is no subsequence.
fn subsequence(term: &str, value: &str) -> f64 {
    if term == value {
        return 1.0;
    }
    if term.len() > value.len() {
        return 0.0;
    }
    let (score, length) = match term.is_ascii() && value.is_ascii() {
        true => (best_run(term.as_bytes(), value.as_bytes()), term.len()),
        false => {
            let term: Vec<char> = term.chars().collect();
            (best_run(&term, &value.chars().collect::<Vec<_>>()), term.len())
        }
    };
    score.map_or(0.0, |score| score / (length * length) as f64 * NOT_EXACT)
}

/// The best score of all places at which the term may begin; `None` below 0.
fn best_run<C: PartialEq>(term: &[C], value: &[C]) -> Option<f64> {
    let last = value.len().checked_sub(term.len())?;
    let mut best: Option<f64> = None;
    for start in (0..=last).filter(|at| value[*at] == term[0]) {
        // Where it does not fit from here, it fits from no later place.
        let Some(score) = run(term, value, start) else { break };
        if score >= 0.0 && best.is_none_or(|b| score > b) {
            best = Some(score);
        }
    }
    best
}

/// The score of a term whose characters are taken as soon as they come, from `start` on.
fn run<C: PartialEq>(term: &[C], value: &[C], start: usize) -> Option<f64> {
    let per_character = 1.0 / value.len() as f64;
    let (mut at, mut taken, mut score) = (start, 0, 0.0);
    // Behind the run before.
    let mut end = 0;
    while taken < term.len() {
        at += value[at..].iter().position(|c| *c == term[taken])?;
        let from = at;
        while taken < term.len() && at < value.len() && value[at] == term[taken] {
            (at, taken) = (at + 1, taken + 1);
        }
        if from > end {
            score -= (from - end) as f64 * per_character;
        }
        score += ((at - from) * (at - from)) as f64;
        end = at;
    }
    if value.len() > end {
        score -= (value.len() - end) as f64 * per_character * 0.5;
    }
    Some(score)
}

/// How alike two texts are.
fn jaro_winkler(a: &str, b: &str) -> f64 {
    if a == b {
        return 1.0;
    }
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    if a.is_ascii() && b.is_ascii() {
        return likeness(a.as_bytes(), b.as_bytes());
    }
    likeness(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
}

fn likeness<C: PartialEq>(a: &[C], b: &[C]) -> f64 {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    // Equal characters match where they stand no further apart.
    let distance = (long.len() / 2).saturating_sub(1);
    let (mut in_short, mut in_long) = (vec![false; short.len()], vec![false; long.len()]);
    for (i, character) in short.iter().enumerate() {
        let to = (i + distance + 1).min(long.len());
        let found =
            (i.saturating_sub(distance)..to).find(|j| !in_long[*j] && long[*j] == *character);
        if let Some(j) = found {
            (in_short[i], in_long[j]) = (true, true);
        }
    }
    let of = |marks: &[bool]| -> Vec<usize> { (0..marks.len()).filter(|i| marks[*i]).collect() };
    let (in_short, in_long) = (of(&in_short), of(&in_long));
    if in_short.is_empty() {
        return 0.0;
    }
    let matches = in_short.len() as f64;
    let swapped = in_short.iter().zip(&in_long).filter(|(i, j)| short[**i] != long[**j]).count();
    let (share_short, share_long) = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let right = (matches - swapped as f64 * 0.5) / matches;
    let jaro = (matches * share_short + matches * share_long + right) / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(found: Option<f64>, wanted: f64) {
        assert!(found.is_some_and(|f| (f - wanted).abs() < 1e-9), "{found:?}, not {wanted}");
    }

    #[test]
    fn subsequences() {
        let of = |term, value| {
            Filter::new(&[term], 0.0, Algorithm::Subsequence, true).unwrap().score(value)
        };
        assert_eq!(of("up", "up"), Some(1.0));
        assert_eq!(of("up", "upper"), Some(1.0));
        assert_eq!(of("pu", "up"), None);
        assert_eq!(of("longer", "long"), None);
        // One run of two behind one of six, three behind: (4 - 1/6 - 3/12) / 4.
        near(of("up", "_upper"), (4.0 - 1.0 / 6.0 - 0.25) / 4.0 * 0.999);
        // Two runs of one: (1 + 1 - 1/3) / 4, the first at the beginning.
        near(of("ac", "abc"), (2.0 - 1.0 / 3.0) / 4.0 * 0.999);
        near(of("é", "ué"), (1.0 - 0.5) * 0.999);
    }

    #[test]
    fn likeness_is_the_textbooks() {
        near(Some(jaro_winkler("MARTHA", "MARHTA")), 0.961_111_111_111);
        near(Some(jaro_winkler("DIXON", "DICKSONX")), 0.813_333_333_333);
        assert_eq!(jaro_winkler("abc", "xyz"), 0.0);
    }

    #[test]
    fn terms_are_alternatives_and_case_may_not_count() {
        let filter = |terms: &[&str], threshold, case| {
            Filter::new(terms, threshold, Algorithm::JaroWinkler, case)
        };
        assert!(filter(&[""], 0.0, true).is_none());
        let some = filter(&["CPU", "mem"], 0.0, false).unwrap();
        assert_eq!(some.score("Cpu_seconds"), Some(1.0));
        near(some.score("a_cpu"), 1.0 - 0.9 * 2.0 / 2.0);
        assert_eq!(some.score("disk"), None);
        assert_eq!(filter(&["CPU"], 0.0, true).unwrap().score("cpu"), None);
        assert!(filter(&["requests"], 0.8, true).unwrap().score("reqeusts").is_some());
        assert!(filter(&["requests"], 0.0, true).unwrap().score("reqeusts").is_none());
    }

    proptest! {
        #[test]
        fn scores_lie_between_0_and_1(term in "[a-cé]{1,4}", value in "[a-cé]{0,8}", fuzzy: bool) {
            let algorithm = if fuzzy { Algorithm::JaroWinkler } else { Algorithm::Subsequence };
            let filter = Filter::new(&[&term], 0.01, algorithm, true).unwrap();
            if let Some(score) = filter.score(&value) {
                prop_assert!((0.0..=1.0).contains(&score), "{score}");
            }
            if value.contains(&term) {
                prop_assert!(filter.score(&value).is_some() || !fuzzy);
            }
        }
    }
}
