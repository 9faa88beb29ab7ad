//! Remote write through the router, over a store: a series that was sent before is known by the bytes that
//! named it, and what is written is what would be written without that.

use super::*;
use model::protobuf::{put_bytes, put_double, put_integer, put_message, put_varint};
use model::{Columns, Selection};
use tsdb::Options as StoreOptions;

type Pairs<'a> = &'a [(&'a str, &'a str)];
/// A series and its samples.
type Line<'a> = (Pairs<'a>, &'a [(i64, f64)]);

/// A request of 1.0: series with times and values.
fn first(list: &[Line<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (pairs, samples) in list {
        put_message(&mut out, 1, |out| {
            for (name, value) in *pairs {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, name.as_bytes());
                    put_bytes(out, 2, value.as_bytes());
                });
            }
            for (time_ms, value) in *samples {
                put_message(out, 2, |out| {
                    put_double(out, 1, *value);
                    put_integer(out, 2, *time_ms);
                });
            }
        });
    }
    out
}

/// The same as a request of 2.0.
fn second(list: &[Line<'_>]) -> Vec<u8> {
    let mut symbols = vec![""];
    let mut out = Vec::new();
    for (pairs, samples) in list {
        put_message(&mut out, 5, |out| {
            let mut references = Vec::new();
            for text in pairs.iter().flat_map(|p| [p.0, p.1]) {
                let at = symbols.iter().position(|s| *s == text).unwrap_or_else(|| {
                    symbols.push(text);
                    symbols.len() - 1
                });
                put_varint(&mut references, at as u64);
            }
            put_bytes(out, 1, &references);
            for (time_ms, value) in *samples {
                put_message(out, 2, |out| {
                    put_double(out, 1, *value);
                    put_integer(out, 2, *time_ms);
                });
            }
        });
    }
    symbols.iter().for_each(|s| put_bytes(&mut out, 4, s.as_bytes()));
    out
}

type Encode = fn(&[Line<'_>]) -> Vec<u8>;

const VERSIONS: [(&str, Encode); 2] =
    [("prometheus.WriteRequest", first), ("io.prometheus.write.v2.Request", second)];

struct Sender {
    shelf: Arc<Shelf>,
    router: Router,
    stats: Arc<receive::Stats>,
}

impl Sender {
    fn new() -> Sender {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { background: false, ..StoreOptions::default() };
        let shelf = Arc::new(Shelf {
            db: Some(Db::open(folder.path(), options).unwrap()),
            short_of_memory: AtomicBool::new(false),
            held: Mutex::new(false),
            released: Condvar::new(),
            folder,
        });
        let stats = Arc::<receive::Stats>::default();
        let router = router_with(shelf.clone(), |mut options| {
            options.receive.stats = stats.clone();
            options
        });
        Sender { shelf, router, stats }
    }

    fn db(&self) -> &Db {
        self.shelf.db.as_ref().unwrap()
    }

    async fn send(&self, message: &str, body: &[u8]) -> (u16, String) {
        let packed = snap::raw::Encoder::new().compress_vec(body).unwrap();
        let request = Request::post("/api/v1/write")
            .header(header::CONTENT_TYPE, format!("application/x-protobuf;proto={message}"))
            .header(header::CONTENT_ENCODING, "snappy")
            .body(Body::from(packed))
            .unwrap();
        let (status, _, text) = ask(self.router.clone(), request).await;
        (status.as_u16(), text)
    }

    /// How many series are known.
    fn known(&self) -> f64 {
        struct Find(f64);
        impl Sink for Find {
            fn family(&mut self, _: &Family<'_>) {}
            fn sample(&mut self, name: &str, _: &[(&str, &str)], value: f64, _: Option<i64>) {
                if name == "kubevigil_api_write_known_series" {
                    self.0 = value;
                }
            }
        }
        let mut find = Find(0.0);
        self.stats.write(&mut find);
        find.0
    }

    /// All that is stored.
    fn stored(&self) -> BTreeMap<String, Vec<(i64, f64)>> {
        let selection = Selection { start_ms: 0, end_ms: i64::MAX, ..Selection::default() };
        let mut set = self.db().select(&selection).unwrap();
        let (mut stored, mut columns) = (BTreeMap::new(), Columns::default());
        while let Some(labels) = set.next().unwrap() {
            set.read(&mut columns).unwrap();
            let times = columns.times_ms.iter().copied();
            let samples: Vec<_> = times.zip(columns.floats.iter().copied()).collect();
            if !samples.is_empty() {
                stored.insert(labels.to_string(), samples);
            }
        }
        stored
    }
}

#[tokio::test]
async fn a_series_that_was_sent_before_is_the_same_series() {
    for (message, request) in VERSIONS {
        let sender = Sender::new();
        let (a, b) = (&[("__name__", "m"), ("x", "a")][..], &[("__name__", "m"), ("x", "b")][..]);
        // Out of order, with an empty value: another form of a series that is known.
        let other_a = &[("x", "a"), ("none", ""), ("__name__", "m")][..];
        let wrong = &[("x", "a")][..];
        for round in 1..=4i64 {
            let at = |value: f64| [(round * 1000, value)];
            let (of_a, of_b, again) = (at(round as f64), at(-1.0), [(round * 1000 + 1, 0.5)]);
            let body = request(&[(a, &of_a), (wrong, &of_a), (b, &of_b), (other_a, &again)]);
            let (status, text) = sender.send(message, &body).await;
            let expected = "invalid metric name or labels, got {x=\"a\"}\n";
            assert_eq!((status, text.as_str()), (400, expected), "{message} {round}");
            assert_eq!(sender.known(), 3.0, "{message} {round}");
        }
        // What is wrong with samples of a known series names its labels.
        let (status, text) = sender.send(message, &request(&[(a, &[(4000, 9.0)])])).await;
        let expected = "duplicate sample for timestamp 4000; overrides not allowed for series \
                        {__name__=\"m\", x=\"a\"}\n";
        assert_eq!((status, text.as_str()), (400, expected), "{message}");
        let (status, text) = sender.send(message, &request(&[(b, &[(i64::MAX, 9.0)])])).await;
        let expected = "out of bounds: timestamp is too far in the future for series \
                        {__name__=\"m\", x=\"b\"}\n";
        assert_eq!((status, text.as_str()), (400, expected), "{message}");
        let of_a = (1..=4).flat_map(|r| [(r * 1000, r as f64), (r * 1000 + 1, 0.5)]).collect();
        let of_b = (1..=4).map(|r| (r * 1000, -1.0)).collect();
        let expected = [("m{x=\"a\"}".to_owned(), of_a), ("m{x=\"b\"}".to_owned(), of_b)];
        assert_eq!(sender.stored(), BTreeMap::from(expected), "{message}");
    }
}

#[tokio::test]
async fn a_series_that_the_store_forgot_begins_anew() {
    for (message, request) in VERSIONS {
        let sender = Sender::new();
        let (a, b) = (&[("__name__", "m"), ("x", "a")][..], &[("__name__", "m"), ("x", "b")][..]);
        assert_eq!(sender.send(message, &request(&[(a, &[(1000, 1.0)])])).await.0, 204);
        sender.db().flush().unwrap();
        // Another series gets the number.
        assert_eq!(sender.send(message, &request(&[(b, &[(2000, 2.0)])])).await.0, 204);
        let both = request(&[(b, &[(3000, 3.0)]), (a, &[(3000, 4.0)])]);
        assert_eq!(sender.send(message, &both).await, (204, String::new()), "{message}");
        let both = request(&[(b, &[(4000, 5.0)]), (a, &[(4000, 6.0)])]);
        assert_eq!(sender.send(message, &both).await, (204, String::new()), "{message}");
        let of_a = vec![(1000, 1.0), (3000, 4.0), (4000, 6.0)];
        let of_b = vec![(2000, 2.0), (3000, 3.0), (4000, 5.0)];
        let expected = [("m{x=\"a\"}".to_owned(), of_a), ("m{x=\"b\"}".to_owned(), of_b)];
        assert_eq!(sender.stored(), BTreeMap::from(expected), "{message}");
    }
}

#[tokio::test]
async fn labels_behind_samples_count_as_well() {
    let sender = Sender::new();
    let label = |out: &mut Vec<u8>, name: &str, value: &str| {
        put_message(out, 1, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    };
    for time_ms in [1000, 2000] {
        let mut body = Vec::new();
        for behind in [None, Some("a"), Some("b")] {
            put_message(&mut body, 1, |out| {
                label(out, "__name__", "m");
                put_message(out, 2, |out| put_integer(out, 2, time_ms));
                if let Some(value) = behind {
                    label(out, "x", value);
                }
            });
        }
        assert_eq!(sender.send("prometheus.WriteRequest", &body).await.0, 204);
    }
    let samples = vec![(1000, 0.0), (2000, 0.0)];
    let names = ["m", "m{x=\"a\"}", "m{x=\"b\"}"];
    let expected = names.into_iter().map(|name| (name.to_owned(), samples.clone()));
    assert_eq!(sender.stored(), expected.collect());
}
