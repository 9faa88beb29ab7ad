//! The scraper against an exporter that answers as each test wants, over loopback, into a real store.

use crate::config::Config;
use crate::scraper::first_after;
use crate::{Health, JobTargets, Options, Scraper, Target, TargetStatus};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::value::is_stale;
use model::{Columns, Matcher, Selection, Storage};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tsdb::Db;

/// What the exporter of a test answers, and what it was asked.
#[derive(Clone, Default)]
struct Exporter(Arc<Mutex<(Answer, Vec<HeaderMap>)>>);

#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    wait: Duration,
}

impl Default for Answer {
    fn default() -> Answer {
        let headers = vec![("content-type", "text/plain".to_owned())];
        Answer { status: 200, headers, body: b"a 1\n".to_vec(), wait: Duration::ZERO }
    }
}

impl Exporter {
    fn answers(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.0.lock().expect("lock").0);
    }

    fn asked(&self) -> Vec<HeaderMap> {
        self.0.lock().expect("lock").1.clone()
    }
}

async fn metrics(State(exporter): State<Exporter>, headers: HeaderMap) -> Response {
    let answer = {
        let mut state = exporter.0.lock().expect("lock");
        state.1.push(headers);
        state.0.clone()
    };
    tokio::time::sleep(answer.wait).await;
    let mut response = answer.body.into_response();
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

struct World {
    _dir: tempfile::TempDir,
    db: Db,
    scraper: Scraper,
    exporter: Exporter,
    address: String,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().expect("a folder");
        let db = Db::open(dir.path(), tsdb::Options::default()).expect("opens");
        let exporter = Exporter::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/moved", get(|| async { axum::response::Redirect::temporary("/metrics") }))
            .with_state(exporter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let scraper = Scraper::new(db.clone(), Options::default());
        World { _dir: dir, db, scraper, exporter, address }
    }

    /// Scrapes the exporter every 100 ms with a job of these fields.
    fn scrape(&self, fields: &str) {
        self.scrape_every("100ms", fields);
    }

    fn scrape_every(&self, interval: &str, fields: &str) {
        let text = format!(
            "scrape_configs:\n- job_name: j\n  scrape_interval: {interval}\n  {fields}\n  static_configs: [{{targets: [\"{}\"]}}]\n",
            self.address
        );
        let config = Config::parse(&text, Path::new("p.yml")).unwrap_or_else(|e| panic!("{e}"));
        let jobs = config
            .jobs
            .iter()
            .map(|job| JobTargets { targets: Target::of_static(job), job: job.clone() });
        assert_eq!(self.scraper.set("config", jobs.collect()), Vec::<String>::new());
    }

    /// Waits until a status shows, of a scrape that began after now.
    async fn status(&self, wanted: impl Fn(&TargetStatus) -> bool) -> TargetStatus {
        let start = Instant::now();
        let begun = crate_now();
        loop {
            let statuses = self.scraper.targets();
            if let Some(status) = statuses.iter().find(|s| s.last_scrape_ms >= begun && wanted(s)) {
                return status.clone();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{statuses:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `series newest-value` for each, `stale` for the mark.
    fn newest(&self, metric: &str) -> Vec<String> {
        let matchers = [Matcher::equal("__name__", metric)];
        let selection = Selection { matchers: &matchers, end_ms: i64::MAX, ..Selection::default() };
        let mut set = self.db.select(&selection).expect("reads");
        let (mut all, mut columns) = (Vec::new(), Columns::default());
        while let Some(labels) = set.next().expect("reads") {
            set.read(&mut columns).expect("reads");
            let newest = columns.floats.last().copied().unwrap_or(f64::NAN);
            let labels = labels.to_string().replace(&self.address, "HOST");
            let newest = if is_stale(newest) { "stale".into() } else { newest.to_string() };
            all.push(format!("{labels} {newest}"));
        }
        all
    }
}

fn crate_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_millis() as i64
}

fn up(status: &TargetStatus) -> bool {
    status.health == Health::Up
}

fn down(status: &TargetStatus) -> bool {
    status.health == Health::Down
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_and_reports_come_whole_and_end_stale() {
    let world = World::new().await;
    world.exporter.answers(|a| {
        a.body = b"# HELP a_total Help.\n# TYPE a_total counter\na_total{job=\"own\",x=\"1\"} 5\na_total{x=\"2\"} 6\n".to_vec();
    });
    world.scrape("params: {p: [q]}");
    let status = world.status(up).await;
    assert_eq!((status.samples, &*status.families), (2, &["a_total".to_owned()][..]));
    assert_eq!(
        world.newest("a_total"),
        [
            r#"a_total{exported_job="own", instance="HOST", job="j", x="1"} 5"#,
            r#"a_total{instance="HOST", job="j", x="2"} 6"#
        ]
    );
    assert_eq!(world.newest("up"), [r#"up{instance="HOST", job="j"} 1"#]);
    assert_eq!(
        world.newest("scrape_samples_scraped")[0],
        r#"scrape_samples_scraped{instance="HOST", job="j"} 2"#
    );
    assert_eq!(world.db.metadata()[0].help, "Help.");
    world.exporter.answers(|a| a.body = b"a_total{x=\"2\"} 7\n".to_vec());
    world.status(|s| up(s) && s.samples == 1).await;
    assert!(
        world.newest("a_total")[0].ends_with(" stale")
            && world.newest("a_total")[1].ends_with(" 7")
    );
    world.exporter.answers(|a| a.status = 500);
    let status = world.status(down).await;
    assert_eq!(status.last_error, "server returned HTTP status 500 Internal Server Error");
    assert!(
        world.newest("a_total")[1].ends_with(" stale") && world.newest("up")[0].ends_with(" 0")
    );
    world.exporter.answers(|a| a.status = 200);
    world.status(up).await;
    world.scraper.stop().await;
    assert!(world.newest("up")[0].ends_with(" stale"), "{:?}", world.newest("up"));
    let asked = world.exporter.asked();
    assert_eq!(asked[0]["x-prometheus-scrape-timeout-seconds"], "0.1");
    assert!(asked[0]["user-agent"].to_str().expect("text").starts_with("kubevigil/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_jobs_say_is_done() {
    let world = World::new().await;
    let token = world._dir.path().join("token");
    std::fs::write(&token, "one\n").expect("writes");
    world.exporter.answers(|a| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"b{job=\"own\"} 1 1000\nb{instance=\"\",z=\"y\"} 2 1000\n")
            .expect("writes");
        a.body = gzip.finish().expect("ends");
        a.headers =
            vec![("content-encoding", "gzip".into()), ("content-type", "text/plain".into())];
    });
    world.scrape(&format!(
        "metrics_path: /moved\n  honor_labels: true\n  honor_timestamps: false\n  bearer_token_file: {}",
        token.display()
    ));
    world.status(|s| up(s) && s.samples == 2).await;
    assert_eq!(world.newest("b"), [r#"b{instance="HOST", job="own"} 1"#, r#"b{job="j", z="y"} 2"#]);
    assert_eq!(world.exporter.asked().last().expect("asked")["authorization"], "Bearer one");
    std::fs::write(&token, "two\n").expect("writes");
    world.status(up).await;
    world.status(up).await;
    assert_eq!(world.exporter.asked().last().expect("asked")["authorization"], "Bearer two");
    std::fs::remove_file(&token).expect("removes");
    let status = world.status(down).await;
    assert!(status.last_error.contains("token: No such file"), "{}", status.last_error);
    let mut text = Vec::new();
    let mut writer = model::exposition::Writer::new(&mut text, Default::default());
    world.scraper.write(&mut writer);
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("kubevigil_scrape_targets{health=\"down\",job=\"j\"} 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_answers_leave_nothing_behind() {
    let world = World::new().await;
    let bomb = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![b'\n'; 4 << 20]).expect("writes");
        gzip.finish().expect("ends")
    };
    let long = format!("a{{l=\"{}\"}} 1\n", "x".repeat(300)).into_bytes();
    // Megabytes take their time on a machine that is busy.
    world.scrape_every("500ms", "sample_limit: 3\n  body_size_limit: 1MB\n  label_limit: 4\n  label_value_length_limit: 200\n  scrape_timeout: 450ms");
    let headers = |name, value: &str| {
        let mut headers = Answer::default().headers;
        headers.push((name, value.to_owned()));
        headers
    };
    let cases: Vec<(Answer, &str)> = vec![
        (Answer { body: b"a 1\na{".to_vec(), ..Answer::default() }, "line 2, column 3"),
        (Answer { body: b"a 1\n\xff 2\n".to_vec(), ..Answer::default() }, "not UTF-8"),
        (
            Answer { body: b"a 1\nb 1\nc 1\nd 1\n".to_vec(), ..Answer::default() },
            "sample limit of 3 exceeded",
        ),
        (
            Answer { body: b"a{x=\"1\",y=\"2\"} 1\n".to_vec(), ..Answer::default() },
            "line 1: 5 labels exceeds label_limit of 4",
        ),
        (Answer { body: b"a{x=\"1\",x=\"2\"} 1\n".to_vec(), ..Answer::default() }, "label"),
        (Answer { body: long, ..Answer::default() }, "the value of label \"l\", 300 bytes exceeds"),
        (
            Answer { body: vec![b'\n'; 2 << 20], ..Answer::default() },
            "body size limit of 1048576 bytes",
        ),
        (
            Answer {
                body: bomb,
                headers: headers("content-encoding", "gzip"),
                ..Answer::default()
            },
            "body size limit of 1048576 bytes",
        ),
        (
            Answer { headers: headers("content-encoding", "gzip"), ..Answer::default() },
            "cannot be decompressed",
        ),
        (
            Answer { headers: headers("content-encoding", "br"), ..Answer::default() },
            "\"br\" was not asked for",
        ),
        (
            Answer { headers: headers("content-type", "text/html"), ..Answer::default() },
            "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol",
        ),
        (
            Answer { headers: Vec::new(), ..Answer::default() },
            "non-compliant scrape target sending blank Content-Type and no fallback",
        ),
        (
            Answer {
                headers: headers("content-type", model::exposition::protobuf::MEDIA_TYPE),
                ..Answer::default()
            },
            "malformed protobuf at byte 1: the message ends within a field",
        ),
        (
            Answer {
                headers: headers("content-type", "application/openmetrics-text"),
                ..Answer::default()
            },
            "# EOF",
        ),
        (Answer { wait: Duration::from_secs(2), ..Answer::default() }, "took longer than 0.45 s"),
        (
            Answer { status: 302, headers: headers("location", "/metrics"), ..Answer::default() },
            "10 redirects",
        ),
        (
            Answer {
                status: 302,
                headers: headers("location", "https://127.0.0.1:1/"),
                ..Answer::default()
            },
            "the job has no TLS",
        ),
        (
            Answer { status: 302, headers: headers("location", "gopher://x"), ..Answer::default() },
            "only a whole http",
        ),
    ];
    for (answer, expected) in cases {
        world.exporter.answers(|a| *a = answer);
        let status = world.status(|s| down(s) && s.last_error.contains(expected)).await;
        assert_eq!(status.samples, 0);
        let values = world.newest("a");
        assert!(values.iter().all(|v| v.ends_with(" stale")), "{expected}: {values:?}");
        world.exporter.answers(|a| *a = Answer::default());
        world.status(up).await;
        assert_eq!(world.newest("a"), [r#"a{instance="HOST", job="j"} 1"#]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_stay_go_on_and_those_that_go_end_stale() {
    let world = World::new().await;
    world.scrape("honor_labels: true");
    let first = world.status(up).await;
    world.scrape("honor_labels: true");
    assert!(world.scraper.targets()[0].last_scrape_ms >= first.last_scrape_ms, "went on");
    world.scraper.set("config", Vec::new());
    assert!(world.scraper.targets().is_empty());
    let start = Instant::now();
    while !world.newest("up")[0].ends_with(" stale") {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = "scrape_configs:\n- job_name: t\n  scheme: https\n  tls_config: {ca_file: /nonexistent/ca.crt}\n  \
                static_configs: [{targets: [a]}]\n- job_name: l\n  target_limit: 1\n  static_configs: [{targets: [a, b]}]\n";
    let config = Config::parse(text, Path::new("p.yml")).expect("reads");
    let jobs = config
        .jobs
        .iter()
        .map(|job| JobTargets { targets: Target::of_static(job), job: job.clone() });
    let notices = world.scraper.set("config", jobs.collect());
    assert!(notices[0].starts_with("job \"t\": /nonexistent/ca.crt"), "{notices:?}");
    assert_eq!(notices[1], "job \"l\" has 2 targets, target_limit is 1: none is scraped");
}

proptest::proptest! {
    #[test]
    fn each_target_has_its_place_in_the_interval(now in 0u64..1 << 42, hash: u64, interval in 1u64..600_000) {
        let wait = first_after(now, hash, interval);
        proptest::prop_assert!(wait < interval);
        proptest::prop_assert_eq!((now + wait) % interval, hash % interval);
    }
}

#[tokio::test]
async fn exemplars_of_a_text_are_kept_and_cost_their_series_no_new_name() {
    let world = World::new().await;
    let type_ = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let long = "x".repeat(130);
    let body = format!(
        "# TYPE a counter\n\
         a_total{{b=\"1\"}} 5 # {{trace_id=\"t\",span_id=\"s\"}} 0.5 1700000000.25\n\
         a_total{{b=\"2\"}} 5 # {{}} 0.5\n\
         a_total{{b=\"3\"}} 5 1700000000 # {{trace_id=\"of the sample\"}} 3\n\
         a_total{{b=\"4\"}} 5 # {{trace_id=\"{long}\"}} 3\n# EOF\n"
    );
    world.exporter.answers(|a| {
        a.headers = vec![("content-type", type_.into())];
        a.body = body.clone().into_bytes();
    });
    world.scrape("honor_labels: false");
    let first = world.status(|s| s.health == Health::Up).await;
    let again = world.status(|s| s.last_scrape_ms > first.last_scrape_ms).await;
    assert_eq!((again.health, again.last_error.as_str()), (Health::Up, ""));
    let sets = [vec![Matcher::equal("__name__", "a_total")]];
    let found = world.db.exemplars(&sets, 0, i64::MAX);
    let told: Vec<String> = found
        .iter()
        .map(|(series, list)| {
            assert_eq!(list.len(), 1, "{series}: the same again is not taken again");
            let time = match list[0].time_ms {
                time if time > 1_700_000_001_000 => "the scrape".to_owned(),
                time => time.to_string(),
            };
            let (b, labels) = (series.get("b").unwrap_or(""), &list[0].labels);
            format!("{b} {labels} {} {time}", list[0].value)
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 {span_id=\"s\", trace_id=\"t\"} 0.5 1700000000250",
            "2 {} 0.5 the scrape",
            "3 {trace_id=\"of the sample\"} 3 1700000000000",
        ]
    );
    let stats = world.db.stats();
    assert!(stats.exemplars.too_long >= 2, "{stats:?}");
    assert_eq!(stats.exemplars.out_of_order, 0);
    assert!(
        world.newest("scrape_series_added").iter().all(|s| s.ends_with(" 0")),
        "known by their lines"
    );
}
