//! `kubectl top` against loads with random limits: right within 5 % of what the kernel counted over the very
//! window that the answer names.

use anyhow::{Context, Result, ensure};
use stage::cluster::load::{self, Container, Record};
use stage::cluster::usage::{self, Usage};
use stage::cluster::{self, Namespace, until};
use stage::seed::Seed;
use std::time::Duration;

/// How far a figure may lie from the kernel's.
const TOLERANCE: f64 = 0.05;

#[test]
fn usage_is_the_kernels_over_the_window_that_it_names() {
    let Some((_guard, cluster)) = cluster::share("cluster::top") else { return };
    let mut seed = Seed::of_run("cluster::top");
    let namespace = cluster.namespace("top").unwrap();
    let mut container = |name: &str| Container {
        name: name.into(),
        cpu_milli: seed.within(40..=120),
        memory_mib: seed.within(4..=24),
    };
    let mut yaml = String::new();
    for number in 0..4 {
        let mut containers = vec![container("first")];
        if number == 3 {
            containers.push(container("second"));
        }
        yaml += &format!("{}---\n", load::pod(&format!("load-{number}"), &containers));
    }
    namespace.apply(&yaml).unwrap();
    let record = Record::start(&namespace, "load=true", 4).unwrap();
    let names = record_names(&record);

    // Three answers with different timestamps of each container. Others may be off: on a machine that does much
    // else, the kubelet itself stamps what it read a second or two later.
    let mut compared = 0;
    let mut last: Vec<f64> = Vec::new();
    while compared < 3 * names.len() {
        let answer = until("usage of every container", Duration::from_secs(240), || {
            let answer = ask(&namespace)?;
            let found: Vec<_> = answer.iter().map(|u| u.name.clone()).collect();
            ensure!(found == names, "{found:?} instead of {names:?}");
            let times: Vec<f64> = answer.iter().map(|u| u.timestamp).collect();
            ensure!(times.iter().zip(&last).all(|(now, then)| now > then), "no newer answer");
            for usage in &answer {
                compare(usage, &record)?;
            }
            last = times;
            Ok(answer)
        })
        .unwrap();
        compared += answer.len();
    }
    eprintln!("cluster::top: {compared} figures of containers compared");
    printed_as_answered(&namespace, &names);
}

/// `kubectl top` asks in protobuf and prints thousandths of cores and MiB. Both servers read the kubelet by
/// themselves, so that one answer twice in a row says nothing of whom `kubectl top` asked between them.
fn printed_as_answered(namespace: &Namespace, names: &[(String, String)]) {
    let printed = until("kubectl top and the API with one answer", Duration::from_secs(90), || {
        let before = ask(namespace)?;
        let printed = namespace.kubectl(&["top", "pods", "--containers", "--no-headers"])?;
        ensure!(before == ask(namespace)?, "a new answer meanwhile");
        for (line, usage) in printed.lines().zip(&before) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let milli = (usage.cpu * 1000.0).ceil();
            let mebi = (usage.memory / 1024.0 / 1024.0).trunc();
            let wanted = [&usage.name.0, &usage.name.1, &format!("{milli}m"), &format!("{mebi}Mi")];
            ensure!(fields == wanted, "{fields:?} instead of {wanted:?}: {usage:?}");
        }
        Ok(printed)
    });
    assert_eq!(printed.unwrap().lines().count(), names.len());
    let nodes = namespace.kubectl(&["top", "nodes", "--no-headers"]).unwrap();
    assert!(nodes.starts_with("node-1 "), "{nodes}");
    assert!(!nodes.contains("<unknown>"), "{nodes}");
}

fn ask(namespace: &Namespace) -> Result<Vec<Usage>> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", namespace.name);
    usage::of_pods(&namespace.cluster.json(&path)?)
}

fn record_names(record: &Record) -> Vec<(String, String)> {
    until("the first counts", Duration::from_secs(5), || {
        let names = record.names();
        ensure!(names.len() == 5, "{} containers counted", names.len());
        Ok(names)
    })
    .unwrap()
}

/// The timestamp is cut to whole seconds: the window ended within the second after it.
fn compare(usage: &Usage, record: &Record) -> Result<()> {
    let cores = |end: f64| record.cores(&usage.name, end - usage.window, end);
    // A window that begins with the container holds what starting it took, which came before the record.
    cores(usage.timestamp - 1.0).context("begins before the record")?;
    let tenths = (0..=10).map(|tenth| usage.timestamp + f64::from(tenth) / 10.0);
    let counted: Vec<f64> = tenths.filter_map(cores).collect();
    let near = |wanted: &f64| (usage.cpu - wanted).abs() <= wanted * TOLERANCE;
    ensure!(counted.iter().any(near), "{usage:?}: the kernel counted {counted:?} cores");
    let (least, most) = record
        .memory(&usage.name, usage.timestamp - 1.0, usage.timestamp + 2.0)
        .context("no memory recorded")?;
    let slack = 64.0 * 1024.0;
    ensure!(
        (least * (1.0 - TOLERANCE) - slack..=most * (1.0 + TOLERANCE) + slack)
            .contains(&usage.memory),
        "{usage:?}: the kernel counted {least} to {most} bytes"
    );
    Ok(())
}
