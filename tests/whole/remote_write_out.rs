//! Remote write out to a real Prometheus, by 1.0 and 2.0, over our own violent ends and its pauses,
//! every sample compared; and relabelling rule by rule beside it.

use anyhow::{Context, Result, ensure};
use model::Labels;
use model::relabel::relabel;
use serde_json::Value;
use stage::program::{Program, built};
use stage::prometheus::{Prometheus, encoded, exchange, free_address, json, wait_until_ready};
use stage::require;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

fn ours(address: SocketAddr, dir: &Path, config: &Path) -> Result<Program> {
    let mut command = Command::new(built("kubevigil"));
    command.args(["--listen", &address.to_string(), "--interval", "250ms"]);
    command.args(["--collector.disable-defaults", "--collector.loadavg", "--collector.meminfo"]);
    command.args(["--collector.stat", "--collector.vmstat", "--web.enable-otlp-receiver"]);
    command.args(["--data-dir", &dir.display().to_string()]);
    command.args(["--config.file", &config.display().to_string()]);
    let program = Program::start_command(command)?;
    // The first address that it tells is that of the receiver.
    wait_until_ready(address).with_context(|| program.said())?;
    Ok(program)
}

/// A section of `remote_write`, whose samples carry the label `sender`.
fn section(to: SocketAddr, name: &str, message: &str) -> String {
    format!(
        "- url: http://{to}/api/v1/write\n  name: {name}\n  protobuf_message: {message}\n  \
         queue_config: {{min_backoff: 30ms, max_backoff: 200ms, batch_send_deadline: 300ms, \
         max_samples_per_send: 150}}\n  metadata_config: {{send_interval: 1s}}\n  \
         write_relabel_configs:\n  - {{target_label: sender, replacement: {name}}}\n"
    )
}

const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// A series' samples as the API gives them: time and value.
type Series = BTreeMap<String, Vec<Value>>;

/// All raw samples between two times, by labels without those that sending added.
fn samples(address: SocketAddr, selector: &str, from_ms: i64, to_ms: i64) -> Result<Series> {
    let query = format!("{selector}[{}ms]", to_ms - from_ms);
    let path = format!("/api/v1/query?query={}&time={}", encoded(&query), to_ms as f64 / 1000.0);
    let answer = json(address, &path)?;
    let result = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let mut all = Series::new();
    for one in result {
        let mut metric = one["metric"].clone();
        let labels = metric.as_object_mut().context("no labels")?;
        if labels.remove("sender").is_some() {
            ensure!(labels.remove("cluster") == Some("c1".into()), "no external label: {metric}");
        }
        let values = one["values"].as_array().context("no values")?;
        ensure!(all.insert(metric.to_string(), values.clone()).is_none(), "{metric} comes twice");
    }
    Ok(all)
}

/// One of our own metrics, all its series together.
fn metric(address: SocketAddr, name: &str) -> Result<f64> {
    let text = exchange(address, "GET", "/metrics", "", b"")?.text();
    let lines =
        text.lines().filter(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(['{', ' '])));
    Ok(lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Waits (60 s) until a sender's samples between two times are those that we have; how many they are.
fn arrived(
    program: &Program,
    own: SocketAddr,
    theirs: SocketAddr,
    sender: &str,
    range: (i64, i64),
) -> Result<usize> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match compare(own, theirs, sender, range) {
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(program.said()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(300)),
            same => return same,
        }
    }
}

fn compare(
    own: SocketAddr,
    theirs: SocketAddr,
    sender: &str,
    (from_ms, to_ms): (i64, i64),
) -> Result<usize> {
    let wanted = samples(own, "{job=~\".+\"}", from_ms, to_ms)?;
    let got = samples(theirs, &format!("{{sender=\"{sender}\"}}"), from_ms, to_ms)?;
    let mut count = 0;
    for (labels, values) in &wanted {
        let others = got.get(labels).with_context(|| format!("{sender}: {labels} is not there"))?;
        let differ = values.iter().find(|v| !others.contains(v));
        ensure!(
            values == others,
            "{sender}: {labels}: {} samples, there are {}; {differ:?} is missing",
            values.len(),
            others.len()
        );
        count += values.len();
    }
    ensure!(got.len() == wanted.len(), "{sender}: {} series and {}", got.len(), wanted.len());
    Ok(count)
}

/// We are killed again and again, also while the receiver does not answer; then every sample that we
/// have is compared with what it has.
#[test]
fn every_sample_arrives() -> Result<()> {
    if !require::present("remote_write_out::every_sample_arrives", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let receiver = Prometheus::start(
        &folder.path().join("theirs"),
        "global: {scrape_interval: 1h}\n",
        &["--web.enable-remote-write-receiver"],
    )?;
    let theirs = receiver.address;
    let (address, dir) = (free_address()?, folder.path().join("ours"));
    let config = folder.path().join("ours.yml");
    let two = format!(
        "global: {{external_labels: {{cluster: c1}}}}\nremote_write:\n{}{}",
        section(theirs, "one", V1),
        section(theirs, "two", V2)
    );
    std::fs::write(&config, &two)?;
    let mut program = ours(address, &dir, &config)?;
    let begin_ms = now_ms()?;
    for round in 0..4 {
        std::thread::sleep(Duration::from_millis(1500 + 400 * round));
        // In every other round nobody answers when we are killed, nor when we come back.
        if round % 2 == 1 {
            receiver.signal(19)?; // SIGSTOP
            std::thread::sleep(Duration::from_millis(1200));
        }
        program.signal(9)?;
        drop(program);
        program = ours(address, &dir, &config)?;
        if round % 2 == 1 {
            std::thread::sleep(Duration::from_millis(500));
            receiver.signal(18)?; // SIGCONT
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let end_ms = now_ms()?;
    let mut counts = Vec::new();
    for sender in ["one", "two"] {
        counts.push(arrived(&program, address, theirs, sender, (begin_ms - 5000, end_ms))?);
    }
    eprintln!("{counts:?} samples compared with what Prometheus received by 1.0 and 2.0");
    ensure!(counts.iter().all(|c| *c >= 5000), "too few were compared: {counts:?}");
    // Prometheus takes them and shows only those of its own targets.
    let described = metric(address, "prometheus_remote_storage_metadata_total")?;
    let refused = metric(address, "prometheus_remote_storage_metadata_failed_total")?;
    ensure!(described > 10.0 && refused == 0.0, "{refused} of {described} families were refused");

    // A changed file is taken over on SIGHUP, and disturbs nothing that is under way.
    std::fs::write(&config, format!("{two}{}", section(theirs, "three", V2)))?;
    let changed_ms = now_ms()?;
    program.signal(1)?;
    std::thread::sleep(Duration::from_secs(3));
    let later_ms = now_ms()?;
    for (sender, from_ms) in
        [("one", begin_ms - 5000), ("two", begin_ms - 5000), ("three", changed_ms + 2000)]
    {
        arrived(&program, address, theirs, sender, (from_ms, later_ms))?;
    }
    std::fs::write(&config, "remote_write: [{url: ftp://nowhere}]\n")?;
    program.signal(1)?;
    std::thread::sleep(Duration::from_millis(500));
    ensure!(program.said().contains("must be an address like"), "{}", program.said());
    let failed = metric(address, "prometheus_remote_storage_samples_failed_total")?;
    let sent = metric(address, "prometheus_remote_storage_samples_total")?;
    ensure!(failed == 0.0 && sent > 1000.0, "{failed} of {sent} samples were refused");
    ensure!(metric(address, "prometheus_remote_storage_shards")? >= 3.0);
    ensure!(metric(address, "kubevigil_export_log_gaps_total")? == 0.0);
    ensure!(metric(address, "kubevigil_panics_total")? == 0.0, "something panicked");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// Adds one to a counter of ours, with an exemplar.
fn count_order(address: SocketAddr, number: u32) -> Result<()> {
    let now = (i128::from(now_ms()?) * 1_000_000).to_string();
    let exemplar = serde_json::json!({
        "timeUnixNano": now, "asDouble": f64::from(number) / 4.0, "traceId": format!("{number:032x}"),
        "filteredAttributes": [{ "key": "who", "value": { "stringValue": "somebody" } }],
    });
    let point =
        serde_json::json!({ "timeUnixNano": now, "asInt": number, "exemplars": [exemplar] });
    let sum = serde_json::json!({ "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point] });
    let body = serde_json::json!({ "resourceMetrics": [{ "scopeMetrics": [{
        "metrics": [{ "name": "orders", "sum": sum }] }] }] });
    let kind = "Content-Type: application/json\r\n";
    let path = "/api/v1/otlp/v1/metrics";
    let answer = exchange(address, "POST", path, kind, body.to_string().as_bytes())?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(())
}

/// The exemplars of the counter.
fn exemplars(address: SocketAddr, selector: &str) -> Result<Value> {
    let query = encoded(&format!("orders_total{selector}"));
    let path = format!("/api/v1/query_exemplars?query={query}&start=0&end=9999999999");
    Ok(json(address, &path)?["data"][0]["exemplars"].clone())
}

/// We are killed while the receiver does not answer; then every exemplar is there by 1.0 and 2.0, and no
/// other endpoint has one.
#[test]
fn exemplars_arrive() -> Result<()> {
    if !require::present("remote_write_out::exemplars_arrive", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let receiver = Prometheus::start(
        &folder.path().join("theirs"),
        "global: {scrape_interval: 1h}\n",
        &["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"],
    )?;
    let theirs = receiver.address;
    let (address, dir) = (free_address()?, folder.path().join("ours"));
    let config = folder.path().join("ours.yml");
    let asked =
        |name, message| format!("{}  send_exemplars: true\n", section(theirs, name, message));
    let sections = [asked("one", V1), asked("two", V2), section(theirs, "three", V2)].concat();
    std::fs::write(
        &config,
        format!("global: {{external_labels: {{cluster: c1}}}}\nremote_write:\n{sections}"),
    )?;
    let mut program = ours(address, &dir, &config)?;
    for number in 1..=8 {
        let stops = number % 3 == 0;
        if stops {
            receiver.signal(19)?; // SIGSTOP
        }
        count_order(address, number).with_context(|| program.said())?;
        if number % 2 == 1 {
            program.signal(9)?;
            drop(program);
            program = ours(address, &dir, &config)?;
        }
        if stops {
            receiver.signal(18)?; // SIGCONT
        }
    }
    let own = exemplars(address, "")?;
    ensure!(own.as_array().map(Vec::len) == Some(8), "{own}");
    let deadline = Instant::now() + Duration::from_secs(60);
    for sender in ["one", "two"] {
        let selector = format!("{{sender=\"{sender}\"}}");
        while exemplars(theirs, &selector)? != own {
            let told = exemplars(theirs, &selector)?;
            ensure!(Instant::now() < deadline, "{sender}: {told}, not {own}\n{}", program.said());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let three = exemplars(theirs, "{sender=\"three\"}")?;
    ensure!(three.is_null(), "nobody asked for {three}");
    for end in ["failed_total", "pending"] {
        let count = metric(address, &format!("prometheus_remote_storage_exemplars_{end}"))?;
        ensure!(count == 0.0, "{end}: {count}");
    }
    ensure!(metric(address, "prometheus_tsdb_exemplar_exemplars_in_storage")? == 8.0);
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// The simple form: an address on the command line.
#[test]
fn an_address_is_enough() -> Result<()> {
    if !require::present("remote_write_out::an_address_is_enough", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let receiver = Prometheus::start(
        &folder.path().join("theirs"),
        "global: {scrape_interval: 1h}\n",
        &["--web.enable-remote-write-receiver"],
    )?;
    let theirs = receiver.address;
    let mut command = Command::new(built("kubevigil"));
    command.args(["--listen", "127.0.0.1:0", "--collector.disable-defaults"]);
    command.args(["--collector.loadavg"]);
    command.args(["--data-dir", &folder.path().join("ours").display().to_string()]);
    command.args(["--remote-write", &format!("http://{theirs}/api/v1/write")]);
    let program = Program::start_command(command)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = json(theirs, "/api/v1/query?query=node_load1")?;
        if answer["data"]["result"][0]["metric"]["job"] == "node" {
            break;
        }
        ensure!(Instant::now() < deadline, "nothing came:\n{}", program.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    ensure!(program.stop()? == Some(0));
    let wrong = Command::new(built("kubevigil")).args(["--remote-write", "nowhere"]).output()?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure!(!wrong.status.success() && said.contains("--remote-write"), "{said}");
    Ok(())
}

/// Rules, each applied to the same labels by Prometheus and by us.
const RULES: [&str; 24] = [
    "{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch$1'}",
    "{source_labels: [a, b], regex: 'foo;(.*)', target_label: '${1}x'}",
    "{source_labels: [a], regex: nothing, target_label: d, replacement: x}",
    "{target_label: d, replacement: fixed}",
    "{target_label: d, replacement: 'a$$b'}",
    "{source_labels: [a], target_label: b}",
    "{source_labels: [a], regex: 'fo(x)?o', target_label: a, replacement: '$1'}",
    "{source_labels: [a], regex: '(?P<first>f)oo', target_label: d, replacement: '$first-${first}x$firstx'}",
    "{source_labels: [a, b, c], separator: '||', regex: 'foo\\|\\|(.*)', target_label: a}",
    "{source_labels: [a], regex: 'f.o', action: keep}",
    "{source_labels: [a], regex: 'o', action: keep}",
    "{source_labels: [a, missing], regex: 'foo;', action: drop}",
    "{source_labels: [a], target_label: b, action: keepequal}",
    "{source_labels: [same], target_label: a, action: keepequal}",
    "{source_labels: [same], target_label: a, action: dropequal}",
    "{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}",
    "{source_labels: [a, b], target_label: d, action: hashmod, modulus: 18446744073709551}",
    "{regex: '([ab])', action: labelmap, replacement: 'x_$1'}",
    // Of two labels that become one, which wins is Prometheus's chance.
    "{regex: 'b', action: labelmap, replacement: same}",
    "{regex: '[ab]', action: labeldrop}",
    "{regex: '[ab]|job|instance|__.*', action: labelkeep}",
    "{source_labels: [upper], target_label: d, action: lowercase}",
    "{source_labels: [a, upper], target_label: d, action: Uppercase}",
    "{source_labels: [multi], regex: 'a.b', target_label: d, replacement: x}",
];

#[test]
fn relabelling_is_prometheus_own() -> Result<()> {
    if !require::present("remote_write_out::relabelling_is_prometheus_own", require::program("go"))
    {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let labels = [
        ("a", "foo"),
        ("b", "bar"),
        ("c", "baz"),
        ("same", "foo"),
        ("upper", "FoÖ"),
        ("multi", "a\nb"),
    ];
    let set: Vec<String> = labels.iter().map(|(n, v)| format!("{n}: {v:?}")).collect();
    let mut config = String::from("global: {scrape_interval: 1h}\nscrape_configs:\n");
    for (i, rule) in RULES.iter().enumerate() {
        config.push_str(&format!(
            "- job_name: job{i}\n  static_configs: [{{targets: ['127.0.0.1:1'], labels: {{{}}}}}]\n  \
             relabel_configs:\n  - {rule}\n",
            set.join(", ")
        ));
    }
    let peer = Prometheus::start(&folder.path().join("theirs"), &config, &[])?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        let answer = json(peer.address, "/api/v1/targets")?;
        let active = answer["data"]["activeTargets"].as_array().map_or(0, Vec::len);
        let dropped = answer["data"]["droppedTargets"].as_array().map_or(0, Vec::len);
        if active + dropped == RULES.len() {
            break answer;
        }
        ensure!(Instant::now() < deadline, "{active} and {dropped} targets of {}", RULES.len());
        std::thread::sleep(Duration::from_millis(200));
    };
    let active = answer["data"]["activeTargets"].as_array().context("no targets")?;
    let mut kept = 0;
    for (i, rule) in RULES.iter().enumerate() {
        let section =
            format!("remote_write: [{{url: 'http://x/', write_relabel_configs: [{rule}]}}]");
        let rules =
            scrape::Config::parse(&section, Path::new("f.yml"))?.remote_write[0].relabel.clone();
        // As service discovery gives them.
        let name = format!("job{i}");
        let (address, job) = (("instance", "127.0.0.1:1"), ("job", name.as_str()));
        let all = labels.iter().copied().chain([address, job]);
        let own = relabel(&rules, &Labels::from_pairs(all));
        let pool = |t: &&Value| t["scrapePool"] == name.as_str();
        let wanted = active.iter().find(pool).map(|t| {
            let pairs = t["labels"].as_object().into_iter().flatten();
            Labels::from_pairs(pairs.map(|(n, v)| (n.as_str(), v.as_str().unwrap_or_default())))
        });
        kept += usize::from(wanted.is_some());
        ensure!(own == wanted, "{rule}: ours {own:?}, Prometheus's {wanted:?}");
    }
    eprintln!("{} rules compared, {kept} of them kept the target", RULES.len());
    ensure!(kept >= 15 && kept < RULES.len());
    Ok(())
}
