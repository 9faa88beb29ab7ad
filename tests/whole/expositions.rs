//! What Prometheus's own client library exposes, in every format: scraped by a real Prometheus and by us
//! with the same configuration, and everything that either has of it compared.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::hollow::{Hollow, HollowServer};
use stage::prometheus::{Prometheus, encoded, exchange, json};
use stage::{peer, require};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Jobs by name, and what makes each of them special.
const JOBS: [(&str, &str); 10] = [
    ("plain", ""),
    ("text", "scrape_protocols: [PrometheusText0.0.4]"),
    ("native", "scrape_native_histograms: true"),
    ("both", "{scrape_native_histograms: true, always_scrape_classic_histograms: true}"),
    ("converted_text", "convert_classic_histograms_to_nhcb: true"),
    (
        "converted",
        "{scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true, \
         always_scrape_classic_histograms: true, scrape_protocols: [PrometheusProto]}",
    ),
    ("classic_protobuf", "scrape_protocols: [PrometheusProto, PrometheusText1.0.0]"),
    (
        "limited",
        "{scrape_native_histograms: true, native_histogram_bucket_limit: 12, \
         native_histogram_min_bucket_factor: 1.3}",
    ),
    ("refused", "{scrape_native_histograms: true, native_histogram_bucket_limit: 1}"),
    ("underscores", "metric_name_escaping_scheme: underscores"),
];

/// Answers that stay as they are: path, content type, body, and the job's fields.
const FIXED: [(&str, &str, &str, &str); 7] = [
    ("blank", "", "a 1\n", ""),
    ("fallback", "", "a 1\n", "fallback_scrape_protocol: PrometheusText0.0.4"),
    ("html", "text/html; charset=utf-8", "<html>", ""),
    ("open2", "application/openmetrics-text; version=2.0.0", "# EOF\n", ""),
    ("empty", "", "", ""),
    ("cut", "application/vnd.google.protobuf", "\n", ""),
    ("bounds", "text/plain", BOUNDS, "convert_classic_histograms_to_nhcb: true"),
];

/// Bounds in forms that no library of today writes, and histograms that are none.
const BOUNDS: &str = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1e1\"} 2\n\
                      h_bucket{le=\"+Inf\"} 3\nh_sum 5\nh_count 3\n# TYPE q summary\n\
                      q{quantile=\"0.50\"} 1\nq_sum 1\nq_count 1\n# TYPE g gauge\ng{le=\"1\"} 1\n\
                      # TYPE falls histogram\nfalls_bucket{le=\"1\"} 4\nfalls_bucket{le=\"2\"} 3\n\
                      falls_count 4\n# TYPE f histogram\nf_bucket{le=\"1\"} 0.5\nf_count 1.5\n";

/// The exporter; killed when dropped.
struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start() -> Result<Exporter> {
        let program = peer::build("exporter")?;
        let mut child = Command::new(program).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let exporter = Exporter { child, address: line.trim().parse().context(line)? };
        for (path, kind, body, _) in FIXED {
            let kind = format!("Content-Type: {kind}\r\n");
            let path = format!("/fixed/{path}");
            exchange(exporter.address, "PUT", &path, &kind, body.as_bytes())?;
        }
        Ok(exporter)
    }

    fn observe(&self) -> Result<()> {
        let answer = exchange(self.address, "GET", "/observe", "", b"")?;
        ensure!(answer.status == 200, "{}", answer.text());
        Ok(())
    }

    /// What each of the two asked for, by job.
    fn asked(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for line in exchange(self.address, "GET", "/asked", "", b"")?.text().lines() {
            let (who, asked) = line.split_once(": ").context("no colon")?;
            let (agent, job) = who.split_once(' ').context("no job")?;
            all.entry(agent.into()).or_default().insert(job.into(), asked.into());
        }
        Ok(all)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(exporter: SocketAddr) -> String {
    let mut text =
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n".to_owned();
    let mut add = |name: &str, path: &str, fields: &str| {
        text += &format!(
            "- job_name: {name}\n  metrics_path: {path}\n  params: {{job: [{name}]}}\n  \
             static_configs: [{{targets: ['{exporter}']}}]\n"
        );
        for field in fields.trim_matches(['{', '}']).split(", ").filter(|f| !f.is_empty()) {
            // A list keeps its commas.
            let goes_on = !field.contains(": ");
            text.truncate(if goes_on { text.len() - 1 } else { text.len() });
            text += &if goes_on { format!(", {field}\n") } else { format!("  {field}\n") };
        }
    };
    JOBS.iter().for_each(|(name, fields)| add(name, "/metrics", fields));
    FIXED.iter().for_each(|(name, _, _, fields)| add(name, &format!("/fixed/{name}"), fields));
    text
}

/// Whom to ask.
enum Side<'s> {
    Theirs(&'s Prometheus),
    Ours(&'s HollowServer),
}

impl Side<'_> {
    fn json(&self, path: &str) -> Result<Value> {
        match self {
            Side::Theirs(prometheus) => json(prometheus.address, path),
            Side::Ours(server) => server.json(path),
        }
    }

    /// The series of an instant query with their values, without the time.
    fn query(&self, query: &str) -> Result<BTreeMap<String, String>> {
        let answer = self.json(&format!("/api/v1/query?query={}", encoded(query)))?;
        let result = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
        let mut all = BTreeMap::new();
        for series in result {
            let value =
                if series["value"].is_null() { &series["histogram"] } else { &series["value"] };
            all.insert(series["metric"].to_string(), value[1].to_string());
        }
        Ok(all)
    }

    /// Exemplars by series, and the times of each.
    fn exemplars(&self, query: &str) -> Result<BTreeMap<String, Vec<f64>>> {
        let query = encoded(query);
        let path = format!("/api/v1/query_exemplars?query={query}&start=1&end=9999999999");
        let mut answer = self.json(&path)?;
        let all = answer["data"].as_array_mut().context("no list of exemplars")?;
        let of_series = all.iter_mut().map(|series| {
            let list = series["exemplars"].as_array_mut().context("a series without exemplars")?;
            let times = list.iter_mut().map(|e| e["timestamp"].take().as_f64());
            let times =
                times.collect::<Option<Vec<f64>>>().context("an exemplar without a time")?;
            Ok((series.to_string(), times))
        });
        of_series.collect()
    }

    /// Health and last error of each target, by job.
    fn targets(&self) -> Result<BTreeMap<String, String>> {
        let answer = self.json("/api/v1/targets?state=active")?;
        let targets = answer["data"]["activeTargets"].as_array().context("no targets")?;
        let line = |t: &Value| {
            let name = t["scrapePool"].as_str().unwrap_or_default().to_owned();
            (name, format!("{} {}", t["health"], t["lastError"]))
        };
        Ok(targets.iter().map(line).collect())
    }
}

/// Asks both until they say the same of something that is there, 20 s at most.
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    ours: &Side<'_>,
    theirs: &Side<'_>,
    ask: impl Fn(&Side<'_>) -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (our, their) = (ask(ours)?, ask(theirs)?);
        if our == their {
            return Ok(our);
        }
        ensure!(Instant::now() < deadline, "{what}:\nours   {our:?}\ntheirs {their:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// One line for each series of an answer.
fn lines(side: &Side<'_>, query: &str) -> Result<Vec<String>> {
    Ok(side.query(query)?.into_iter().map(|(s, v)| format!("{s} {v}")).collect())
}

/// The same without the last three digits, in which the powers of two of two libraries differ.
fn rounded(side: &Side<'_>, query: &str) -> Result<Vec<String>> {
    let number =
        |v: &str| v.trim_matches('"').parse::<f64>().map_or(v.into(), |n| format!("{n:.12e}"));
    Ok(side.query(query)?.into_iter().map(|(s, v)| format!("{s} {}", number(&v))).collect())
}

#[test]
fn everything_is_read_as_prometheus_reads_it() -> Result<()> {
    let test = "expositions::everything_is_read_as_prometheus_reads_it";
    if !require::present(test, require::program("go"))
        || !require::present(test, require::program("curl"))
    {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let exporter = Exporter::start()?;
    exporter.observe()?;
    let text = config(exporter.address);
    let file = folder.path().join("ours.yml");
    std::fs::write(&file, &text)?;
    let features = ["--enable-feature=exemplar-storage"];
    let prometheus = Prometheus::start(&folder.path().join("theirs"), &text, &features)?;
    let hollow = Hollow::start(folder.path())?;
    let data = folder.path().join("ours").display().to_string();
    let server =
        hollow.server(&["--config.file", &file.display().to_string(), "--data-dir", &data])?;
    let (ours, theirs) = (Side::Ours(&server), Side::Theirs(&prometheus));

    // Three rounds, each seen by both.
    for round in 1..4 {
        let seen =
            |side: &Side<'_>| anyhow::Ok(side.query("-level")?.into_values().collect::<Vec<_>>());
        let wanted = format!("\"{}\"", 1.25 * f64::from(round));
        let deadline = Instant::now() + Duration::from_secs(60);
        let jobs = JOBS.len() - 1;
        for side in [&ours, &theirs] {
            while !seen(side)?.iter().eq(std::iter::repeat_n(&wanted, jobs)) {
                ensure!(Instant::now() < deadline, "round {round}: {:?} of {jobs}", seen(side)?);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        if round < 3 {
            exporter.observe()?;
        }
    }
    let asked = exporter.asked()?;
    ensure!(asked["kubevigil"].len() == JOBS.len(), "{asked:?}");
    for (job, theirs) in &asked["Prometheus"] {
        let ours = asked["kubevigil"].get(job);
        ensure!(ours == Some(theirs), "job {job} asks for {ours:?}, Prometheus's for {theirs}");
    }
    let mut histograms = 0;
    for (job, _) in JOBS.into_iter().chain(FIXED.map(|f| (f.0, f.3))) {
        let query = format!("{{job=\"{job}\",__name__!~\"up|scrape_.*\"}}");
        let all = same(job, &ours, &theirs, |side| lines(side, &query))?;
        histograms += all.iter().filter(|s| s.contains("\"buckets\"")).count();
        let reports = format!("{{job=\"{job}\",__name__=~\"up|scrape_samples_.*\"}}");
        let failed = ["refused", "cut"].contains(&job);
        let query = if failed { format!("up{{job=\"{job}\"}}") } else { reports };
        same(job, &ours, &theirs, |side| lines(side, &query))?;
    }
    ensure!(histograms >= 20, "{histograms} native histograms");
    let of_buckets = ["histogram_quantile(0.5, NAME_bucket)", "NAME_count", "NAME_sum"];
    let of_native = [
        "histogram_count(NAME)",
        "histogram_sum(NAME)",
        "histogram_quantile(0.9, NAME)",
        "histogram_fraction(0, 1, NAME)",
        "sum by (job) (NAME)",
    ];
    for name in ["native_seconds", "both_seconds", "classic_seconds"] {
        for query in of_native.into_iter().chain(of_buckets) {
            let query = query.replace("NAME", name);
            let all = same(&query, &ours, &theirs, |side| rounded(side, &query))?;
            // The native one has no buckets of its own, which its count says all the same.
            ensure!(!all.is_empty(), "{query} has no answer");
        }
    }
    ensure!(!ours.query("h")?.is_empty() && !ours.query("f")?.is_empty(), "nothing converted");
    for (job, _) in JOBS.into_iter().chain(FIXED.map(|f| (f.0, f.3))) {
        let path = format!("/api/v1/scrape_pools/config?scrapePool={job}");
        let [ours, theirs] = [ours.json(&path)?, theirs.json(&path)?];
        let yaml = |answer: &Value| answer["data"]["yaml"].as_str().unwrap_or("").to_owned();
        ensure!(yaml(&ours) == yaml(&theirs), "{}\nis not\n{}", yaml(&ours), yaml(&theirs));
    }
    let targets = [ours.targets()?, theirs.targets()?];
    for (job, kind) in FIXED.map(|f| (f.0, f.1)) {
        let [ours, theirs] = targets.each_ref().map(|t| t.get(job));
        if job == "cut" {
            let words = ours
                .zip(theirs)
                .map(|(o, t)| o.starts_with("\"down\"") && t.starts_with("\"down\""));
            ensure!(words == Some(true), "{ours:?}, {theirs:?}");
        } else if job != "open2" {
            ensure!(ours == theirs && ours.is_some(), "{job} ({kind}): {ours:?}, not {theirs:?}");
        }
    }
    let refused = targets[0].get("refused").context("no such target")?;
    ensure!(
        refused.contains("_seconds\\\" at byte") && refused.contains("limit of 1"),
        "{refused}"
    );
    for query in [
        "requests_total",
        "native_seconds",
        "both_seconds",
        "classic_seconds",
        "classic_seconds_bucket",
        "both_seconds_bucket",
    ] {
        let [ours, theirs] = [ours.exemplars(query)?, theirs.exemplars(query)?];
        ensure!(!ours.is_empty(), "{query} has no exemplars");
        // Of native histograms of protobuf, Prometheus 3.15 keeps those of a metric's first series alone.
        let native = ["native_seconds", "both_seconds", "classic_seconds"].contains(&query);
        let all = native || ours.len() == theirs.len();
        ensure!(all, "{query}: {ours:?} are not {theirs:?}");
        for (series, theirs) in &theirs {
            let of_series = ours.get(series);
            let ours = of_series.with_context(|| format!("{query}: {series} not in {ours:?}"))?;
            ensure!(ours.len() == theirs.len(), "{query}: {series}");
            for (a, b) in ours.iter().zip(theirs) {
                // Of microseconds in text we take the nearest millisecond, Prometheus the one before.
                ensure!((a - b).abs() < 0.0015, "{query}: at {a}, not at {b}");
            }
        }
    }
    Ok(())
}
