//! Where the time of a query goes: a tree of its expressions and of what they read from the store.
//!
//! Series stream from the store through all expressions one after the other, so the clock goes back and
//! forth between them: whoever is at work has the time until the next one is. Costs two looks at a clock for
//! each series and expression where it is asked for, and nothing where it is not.
//! Never changes what a query answers.

use super::evaluate::{Evaluator, Result, Sink};
use super::values::Grid;
use crate::ast::Expr;
use crate::print::Head;
use crate::query::Explained;
use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Follows one query.
#[derive(Debug)]
pub(super) struct Tracer(RefCell<State>);

#[derive(Debug)]
struct State {
    /// A child stands behind its parent; the first is the query.
    nodes: Vec<Node>,
    current: usize,
    since: Instant,
}

#[derive(Debug)]
struct Node {
    /// Where the expression lies in memory: it may be evaluated more than once.
    key: usize,
    parent: usize,
    what: String,
    own: Duration,
    series: u64,
    samples: u64,
}

impl Tracer {
    /// Begins with the query as a whole at work.
    pub fn new(query: &str) -> Tracer {
        let root = Node {
            key: 0,
            parent: 0,
            what: query.into(),
            own: Duration::ZERO,
            series: 0,
            samples: 0,
        };
        Tracer(RefCell::new(State { nodes: vec![root], current: 0, since: Instant::now() }))
    }

    /// Whether an expression has a place of its own: some only stand around others, and selectors are told
    /// by what they read.
    pub fn shows(expr: &Expr) -> bool {
        !matches!(expr, Expr::Paren(_) | Expr::StepInvariant(_) | Expr::Vector(_) | Expr::Matrix(_))
    }

    /// An expression begins to work; gives who worked before, and who does now.
    pub fn enter(&self, expr: &Expr) -> (usize, usize) {
        self.begin(std::ptr::from_ref(expr).addr(), || Head(expr).to_string().trim_end().into())
    }

    /// The store is read; gives who worked before, and who does now.
    pub fn enter_store(&self, matchers: &[Matcher]) -> (usize, usize) {
        self.begin(matchers.as_ptr().addr(), || selector(matchers))
    }

    fn begin(&self, key: usize, what: impl FnOnce() -> String) -> (usize, usize) {
        let state = &mut *self.0.borrow_mut();
        let parent = state.current;
        let known = |n: &Node| n.key == key && n.parent == parent;
        let node = match state.nodes.iter().position(known) {
            Some(node) => node,
            None => {
                let what = what();
                let own = Duration::ZERO;
                state.nodes.push(Node { key, parent, what, own, series: 0, samples: 0 });
                state.nodes.len() - 1
            }
        };
        state.switch(node);
        (parent, node)
    }

    /// `node` is at work from now on.
    pub fn switch(&self, node: usize) {
        self.0.borrow_mut().switch(node);
    }

    /// Whoever is at work gives a series to `node`; `samples` of it were read from the store.
    pub fn give(&self, node: usize, samples: usize) {
        let state = &mut *self.0.borrow_mut();
        let current = &mut state.nodes[state.current];
        current.series += 1;
        current.samples += samples as u64;
        state.switch(node);
    }

    /// Samples of `node` were read from summaries of these widths.
    pub fn summarized(&self, node: usize, widths_ms: &[i64]) {
        let what = &mut self.0.borrow_mut().nodes[node].what;
        let told = format!(" (companions of {})", crate::duration::format_durations(widths_ms));
        if !what.ends_with(&told) {
            what.push_str(&told);
        }
    }

    /// The tree, after `series` were answered.
    pub fn finish(self, series: usize) -> Explained {
        let mut state = self.0.into_inner();
        state.switch(0);
        state.nodes[0].series = series as u64;
        // Children stand behind their parents: from the back each is whole when it is reached.
        let mut children: Vec<Vec<Explained>> = state.nodes.iter().map(|_| Vec::new()).collect();
        for (at, node) in state.nodes.into_iter().enumerate().rev() {
            let mut own_children = std::mem::take(&mut children[at]);
            own_children.reverse();
            let told = Explained {
                expr: node.what,
                seconds: node.own.as_secs_f64()
                    + own_children.iter().map(|c| c.seconds).sum::<f64>(),
                series: node.series,
                samples: node.samples + own_children.iter().map(|c| c.samples).sum::<u64>(),
                children: own_children,
            };
            if at == 0 {
                return told;
            }
            children[node.parent].push(told);
        }
        Explained::default()
    }
}

impl State {
    fn switch(&mut self, node: usize) {
        let now = Instant::now();
        self.nodes[self.current].own += now - self.since;
        (self.current, self.since) = (node, now);
    }
}

impl Evaluator<'_> {
    /// Evaluates an instant-vector expression and gives its series to `sink` as they come.
    pub fn stream(&self, expr: &Expr, grid: &Grid, sink: Sink<'_>) -> Result<()> {
        let Some(tracer) = self.tracer.as_ref().filter(|_| Tracer::shows(expr)) else {
            return self.stream_expr(expr, grid, sink);
        };
        let (outer, own) = tracer.enter(expr);
        self.stream_expr(expr, grid, &mut |series| {
            tracer.give(outer, 0);
            let taken = sink(series);
            tracer.switch(own);
            taken
        })?;
        tracer.switch(outer);
        Ok(())
    }
}

/// As PromQL would write it.
fn selector(matchers: &[Matcher]) -> String {
    let is_name = |m: &&Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal;
    let name = matchers.iter().find(is_name).map_or("", |m| &m.value);
    let rest: Vec<String> =
        matchers.iter().filter(|m| !is_name(m)).map(|m| format!("{m:?}")).collect();
    if rest.is_empty() && !name.is_empty() {
        return name.into();
    }
    format!("{name}{{{}}}", rest.join(","))
}

#[cfg(test)]
mod tests {
    use crate::promqltest::MemoryStore;
    use crate::{Engine, QueryOptions};
    use model::{Labels, Sample, Value};

    fn store() -> MemoryStore {
        let mut store = MemoryStore::default();
        for pod in ["a", "b", "c"] {
            let labels = Labels::from_pairs([("__name__", "x_total"), ("pod", pod)]);
            for i in 0..10 {
                let value = Value::Float(i as f64);
                store.append(&labels, Sample { time_ms: i * 15_000, start_ms: 0, value });
            }
        }
        store
    }

    #[test]
    fn says_what_each_expression_gave_and_read() {
        let store = store();
        let query =
            "sum by (pod) (rate(x_total[1m])) / on () group_left () count(x_total{pod!=\"c\"})";
        let options = QueryOptions { explain: true, ..QueryOptions::default() };
        let engine = Engine::default();
        let result = engine.range(&store, query, 60_000, 120_000, 30_000, &options).unwrap();
        let root = result.explain.unwrap();
        assert_eq!((root.expr.as_str(), root.series), (query, 3));
        let [division] = &root.children[..] else { panic!("{root:#?}") };
        let [sum, count] = &division.children[..] else { panic!("{root:#?}") };
        let told = |e: &crate::Explained| (e.expr.clone(), e.series);
        assert_eq!(told(division), ("/ on () group_left ()".into(), 3));
        assert_eq!(told(sum), ("sum by (pod)".into(), 3));
        assert_eq!(told(count), ("count".into(), 1));
        let [rate] = &sum.children[..] else { panic!("{root:#?}") };
        assert_eq!(told(rate), ("rate".into(), 3));
        let [read] = &rate.children[..] else { panic!("{root:#?}") };
        assert_eq!(told(read), ("x_total".into(), 3));
        // From just after 0 s up to 120 s.
        assert_eq!((read.samples, rate.samples), (3 * 8, 3 * 8));
        let [read] = &count.children[..] else { panic!("{root:#?}") };
        assert_eq!(told(read), ("x_total{pod!=\"c\"}".into(), 2));
        assert!(root.seconds > 0.0 && root.seconds >= division.seconds, "{root:#?}");

        let plain = engine.range(&store, query, 60_000, 120_000, 30_000, &QueryOptions::default());
        let plain = plain.unwrap();
        assert!(plain.explain.is_none());
        assert_eq!(format!("{:?}", plain.value), format!("{:?}", result.value));
    }

    #[test]
    fn what_is_evaluated_twice_is_told_once() {
        let store = store();
        let options = QueryOptions { explain: true, ..QueryOptions::default() };
        let query = "max_over_time(sum(x_total)[1m:30s])";
        let result = Engine::default().instant(&store, query, 120_000, &options).unwrap();
        let root = result.explain.unwrap();
        let names =
            |e: &crate::Explained| e.children.iter().map(|c| c.expr.clone()).collect::<Vec<_>>();
        assert_eq!(names(&root), ["max_over_time"]);
        assert_eq!(names(&root.children[0]), ["sum"]);
        assert_eq!(names(&root.children[0].children[0]), ["x_total"]);
    }
}
