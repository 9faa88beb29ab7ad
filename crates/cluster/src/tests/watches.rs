//! Lists in pages, watches, and what interrupts them.

use super::fake::{Answer, Asked, server};
use crate::cache::{Cache, Object};
use crate::watch::{self, Kept, Source};
use crate::{FieldSelector, Node, Pod, Selector};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn pod(name: &str, version: u32) -> Value {
    json!({"metadata": {
        "name": name, "namespace": "default", "uid": "8a3c0000-1111-2222-3333-444455556666",
        "resourceVersion": version.to_string(), "labels": {"app": "web"},
        "creationTimestamp": "2026-11-21T10:00:00Z", "managedFields": [{"manager": "x"}],
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": true}],
    }})
}

fn page(items: &[Value], version: u32, next: &str) -> Answer {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    Answer::Json(200, json!({"metadata": metadata, "items": items}))
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn is_watch(asked: &Asked) -> bool {
    asked.uri.contains("watch=1")
}

const PODS: &str = "/api/v1/pods";

fn run<T: Kept>(
    script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> (Cache<T>, super::fake::Log) {
    let (connection, log) = server(script);
    let cache = Cache::default();
    let source = Source {
        path: PODS.into(),
        fields: "status.phase=Running".into(),
        metadata_only: true,
        ..Source::default()
    };
    let waits = (Duration::from_millis(8), Duration::from_millis(64));
    tokio::spawn(watch::run(connection, source, cache.clone(), waits));
    (cache, log)
}

async fn until<T: Object>(cache: &Cache<T>, holds: impl Fn(&Cache<T>) -> bool) {
    let wait = async {
        let mut seen = cache.generation();
        while !holds(cache) {
            seen = cache.changed_since(seen).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(5), wait).await;
    waited.unwrap_or_else(|_| panic!("{:?}", cache.contact()));
}

fn names(cache: &Cache<Pod>) -> Vec<String> {
    cache.all().iter().map(|p| p.name.to_string()).collect()
}

#[tokio::test]
async fn pages_events_and_bookmarks() {
    let (cache, log) = run::<Pod>(|asked| match asked {
        a if is_watch(a) && a.uri.contains("resourceVersion=10") => Answer::Lines(
            vec![
                event("ADDED", pod("c", 11)),
                event("DELETED", pod("a", 12)),
                event("MODIFIED", pod("b", 13)),
                event("BOOKMARK", json!({"metadata": {"resourceVersion": "20"}})),
            ],
            false,
        ),
        a if is_watch(a) => Answer::Lines(vec![], true),
        a if a.uri.contains("continue=more") => page(&[pod("b", 2)], 10, ""),
        _ => page(&[pod("a", 1)], 10, "more"),
    });
    until(&cache, |c| c.synced() && c.get("default", "c").is_some()).await;
    until(&cache, |c| c.get("default", "a").is_none()).await;
    assert_eq!(names(&cache), ["b", "c"]);
    let b = cache.get("default", "b").unwrap();
    assert_eq!(b.uid.to_string(), "8a3c0000-1111-2222-3333-444455556666");
    assert_eq!(b.created_ms, 1_795_255_200_000);
    assert_eq!(
        (&*b.owner.as_ref().unwrap().kind, b.labels.get("app")),
        ("ReplicaSet", Some("web"))
    );
    while log.lock().unwrap().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = log.lock().unwrap().clone();
    assert!(asked.iter().all(|a| a.method == "GET" && a.body.is_null()));
    assert!(asked[0].uri.contains("fieldSelector=status.phase%3DRunning"), "{}", asked[0].uri);
    assert!(asked[0].accept.contains("as=PartialObjectMetadataList;"), "{}", asked[0].accept);
    assert!(asked[2].accept.contains("as=PartialObjectMetadata;"), "{}", asked[2].accept);
    // It goes on from the bookmark.
    assert!(asked[3].uri.contains("resourceVersion=20"), "{}", asked[3].uri);
}

#[tokio::test]
async fn what_did_not_change_is_no_change() {
    let (cache, _) = run::<Pod>(|asked| match asked {
        a if is_watch(a) => {
            Answer::Lines(vec![event("MODIFIED", pod("a", 2)), event("ADDED", pod("b", 3))], true)
        }
        _ => page(&[pod("a", 1)], 1, ""),
    });
    until(&cache, |c| c.len() == 2).await;
    // The listing, its end, and b: nothing that is kept of a changed.
    assert_eq!(cache.generation(), 3);
}

#[tokio::test]
async fn a_forgotten_version_lists_again_and_drops_what_is_gone() {
    let lists = AtomicUsize::new(0);
    let (cache, log) = run::<Pod>(move |asked| match asked {
        a if is_watch(a) && a.uri.contains("resourceVersion=1&") || a.uri.ends_with("=1") => {
            let status = json!({"code": 410, "message": "too old resource version"});
            Answer::Lines(vec![event("ERROR", status)], false)
        }
        a if is_watch(a) => Answer::Lines(vec![], true),
        _ if lists.fetch_add(1, Ordering::Relaxed) == 0 => page(&[pod("a", 1), pod("b", 1)], 1, ""),
        _ => page(&[pod("b", 1), pod("c", 2)], 2, ""),
    });
    until(&cache, |c| c.get("default", "c").is_some() && c.get("default", "a").is_none()).await;
    assert_eq!(names(&cache), ["b", "c"]);
    assert!(log.lock().unwrap().len() >= 3);
}

#[tokio::test]
async fn the_last_state_stays_while_the_server_is_away() {
    let calls = AtomicUsize::new(0);
    let (cache, log) =
        run::<Pod>(move |asked| match (calls.fetch_add(1, Ordering::Relaxed), asked) {
            (0, _) => page(&[pod("a", 1)], 7, ""),
            (1..=12, _) => Answer::Refused,
            (_, a) if is_watch(a) => Answer::Lines(vec![event("ADDED", pod("b", 8))], true),
            _ => panic!("listed again though the version is known"),
        });
    let start = tokio::time::Instant::now();
    let wait = async {
        while cache.len() < 2 {
            assert!(!cache.synced() || cache.get("default", "a").is_some());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    assert!(start.elapsed() > Duration::from_millis(250), "no back-off: {:?}", start.elapsed());
    let contact = cache.contact();
    assert_eq!((contact.failures, contact.error), (12, None));
    let asked = log.lock().unwrap().clone();
    assert!(asked[1..].iter().all(|a| a.uri.contains("resourceVersion=7")));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_takes_no_other_with_it() {
    let broken =
        || json!({"metadata": {"name": "x", "namespace": "y", "resourceVersion": "5", "uid": 7}});
    let (cache, _) = run::<Pod>(move |asked| match asked {
        a if is_watch(a) => {
            Answer::Lines(vec![event("ADDED", broken()), event("ADDED", pod("b", 6))], true)
        }
        _ => page(&[broken(), pod("a", 1)], 1, ""),
    });
    until(&cache, |c| c.len() == 2).await;
    assert_eq!(names(&cache), ["a", "b"]);
}

#[tokio::test]
async fn a_node_as_it_is_written() {
    let node = json!({
        "metadata": {"name": "n", "uid": "u", "labels": {"node-role.kubernetes.io/control-plane": ""},
            "annotations": {"metrics.k8s.io/resource-metrics-path": "/x", "big": "y"}},
        "spec": {"podCIDR": "10.0.0.0/24"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}, {"type": "Hostname", "address": "n"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
            "capacity": {"cpu": "4", "memory": "16Gi"}, "allocatable": {"cpu": "3920m", "memory": "15Gi"},
            "images": [{"names": ["a"], "sizeBytes": 1}],
        },
    });
    let (cache, _) = run::<Node>(move |asked| match asked {
        a if is_watch(a) => Answer::Lines(vec![], true),
        _ => page(std::slice::from_ref(&node), 1, ""),
    });
    until(&cache, |c| c.synced()).await;
    let node = cache.get("n").unwrap();
    use crate::AddressType::{ExternalIp, Hostname, InternalIp};
    assert_eq!(node.address(&[ExternalIp, Hostname, InternalIp]), Some("n"));
    assert_eq!((node.kubelet_port, node.ready), (Some(10250), true));
    assert_eq!((node.allocatable.cpu_millis, node.capacity.memory_bytes), (3920, 16 << 30));
    assert_eq!(node.annotations.len(), 1);
}

#[test]
fn lists_are_selected_and_sorted() {
    let pod = |namespace: &str, name: &str, app: &str| Pod {
        namespace: namespace.into(),
        name: name.into(),
        uid: "x".into(),
        labels: crate::Labels::from_pairs([("app", app)]),
        owner: None,
        created_ms: 0,
    };
    let cache = Cache::holding([pod("b", "y", "1"), pod("a", "z", "2"), pod("a", "x", "1")]);
    assert!(cache.synced());
    let list = |namespace, labels: &str, fields: &str| {
        let labels = Selector::parse(labels).unwrap();
        let known = ["metadata.name", "metadata.namespace"];
        let fields = FieldSelector::parse(fields, &known).unwrap();
        let list = cache.list(namespace, &labels, &fields);
        list.iter().map(|p| format!("{}/{}", p.namespace, p.name)).collect::<Vec<_>>()
    };
    assert_eq!(list(None, "", ""), ["a/x", "a/z", "b/y"]);
    assert_eq!(list(Some("a"), "", ""), ["a/x", "a/z"]);
    assert_eq!(list(None, "app=1", ""), ["a/x", "b/y"]);
    assert_eq!(list(None, "", "metadata.name=y"), ["b/y"]);
    assert_eq!(list(Some("a"), "", "metadata.namespace=b"), [""; 0]);
    assert_eq!(list(None, "app=1", "metadata.namespace!=a"), ["b/y"]);
    assert_eq!(list(Some("none"), "", ""), [""; 0]);
}
