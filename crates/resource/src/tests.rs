//! The store against metrics-server's rules, written down once more over maps as plainly as they can be
//! said, on random rounds; and what lenient mode adds to them.

use crate::{ContainerSample, Counts, Mode, NO_TIME, Options, Reading, Sample, Store, Usage};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000_000;
const RESOLUTION: i64 = 15 * SECOND;

fn store(mode: Mode) -> Store {
    Store::new(Options { resolution_ns: RESOLUTION, mode })
}

fn sample(start_s: i64, time_s: i64, cpu_ms: u64, memory_bytes: u64) -> Sample {
    let start_ns = if start_s == i64::MIN { NO_TIME } else { start_s * SECOND };
    Sample { start_ns, time_ns: time_s * SECOND, cpu_ns: cpu_ms * 1_000_000, memory_bytes }
}

fn reading<'a>(node: Sample, containers: &[([&'a str; 3], Sample)]) -> Reading<'a> {
    let containers = containers.iter().map(|([namespace, pod, container], sample)| {
        ContainerSample { namespace, pod, container, sample: *sample }
    });
    Reading { node, containers: containers.collect() }
}

fn pod(store: &Store, name: &str) -> Option<Vec<(String, Usage)>> {
    let view = store.view();
    let pod = view.pod("ns", name)?;
    Some(pod.containers().map(|(name, usage)| (name.to_owned(), usage)).collect())
}

fn window(store: &Store, name: &str) -> Option<(i64, i64)> {
    store.view().pod("ns", name)?.window().map(|(t, w)| (t / SECOND, w / SECOND))
}

const NONE: Sample = Sample { start_ns: NO_TIME, time_ns: NO_TIME, cpu_ns: 0, memory_bytes: 0 };
const A: [&str; 3] = ["ns", "web", "a"];
const B: [&str; 3] = ["ns", "web", "b"];

#[test]
fn usage_is_what_was_used_between_two_points() {
    for mode in [Mode::Lenient, Mode::Strict] {
        let store = store(mode);
        let node = |t, cpu| sample(i64::MIN, t, cpu, 1 << 30);
        store.apply("n", &mut reading(node(100, 5000), &[(A, sample(50, 100, 1000, 10))]));
        assert_eq!(store.view().node("n"), None);
        assert_eq!(pod(&store, "web"), None);
        store.apply("n", &mut reading(node(115, 8000), &[(A, sample(50, 110, 1500, 20))]));
        let expected = Usage {
            cpu_nanocores: 200_000_000,
            memory_bytes: 1 << 30,
            time_ns: 115 * SECOND,
            window_ns: 15 * SECOND,
        };
        assert_eq!(store.view().node("n"), Some(expected));
        let expected = Usage {
            cpu_nanocores: 50_000_000,
            memory_bytes: 20,
            time_ns: 110 * SECOND,
            window_ns: 10 * SECOND,
        };
        assert_eq!(pod(&store, "web"), Some(vec![("a".into(), expected)]));
        assert_eq!(store.view().counts(), Counts { nodes: 1, containers: 1 });
    }
}

#[test]
fn a_young_container_needs_one_reading_only() {
    for (age, served) in [(9, false), (10, true), (14, true), (15, false)] {
        let store = store(Mode::Strict);
        store.apply("n", &mut reading(NONE, &[(A, sample(100, 100 + age, 1400, 7))]));
        assert_eq!(pod(&store, "web").is_some(), served, "{age} s");
        if served {
            assert_eq!(window(&store, "web"), Some((100 + age, age)));
        }
    }
}

#[test]
fn a_restart_begins_anew() {
    let store = store(Mode::Strict);
    store.apply("n", &mut reading(NONE, &[(A, sample(50, 100, 1000, 1))]));
    store.apply("n", &mut reading(NONE, &[(A, sample(50, 115, 2000, 1))]));
    assert!(pod(&store, "web").is_some());
    // Started after the last reading: nothing to compare with.
    store.apply("n", &mut reading(NONE, &[(A, sample(125, 130, 10, 1))]));
    assert_eq!(pod(&store, "web"), None);
    store.apply("n", &mut reading(NONE, &[(A, sample(125, 145, 25, 1))]));
    assert_eq!(window(&store, "web"), Some((145, 15)));
}

#[test]
fn strict_mode_hides_a_pod_for_one_broken_container() {
    let strict = store(Mode::Strict);
    let lenient = store(Mode::Lenient);
    for (i, t) in [100, 115, 130].into_iter().enumerate() {
        let broken = if i == 2 { 0 } else { 5 };
        let at = |c| sample(10, t, 1000 * t as u64, c);
        for store in [&strict, &lenient] {
            store.apply("n", &mut reading(NONE, &[(A, at(9)), (B, at(broken))]));
        }
        let names = |s| pod(s, "web").map(|p| p.into_iter().map(|c| c.0).collect::<Vec<_>>());
        match i {
            0 => assert_eq!((names(&strict), names(&lenient)), (None, None)),
            1 => assert_eq!(names(&strict).expect("served"), ["a", "b"]),
            _ => {
                assert_eq!(names(&strict), None);
                let containers = pod(&lenient, "web").expect("served");
                assert_eq!(containers[0].1.time_ns, 130 * SECOND);
                assert_eq!(containers[1].1.time_ns, 115 * SECOND, "the last good value");
                // The earliest time stands for the pod.
                assert_eq!(window(&lenient, "web"), Some((115, 15)));
            }
        }
    }
    // Served for two missed rounds, then no more.
    for (t, names) in [(145, vec!["a", "b"]), (160, vec!["a"])] {
        let at = |c| sample(10, t, 1000 * t as u64, c);
        lenient.apply("n", &mut reading(NONE, &[(A, at(9)), (B, at(0))]));
        let served = pod(&lenient, "web").expect("served");
        assert_eq!(served.iter().map(|c| &*c.0).collect::<Vec<_>>(), names, "{t}");
    }
}

#[test]
fn a_node_that_is_silent_is_served_for_two_rounds() {
    for (mode, rounds) in [(Mode::Strict, 0), (Mode::Lenient, 2)] {
        let store = store(mode);
        for t in [100, 115] {
            let node = sample(i64::MIN, t, 10 * t as u64, 5);
            store.apply("n", &mut reading(node, &[(A, sample(1, t, 10 * t as u64, 5))]));
        }
        for missed in 0..4 {
            let served = missed <= rounds;
            assert_eq!(store.view().node("n").is_some(), served, "{mode:?} {missed}");
            assert_eq!(pod(&store, "web").is_some(), served, "{mode:?} {missed}");
            store.miss("n");
        }
        assert_eq!(store.view().counts(), Counts::default());
        // Gone is gone: two points are needed again.
        store.apply("n", &mut reading(NONE, &[(A, sample(1, 200, 2000, 5))]));
        assert_eq!(pod(&store, "web"), None);
    }
}

#[test]
fn a_pod_that_moved_is_told_by_the_node_that_measured_it_last() {
    let store = store(Mode::Lenient);
    for (node, times) in [("old", [100, 115]), ("new", [200, 215])] {
        for t in times {
            let at = sample(times[0] - 50, t, 100 * t as u64, 5);
            store.apply(node, &mut reading(NONE, &[(A, at)]));
        }
    }
    assert_eq!(window(&store, "web"), Some((215, 15)));
    store.remove("new");
    assert_eq!(window(&store, "web"), Some((115, 15)));
    store.remove("old");
    assert_eq!(window(&store, "web"), None);
    let points = store.view().pod_points("ns", "web");
    assert_eq!(points, None);
}

// --- the rules over maps ------------------------------------------------------------------------

type Map = BTreeMap<String, BTreeMap<String, Sample>>;

/// metrics-server's store: what was read last, and what is compared with it.
#[derive(Default)]
struct Plain {
    last: Map,
    previous: Map,
    last_node: Option<Sample>,
    previous_node: Option<Sample>,
}

impl Plain {
    fn store(&mut self, reading: &Reading<'_>) {
        let mut read = Map::new();
        for c in &reading.containers {
            let pod = format!("{}/{}", c.namespace, c.pod);
            read.entry(pod).or_default().insert(c.container.into(), c.sample);
        }
        read.retain(|_, pod| pod.values().all(Sample::is_whole));
        let mut previous = Map::new();
        for (pod, containers) in &read {
            for (name, new) in containers {
                let age = new.time_ns.saturating_sub(new.start_ns);
                let old = self.last.get(pod).and_then(|p| p.get(name));
                let older = self.previous.get(pod).and_then(|p| p.get(name));
                let fresh = (10 * SECOND..RESOLUTION).contains(&age);
                let chosen = if new.start_ns < new.time_ns && fresh {
                    Some(Sample { time_ns: new.start_ns, cpu_ns: 0, ..*new })
                } else if let Some(old) = old
                    && new.start_ns < old.time_ns
                {
                    match new.time_ns > old.time_ns {
                        true => Some(*old),
                        false => older.filter(|o| o.time_ns < new.time_ns).copied(),
                    }
                } else {
                    None
                };
                if let Some(chosen) = chosen {
                    previous.entry(pod.clone()).or_default().insert(name.clone(), chosen);
                }
            }
        }
        (self.last, self.previous) = (read, previous);

        let node = Some(reading.node).filter(Sample::is_whole);
        let compared = match (node, self.last_node) {
            (Some(new), Some(old)) if new.time_ns > old.time_ns => Some(old),
            (Some(new), Some(_)) => self.previous_node.filter(|o| o.time_ns < new.time_ns),
            _ => None,
        };
        (self.last_node, self.previous_node) = (node, compared);
    }

    fn usage(last: &Sample, previous: &Sample) -> Option<Usage> {
        if last.start_ns < previous.start_ns || last.cpu_ns < previous.cpu_ns {
            return None;
        }
        let window_ns = last.time_ns - previous.time_ns;
        let seconds = (window_ns / SECOND) as f64 + (window_ns % SECOND) as f64 / 1e9;
        Some(Usage {
            cpu_nanocores: ((last.cpu_ns - previous.cpu_ns) as f64 / seconds) as u64,
            memory_bytes: last.memory_bytes,
            time_ns: last.time_ns,
            window_ns,
        })
    }

    fn pod(&self, pod: &str) -> Option<Vec<(String, Usage)>> {
        let (last, previous) = (self.last.get(pod)?, self.previous.get(pod)?);
        let mut containers = Vec::new();
        for (name, last) in last {
            if let Some(usage) = Plain::usage(last, previous.get(name)?) {
                containers.push((name.clone(), usage));
            }
        }
        Some(containers)
    }
}

/// A round: milliseconds since the last, and for each container (pod, name) whether it is there, whether
/// it restarted, how far its clock went, and its values.
fn round() -> impl Strategy<Value = Vec<(usize, i64, i64, u64, u64)>> {
    let start = prop_oneof![8 => Just(0_i64), 1 => Just(1), 1 => 2..40_000_i64];
    let step = prop_oneof![6 => 5_000..20_000_i64, 1 => Just(0), 1 => -20_000..0_i64];
    let cpu = prop_oneof![8 => 1..5_000_000_u64, 1 => Just(0)];
    let memory = prop_oneof![8 => 1..1_000_000_u64, 1 => Just(0)];
    prop::collection::vec((0..6_usize, start, step, cpu, memory), 0..8)
}

proptest! {
    #[test]
    fn strict_mode_decides_as_the_plain_rules_do(rounds in prop::collection::vec(round(), 1..12)) {
        const NAMES: [[&str; 3]; 6] = [
            ["ns", "p", "a"], ["ns", "p", "b"], ["ns", "q", "a"],
            ["ns", "q", "b"], ["other", "p", "a"], ["", "", ""],
        ];
        let store = store(Mode::Strict);
        let mut plain = Plain::default();
        // Start time, clock and counter of each container.
        let mut state = [(0_i64, 1_000_000_i64, 0_u64); 6];
        let mut compared = 0;
        for round in rounds {
            let mut read = reading(NONE, &[]);
            for (at, start, step, cpu, memory) in round {
                let state = &mut state[at];
                state.1 += step;
                match start {
                    0 => state.2 += cpu,
                    _ => *state = (state.1 - start, state.1, cpu),
                }
                let sample = Sample {
                    start_ns: state.0 * 1_000_000,
                    time_ns: state.1 * 1_000_000,
                    cpu_ns: if cpu == 0 { 0 } else { state.2 },
                    memory_bytes: memory,
                };
                let [namespace, pod, container] = NAMES[at];
                if at == 5 {
                    read.node = Sample { start_ns: NO_TIME, ..sample };
                } else if !read.containers.iter().any(|c| [c.namespace, c.pod, c.container] == NAMES[at]) {
                    read.containers.push(ContainerSample { namespace, pod, container, sample });
                }
            }
            plain.store(&read);
            store.apply("n", &mut read);
            let view = store.view();
            for (namespace, pod) in [("ns", "p"), ("ns", "q"), ("other", "p")] {
                let found = view.pod(namespace, pod).map(|p| {
                    p.containers().map(|(n, u)| (n.to_owned(), u)).collect::<Vec<_>>()
                });
                let expected = plain.pod(&format!("{namespace}/{pod}"));
                // The rules leave out a pod of which no container has two points.
                prop_assert_eq!(&found, &expected, "{}/{}", namespace, pod);
                compared += usize::from(expected.is_some());
            }
            let node = plain.last_node.zip(plain.previous_node);
            let expected = node.and_then(|(last, previous)| Plain::usage(&last, &previous));
            prop_assert_eq!(view.node("n"), expected);
        }
        let _ = compared;
    }

    #[test]
    fn the_file_gives_back_what_was_kept(rounds in prop::collection::vec(round(), 1..6), flip: usize, bit in 0..8_u8) {
        let store = store(Mode::Lenient);
        for (i, round) in rounds.iter().enumerate() {
            let mut read = reading(NONE, &[]);
            let names: Vec<_> = round.iter().map(|r| (format!("p{}", r.0 % 3), format!("c{}", r.0))).collect();
            for ((pod, container), (_, start, step, cpu, memory)) in names.iter().zip(round) {
                let sample = Sample { start_ns: *start, time_ns: (i as i64 + 1) * 100_000 + step, cpu_ns: *cpu, memory_bytes: *memory };
                if !read.containers.iter().any(|c| c.container == container) {
                    read.containers.push(ContainerSample { namespace: "ns", pod, container, sample });
                }
            }
            read.node = Sample { start_ns: NO_TIME, time_ns: i as i64 + 1, cpu_ns: 1, memory_bytes: 1 };
            store.apply(&format!("n{}", i % 2), &mut read);
        }
        let mut file = Vec::new();
        store.save(&mut file);
        let again = Store::new(Options { resolution_ns: RESOLUTION, mode: Mode::Lenient });
        let counts = again.load(&file, i64::MIN).expect("reads");
        prop_assert_eq!(counts, store.view().counts());
        let mut twice = Vec::new();
        again.save(&mut twice);
        prop_assert_eq!(&file, &twice);
        for p in ["p0", "p1", "p2"] {
            prop_assert_eq!(pod(&store, p), pod(&again, p));
        }
        // Every flipped bit is seen.
        let at = flip % file.len();
        file[at] ^= 1_u8 << bit;
        let other = Store::new(Options::default());
        prop_assert!(other.load(&file, i64::MIN).is_err());
    }

    #[test]
    fn no_file_makes_it_panic(bytes: Vec<u8>) {
        crate::fuzz::load(&bytes);
        crate::fuzz::load_body(&bytes);
    }
}

#[test]
fn what_is_too_old_is_not_loaded() {
    let store = store(Mode::Lenient);
    for t in [100, 115] {
        let old = sample(1, t, 1000 * t as u64, 5);
        let new = sample(1, t + 100, 1000 * t as u64, 5);
        store.apply("n", &mut reading(old, &[(A, old), (["ns", "new", "a"], new)]));
    }
    let mut file = Vec::new();
    store.save(&mut file);
    let again = Store::new(Options::default());
    assert_eq!(again.load(&file, 200 * SECOND).expect("reads"), Counts { nodes: 0, containers: 1 });
    assert!(pod(&again, "new").is_some() && pod(&again, "web").is_none());
    let error = again.load(b"something else", 0).expect_err("refuses").to_string();
    assert_eq!(
        error,
        "what the last run kept cannot be used: it is not a file of points, version 1"
    );
}
