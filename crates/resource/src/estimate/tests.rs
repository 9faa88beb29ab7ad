//! Estimates against figures computed from every observation, over a simulated week, restarts and images.

use super::*;
use cluster::{Cache, Pod};
use proptest::prelude::*;

const HOUR_MS: i64 = 3_600_000;
const WEB: Workload<'_> =
    Workload { namespace: "shop", kind: "Deployment", name: "web", container: "app" };

fn observation<'a>(workload: Workload<'a>, time_ms: i64, cpu: f64, memory: f64) -> Observation<'a> {
    Observation {
        workload,
        image: None,
        time_ms,
        seconds: 15.0,
        cpu_cores: cpu,
        memory_bytes: memory,
    }
}

/// A generator of our own, so that a week is the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The weighted quantile of all values, by sorting them.
fn exact(values: &[(f64, f64)], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: f64 = sorted.iter().map(|v| v.1).sum::<f64>() * quantile;
    let mut below = 0.0;
    sorted
        .iter()
        .find(|(_, w)| {
            below += w;
            below >= wanted
        })
        .map_or(0.0, |v| v.0)
}

/// A week at 15 s: days and nights, noise, a spike now and then, memory that leaks until a restart.
fn week(seed: u64, idle_cores: f64, base_bytes: f64) -> Vec<(i64, f64, f64)> {
    let mut random = Random(seed | 1);
    let mut leak = 0.0;
    (0..7 * 5760)
        .map(|i| {
            let time_ms = 1_700_000_000_000 + i * 15_000;
            let day = ((i % 5760) as f64 / 5760.0 * std::f64::consts::TAU).sin() + 1.1;
            let spike = if random.next() < 0.01 { 4.0 } else { 0.0 };
            let cpu = idle_cores * (day + spike) * (0.8 + 0.4 * random.next());
            leak =
                if random.next() < 0.0002 { 0.0 } else { leak + base_bytes * 1e-4 * random.next() };
            (time_ms, cpu, (base_bytes + leak) * (0.97 + 0.06 * random.next()))
        })
        .collect()
}

#[test]
fn after_a_simulated_week_quantiles_are_within_5_per_cent() {
    for (seed, cores, bytes) in [(1, 0.3, 2e8), (2, 0.004, 5e6), (3, 12.0, 3e10), (4, 0.05, 1e8)] {
        let estimates = Estimates::new(Options::default());
        let values = week(seed, cores, bytes);
        let end = values.last().expect("a week").0;
        for (time_ms, cpu, memory) in &values {
            estimates.observe(&observation(WEB, *time_ms, *cpu, *memory));
        }
        let found = &estimates.list(None, end)[0];
        let weight = |time: i64| (-((end - time) as f64) / (24 * HOUR_MS) as f64).exp2();
        let cpu: Vec<(f64, f64)> = values.iter().map(|v| (v.1, weight(v.0))).collect();
        let memory: Vec<(f64, f64)> = values.iter().map(|v| (v.2, weight(v.0))).collect();
        let plain: Vec<(f64, f64)> = values.iter().map(|v| (v.1, 1.0)).collect();
        for (what, found, exact) in [
            ("cpu p50", found.cpu.p50, exact(&cpu, 0.5)),
            ("cpu p95", found.cpu.p95, exact(&cpu, 0.95)),
            ("cpu p99", found.cpu.p99, exact(&cpu, 0.99)),
            ("memory p95", found.memory.p95, exact(&memory, 0.95)),
            ("memory p99", found.memory.p99, exact(&memory, 0.99)),
            // Days are alike here, so that decay makes little of a difference.
            ("cpu p95, no decay", found.cpu.p95, exact(&plain, 0.95)),
        ] {
            let off = (found / exact - 1.0).abs();
            assert!(off < 0.05, "seed {seed}, {what}: {found} is {:.1} % off {exact}", off * 100.0);
        }
        let peak = values.iter().map(|v| v.1).fold(0.0, f64::max);
        assert!((found.cpu.peak / peak - 1.0).abs() < 1e-6);
        assert_eq!(found.observed_seconds, 7.0 * 24.0 * 3600.0);
        let memory = estimates.memory_bytes();
        assert!(memory < 2048, "{memory} bytes for one container");
    }
}

#[test]
fn what_was_used_long_ago_counts_less_and_peaks_end_after_8_days() {
    let estimates = Estimates::new(Options::default());
    for hour in 0..48 {
        estimates.observe(&observation(WEB, hour * HOUR_MS, 2.0, 1e9));
    }
    for hour in 48..24 * 12 {
        estimates.observe(&observation(WEB, hour * HOUR_MS, 0.5, 1e8));
    }
    let at = |days: i64| estimates.list(None, days * 24 * HOUR_MS)[0].clone();
    let late = at(12);
    assert!(late.cpu.p95 < 0.53 && late.cpu.peak == 0.5, "{late:?}");
    assert!(late.memory.p99 < 1.06e8, "{late:?}");
    assert_eq!(at(100).cpu.peak, 0.0, "nothing was seen for long");
    estimates.forget(20 * 24 * HOUR_MS);
    assert_eq!(estimates.len(), 1);
    estimates.forget(30 * 24 * HOUR_MS);
    assert!(estimates.is_empty());
}

#[test]
fn images_give_new_workloads_their_first_values() {
    let estimates = Estimates::new(Options::default());
    let observe = |name, image, count: i64, cpu| {
        for i in 0..count {
            let workload = Workload { name, ..WEB };
            let o = observation(workload, i * 15_000, cpu, 1e8);
            estimates.observe(&Observation { image: Some(image), ..o });
        }
    };
    observe("a", "registry:5000/shop/web:1", 6000, 0.2);
    observe("b", "registry:5000/shop/web:1", 6000, 0.4);
    observe("c", "registry:5000/shop/web:2@sha256:00", 10, 3.0);
    let now = 6000 * 15_000;
    let one = estimates.of_image("registry:5000/shop/web:1", now).expect("known");
    assert!((one.cpu.p95 / 0.4 - 1.0).abs() < 0.05 && one.cpu.p50 < 0.25, "{one:?}");
    assert_eq!(one.observed_seconds, 180_000.0);
    let new = estimates.of_image("registry:5000/shop/web:3", now).expect("by its repository");
    assert_eq!((new.image.as_str(), new.cpu.peak), ("registry:5000/shop/web:3", 3.0));
    // Of :2 there is too little, so all of the repository counts.
    assert!(
        estimates.of_image("registry:5000/shop/web:2@sha256:00", now).expect("known").cpu.p95 < 0.5
    );
    assert!(estimates.of_image("registry:5000/shop/other", now).is_none());
}

#[test]
fn a_proposal_has_its_evidence() {
    let estimates = Estimates::new(Options::default());
    for i in 0..8 * 5760 {
        estimates.observe(&observation(WEB, i * 15_000, if i % 200 == 0 { 0.4 } else { 0.2 }, 2e8));
    }
    let found = propose(&estimates.list(None, 8 * 24 * HOUR_MS)[0]);
    assert!((226..=242).contains(&found.cpu_request_milli), "{found:?}");
    assert!((218..=230).contains(&(found.memory_request_bytes >> 20)), "{found:?}");
    assert!(found.memory_limit_bytes > found.memory_request_bytes && found.confidence == "high");
    assert!(found.evidence.contains("8.0 days, 192 container hours"), "{}", found.evidence);
}

#[test]
fn what_makes_no_sense_is_left_out() {
    let estimates = Estimates::new(Options { most: 1, ..Options::default() });
    for (seconds, cpu, memory) in [
        (0.0, 1.0, 1.0),
        (-1.0, 1.0, 1.0),
        (15.0, f64::NAN, 1.0),
        (15.0, 1.0, -1.0),
        (1e9, 1.0, 1.0),
    ] {
        estimates.observe(&Observation { seconds, ..observation(WEB, 0, cpu, memory) });
    }
    assert!(estimates.is_empty());
    estimates.observe(&observation(WEB, 0, 1.0, 1.0));
    estimates.observe(&observation(Workload { name: "other", ..WEB }, 0, 1.0, 1.0));
    assert_eq!(estimates.len(), 1, "there is a limit");
    estimates.observe(&observation(WEB, i64::MAX, 1.0, 1.0));
    estimates.observe(&observation(WEB, i64::MIN, 1.0, 1.0));
    assert!(estimates.list(None, i64::MAX)[0].cpu.p95.is_finite());
}

#[test]
fn estimates_survive_a_restart_and_damage_is_told() {
    let estimates = Estimates::new(Options::default());
    for (time_ms, cpu, memory) in week(7, 0.1, 1e8).into_iter().take(10_000) {
        let image = Some("web:1");
        estimates.observe(&Observation { image, ..observation(WEB, time_ms, cpu, memory) });
        estimates.observe(&observation(Workload { name: "b", ..WEB }, time_ms, cpu, memory));
    }
    let mut file = Vec::new();
    estimates.save(&mut file);
    let again = Estimates::new(Options::default());
    assert_eq!(again.load(&file).expect("reads"), 2);
    let now = 1_700_200_000_000;
    assert_eq!(again.list(None, now), estimates.list(None, now));
    assert_eq!(again.list(Some("none"), now), []);
    for at in (0..file.len()).step_by(37) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        assert!(again.load(&damaged).is_err(), "byte {at}");
        assert!(again.load(&file[..at]).is_err(), "cut at {at}");
    }
    let mut text = Vec::new();
    let mut writer = model::exposition::Writer::new(&mut text, Default::default());
    again.write(now, &mut writer);
    drop(writer);
    let text = String::from_utf8(text).expect("text");
    let sample = "kubevigil_resource_estimate_cpu_cores{container=\"app\",namespace=\"shop\",statistic=\"p95\",workload=\"web\",workload_type=\"Deployment\"}";
    assert!(text.contains(sample), "{text}");
}

#[test]
fn pods_belong_to_workloads() {
    let pod = |name: &str, owner: Option<(&str, &str)>, hash: &str| Pod {
        namespace: "shop".into(),
        name: name.into(),
        uid: "u".into(),
        labels: cluster::Labels::from_pairs(
            [("pod-template-hash", hash)].into_iter().filter(|l| !l.1.is_empty()),
        ),
        owner: owner
            .map(|(kind, name)| Arc::new(cluster::Owner { kind: kind.into(), name: name.into() })),
        created_ms: 0,
    };
    for (pod, expected) in [
        (pod("web-5d9-x", Some(("ReplicaSet", "web-5d9")), "5d9"), ("Deployment", "web")),
        (pod("web-x", Some(("ReplicaSet", "web-5d9")), ""), ("ReplicaSet", "web-5d9")),
        (pod("b-29000000-x", Some(("Job", "b-29000000")), ""), ("CronJob", "b")),
        (pod("b-1-x", Some(("Job", "b-1")), ""), ("Job", "b-1")),
        (pod("db-0", Some(("StatefulSet", "db")), ""), ("StatefulSet", "db")),
        (pod("etcd-n1", Some(("Node", "n1")), ""), ("Pod", "etcd-n1")),
        (pod("alone", None, ""), ("Pod", "alone")),
    ] {
        assert_eq!(workload_of(&pod), expected);
    }
    // Nothing is known of a pod that no kubelet told of.
    let pods = Cache::holding([pod("alone", None, "")]);
    let store = crate::Store::new(crate::Options::default());
    let estimates = Estimates::new(Options::default());
    assert_eq!(observe_all(&estimates, &store.view(), &pods.all(), &(), 5), 5);
    assert!(estimates.is_empty());
}

proptest! {
    #[test]
    fn no_bytes_break_them(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        crate::fuzz::estimates(&bytes);
    }

    #[test]
    fn any_observations_give_numbers(
        all in prop::collection::vec((-1_000_000_000_000i64..4_000_000_000_000, 0.0f64..1e5, 0.0f64..1e15), 1..60),
    ) {
        let estimates = Estimates::new(Options::default());
        for (time, cpu, memory) in &all {
            estimates.observe(&observation(WEB, *time, *cpu, *memory));
        }
        let newest = all.iter().map(|o| o.0).max().expect("one");
        let found = &estimates.list(None, newest)[0];
        for s in [found.cpu, found.memory] {
            prop_assert!(s.p50.is_finite() && s.p50 <= s.p95 && s.p95 <= s.p99 && s.p99 <= s.peak.max(s.p99), "{s:?}");
        }
    }
}
