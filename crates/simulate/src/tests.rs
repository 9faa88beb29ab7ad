//! The reader of kubelets against hollow ones, over real sockets and TLS.

use crate::{Certificate, Faults, Fleet, Shape, kubelets};
use ::cluster::{AddressType, Credentials, Labels, Node, NodeCache};
use http::client::Believe;
use model::exposition::{Escaping, Format, Syntax, Writer};
use resource::reader::{Options, Reader, Reason};
use resource::{Mode, Store};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn fleet(nodes: usize, third: u8, port: u16, faults: Faults) -> Arc<Fleet> {
    let shape = Shape {
        nodes,
        pods_per_node: 10,
        containers_per_pod: 2,
        seed: 3,
        first_address: Ipv4Addr::new(127, 21, third, 1),
        port,
        constant: true,
        housekeeping_ms: 300,
        faults,
    };
    Arc::new(Fleet::new(shape).unwrap())
}

fn nodes(fleet: &Fleet) -> NodeCache {
    NodeCache::holding(fleet.nodes().map(|node| Node {
        name: node.name.as_str().into(),
        uid: format!("uid-{}", node.at).into(),
        labels: Labels::default(),
        annotations: Labels::default(),
        addresses: vec![(AddressType::InternalIp, node.address.to_string())],
        kubelet_port: Some(fleet.shape().port),
        ready: true,
        created_ms: 0,
        capacity: Default::default(),
        allocatable: Default::default(),
    }))
}

struct Served {
    stats: Arc<http::Stats>,
    _stop: oneshot::Sender<()>,
}

async fn serve(fleet: &Arc<Fleet>, certificate: &Certificate) -> Served {
    let (server, router) = kubelets(fleet.clone(), certificate).await.unwrap();
    let stats = server.stats();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.serve(router, async {
        let _ = stopped.await;
    }));
    Served { stats, _stop: stop }
}

struct Reading {
    reader: Arc<Reader>,
    store: Arc<Store>,
    task: tokio::task::JoinHandle<()>,
}

fn read(fleet: &Fleet, nodes: NodeCache, believe: Believe, authority: &str) -> Reading {
    read_after(fleet, nodes, believe, authority, Vec::new())
}

/// After a start before, from which pins were kept.
fn read_after(
    fleet: &Fleet,
    nodes: NodeCache,
    believe: Believe,
    authority: &str,
    pins: Vec<(Box<str>, [u8; 32])>,
) -> Reading {
    let options = Options {
        resolution: Duration::from_millis(1000),
        timeout: Duration::from_millis(800),
        believe: Some(believe),
        max_body_bytes: 1 << 20,
        concurrency: 8,
        port: fleet.shape().port,
        ..Options::default()
    };
    let mode = resource::Options { resolution_ns: 1_000_000_000, mode: Mode::Lenient };
    let store = Arc::new(Store::new(mode));
    let authorities = (!authority.is_empty()).then(|| authority.as_bytes().to_vec());
    let credentials = Credentials { authorities, token: Some("secret".into()), certificate: None };
    let credential = Box::new(move || Ok(credentials.clone()));
    let reader = Arc::new(Reader::new(options, nodes, store.clone(), credential, None).unwrap());
    reader.restore_pins(pins);
    let running = reader.clone();
    let task = tokio::spawn(async move { running.run().await });
    Reading { reader, store, task }
}

/// How many connections a listener accepted so far.
fn accepted(stats: &http::Stats) -> u64 {
    let mut text = Vec::new();
    let format = Format { syntax: Syntax::Text, escaping: Escaping::AllowUtf8 };
    let mut writer = Writer::new(&mut text, format);
    stats.write(&mut writer);
    writer.finish();
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("kubevigil_http_connections_total "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn served(store: &Store, fleet: &Fleet, node: usize) -> usize {
    let view = store.view();
    let own = usize::from(view.node(&fleet.node(node).name).is_some());
    own + fleet.pods(node).filter(|p| view.pod(&p.namespace, &p.name).is_some()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_is_read_over_kept_connections() {
    let fleet = fleet(60, 0, free_port(), Faults::default());
    let certificate = Certificate::make(&fleet).unwrap();
    let kubelets = serve(&fleet, &certificate).await;
    let nodes = nodes(&fleet);
    let reading = read(&fleet, nodes.clone(), Believe::Verified, &certificate.authority);
    assert!(reading.reader.ready().unwrap_err().contains("no metrics to serve"));
    until("all nodes", || (0..60).all(|n| served(&reading.store, &fleet, n) == 11)).await;
    assert_eq!(reading.reader.ready(), Ok(()));
    assert_eq!(reading.reader.timely(), Ok(()));
    let asked = |n: usize| reading.reader.node(&fleet.node(n).name).unwrap().asked_ms;
    let before: Vec<i64> = (0..60).map(asked).collect();
    until("three more rounds", || (0..60).all(|n| asked(n) > before[n] + 2500)).await;
    assert_eq!(accepted(&kubelets.stats), 60, "connections are kept");

    // A node goes: so does what was known of it.
    nodes.replace(nodes.all().into_iter().skip(1).map(|n| (*n).clone()));
    until("the node is forgotten", || served(&reading.store, &fleet, 0) == 0).await;
    assert_eq!(reading.reader.node(&fleet.node(0).name), None);
    assert_eq!(served(&reading.store, &fleet, 1), 11);
    reading.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_broken_kubelets_disturb_nobody() {
    // More slow ones than reads at a time.
    let faults = Faults { slow: 20, broken: 10, partial: 2, late: 1 };
    let fleet = fleet(60, 1, free_port(), faults);
    let certificate = Certificate::make(&fleet).unwrap();
    let _kubelets = serve(&fleet, &certificate).await;
    let reading = read(&fleet, nodes(&fleet), Believe::Verified, &certificate.authority);
    let good = 30..60;
    until("the good nodes", || good.clone().all(|n| served(&reading.store, &fleet, n) == 11)).await;
    let state = |n: usize| reading.reader.node(&fleet.node(n).name).unwrap();
    until("every fault is known", || (0..30).all(|n| state(n).failure.is_some() || n % 5 == 4))
        .await;
    for n in 0..20 {
        assert_eq!(state(n).failure.unwrap().reason, Reason::TooSlow);
    }
    for n in 20..30 {
        // One that is read but says nothing that can be measured is no failure.
        let (why, said) = match n % 5 {
            0 => (Reason::Refused, "answered 500: cannot read the cgroups"),
            1 => (Reason::Unreadable, "the answer ends within the line"),
            2 => (Reason::Unreadable, "says nothing of the node"),
            3 => (Reason::Unreadable, "larger than 1048576 bytes"),
            _ => {
                assert_eq!(served(&reading.store, &fleet, n), 0);
                continue;
            }
        };
        let named = || state(n).failure.is_some_and(|f| f.reason == why && f.what.contains(said));
        until(&format!("node {n}: {said}"), named).await;
    }
    // The good ones go on in time while the slow ones hang; a machine that does much else has a few tries.
    let asked = |n: usize| state(n).asked_ms;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let before: Vec<i64> = good.clone().map(asked).collect();
        let began = Instant::now();
        until("three rounds", || good.clone().zip(&before).all(|(n, b)| asked(n) > b + 2500)).await;
        quickest = quickest.min(began.elapsed());
        if quickest < Duration::from_secs(6) {
            break;
        }
    }
    assert!(quickest < Duration::from_secs(6), "{quickest:?}");
    // The healthy containers of partly broken pods are served.
    assert_eq!(state(30).broken.len(), 2);
    assert!(state(32).clock_ahead_s < -3590, "{}", state(32).clock_ahead_s);
    reading.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_verified_pinned_or_not_looked_at() {
    let fleet = fleet(2, 2, free_port(), Faults::default());
    let (one, other) = (Certificate::make(&fleet).unwrap(), Certificate::make(&fleet).unwrap());
    let name = fleet.node(0).name;
    let kubelets = serve(&fleet, &one).await;

    // Another authority: the reason names the remedy.
    let reading = read(&fleet, nodes(&fleet), Believe::Verified, &other.authority);
    let failure = |r: &Reading| r.reader.node(&name).and_then(|s| s.failure);
    until("the refusal", || failure(&reading).is_some()).await;
    let refused = failure(&reading).unwrap();
    assert_eq!(refused.reason, Reason::Certificate);
    assert!(refused.what.contains("unknown authority (\"hollow-kubelets\""), "{refused}");
    let remedy = refused.remedy.unwrap();
    assert!(
        remedy.contains("serverTLSBootstrap") && remedy.contains("--kubelet-tls=pin"),
        "{remedy}"
    );
    let why = reading.reader.ready().unwrap_err();
    assert!(why.contains("node hollow-0000") && why.contains("unknown authority"), "{why}");
    reading.task.abort();

    let anybody = read(&fleet, nodes(&fleet), Believe::Anybody, "");
    until("any certificate", || served(&anybody.store, &fleet, 0) == 11).await;
    anybody.task.abort();

    // Pinned at first use, and kept over a restart of ours.
    let pinned = read(&fleet, nodes(&fleet), Believe::Pinned, "");
    until("the certificate seen first", || served(&pinned.store, &fleet, 0) == 11).await;
    let pins = pinned.reader.pins();
    assert_eq!(pins.len(), 2);
    pinned.task.abort();
    drop(kubelets);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _kubelets = serve(&fleet, &other).await;
    let again = read_after(&fleet, nodes(&fleet), Believe::Pinned, "", pins);
    until("the refusal", || failure(&again).is_some()).await;
    let refused = failure(&again).unwrap();
    assert_eq!(refused.reason, Reason::Certificate);
    assert!(refused.what.contains("the one seen first had"), "{refused}");
    assert_eq!(served(&again.store, &fleet, 0), 0);
    again.task.abort();
}
