//! Series that come from a real Prometheus's store and go back to it: what its own store wrote is imported
//! and every sample compared, what we export is read by its store and by promtool. And what the commands do
//! with damage.

use anyhow::{Context, Result, bail, ensure};
use model::value::is_stale;
use model::{Columns, Histogram, Selection, Storage};
use stage::program::{Program, built};
use stage::prometheus::{encoded, wait_until_ready};
use stage::{peer, require};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

/// Labels and time to start and value.
type Content = BTreeMap<(String, i64), (i64, String)>;

fn run(program: &Path, arguments: &[&str]) -> Result<Output> {
    let output = Command::new(program).args(arguments).output();
    output.with_context(|| format!("cannot run {}", program.display()))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Runs our program to its end, which must be good.
fn ours(arguments: &[&str]) -> Result<String> {
    let output = run(&built("kubevigil"), arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", text(&output));
    Ok(text(&output))
}

/// As [`ours`], for what must end with the exit code 1.
fn ours_fails(arguments: &[&str]) -> Result<String> {
    let output = run(&built("kubevigil"), arguments)?;
    ensure!(
        output.status.code() == Some(1),
        "{arguments:?}: {:?}: {}",
        output.status,
        text(&output)
    );
    Ok(text(&output))
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap_or_default()
}

/// What Prometheus's store reads in a folder.
fn theirs(peer: &Path, dir: &Path) -> Result<Content> {
    let output = run(peer, &["dump", path(dir)])?;
    ensure!(output.status.success(), "dump of {}: {}", dir.display(), text(&output));
    let mut content = Content::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let mut parts = line.split('\t');
        let mut part = || parts.next().context("a part of a line is missing");
        let (name, time, start) = (part()?, part()?.parse()?, part()?.parse()?);
        // Go quotes as JSON does, for what we have.
        let name: String = serde_json::from_str(name)?;
        content.insert((name, time), (start, part()?.to_owned()));
    }
    Ok(content)
}

/// What our store reads in a folder.
fn stored(dir: &Path) -> Result<Content> {
    let options = tsdb::Options { background: false, retention_ms: 0, ..Default::default() };
    let db = tsdb::Db::open(dir, options)?;
    let selection = Selection { start_ms: i64::MIN, end_ms: i64::MAX, ..Selection::default() };
    let (mut content, mut columns) = (Content::new(), Columns::default());
    let mut set = db.select(&selection)?;
    while let Some(labels) = set.next()? {
        let mut pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.sort();
        let name = pairs.join(";");
        set.read(&mut columns)?;
        let mut histograms = columns.histograms.iter().peekable();
        for (i, time) in columns.times_ms.iter().enumerate() {
            let value = match histograms.next_if(|h| h.0 as usize == i) {
                Some((_, histogram)) => histogram_text(histogram),
                None => format!("{:016x}", columns.floats[i].to_bits()),
            };
            let start = columns.starts_ms.get(i).copied().unwrap_or(0);
            content.insert((name.clone(), *time), (start, value));
        }
    }
    ensure!(set.warnings().is_empty(), "{:?}", set.warnings());
    drop(set);
    db.close()?;
    Ok(content)
}

/// What our store knows of metrics.
fn described(dir: &Path) -> Result<Vec<tsdb::Metadata>> {
    let options = tsdb::Options { background: false, retention_ms: 0, ..Default::default() };
    let db = tsdb::Db::open(dir, options)?;
    let families = db.metadata();
    db.close()?;
    Ok(families)
}

/// Exemplars came along, each with the time of the step that its label names.
fn exemplars(dir: &Path, start_ms: i64) -> Result<()> {
    let program = Program::start(
        "kubevigil",
        &["--data-dir", path(dir), "--retention", "365d", "--collector.disable-defaults"],
    )?;
    wait_until_ready(program.address)?;
    let query = format!(
        "/api/v1/query_exemplars?query={}&start={}&end={}",
        encoded("{__name__=~\"seed_.*\"}"),
        start_ms / 1000,
        start_ms / 1000 + 36_000
    );
    let answer = program.json(&query)?;
    let mut count = 0;
    for series in answer["data"].as_array().context("no data")? {
        for one in series["exemplars"].as_array().context("no exemplars")? {
            let step = one["labels"]["trace_id"].as_str().context("no trace_id")?;
            let time = one["timestamp"].as_f64().context("no time")?;
            let wanted = start_ms as f64 / 1000.0 + step.parse::<f64>()? * 15.0;
            ensure!((time - wanted).abs() < 0.001, "{one} is not of {wanted}");
            count += 1;
        }
    }
    eprintln!("{count} exemplars came along");
    ensure!(count >= 2, "only {count} exemplars came along: {answer}");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// A histogram as the peer writes it.
fn histogram_text(h: &Histogram) -> String {
    if is_stale(h.sum) {
        return "stale".into();
    }
    let number = |f: f64| format!("{:016x}", f.to_bits());
    let gauge = h.reset_hint == model::histogram::ResetHint::Gauge;
    let mut text = format!(
        "gauge={gauge} schema={} count={} sum={} zero={}/{}",
        h.schema,
        number(h.count),
        number(h.sum),
        number(h.zero_count),
        number(h.zero_threshold)
    );
    let sides = [
        ("", &h.positive_spans, &h.positive_buckets),
        ("-", &h.negative_spans, &h.negative_buckets),
    ];
    for (sign, spans, buckets) in sides {
        let mut counts = buckets.iter();
        let mut index = 0;
        for span in spans {
            index += span.offset;
            for _ in 0..span.length {
                let count = counts.next().copied().unwrap_or(0.0);
                if count != 0.0 {
                    let _ = write!(text, " {sign}{index}:{}", number(count));
                }
                index += 1;
            }
        }
    }
    h.custom_bounds.iter().for_each(|b| text += &format!(" {}", number(*b)));
    text
}

/// The first differences of two contents; starts count where `theirs` knows one.
fn differences(ours: &Content, theirs: &Content) -> Vec<String> {
    let mut found = Vec::new();
    for (key, (start, value)) in theirs {
        match ours.get(key) {
            None => found.push(format!("{key:?} is missing: {value}")),
            Some((our_start, our_value)) => {
                if our_value != value || (*start != 0 && our_start != start) {
                    found.push(format!("{key:?}: {our_start} {our_value} is {start} {value}"));
                }
            }
        }
    }
    let more = ours.keys().filter(|k| !theirs.contains_key(*k));
    found.extend(more.map(|k| format!("{k:?} is there for nothing")));
    found
}

fn same(what: &str, ours: &Content, theirs: &Content) -> Result<()> {
    let found = differences(ours, theirs);
    let shown: Vec<_> = found.iter().take(10).collect();
    ensure!(found.is_empty(), "{what}: {} differences: {shown:#?}", found.len());
    Ok(())
}

/// A copy of a folder, for who may change it.
fn copied(from: &Path, to: &Path) -> Result<PathBuf> {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp -r {} {}", from.display(), to.display());
    Ok(to.to_owned())
}

/// The beginning of the samples: some hours ago, on a full hour.
fn start_ms() -> Result<i64> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    Ok((now - 8 * 3_600_000) / 3_600_000 * 3_600_000)
}

#[test]
fn what_prometheus_wrote_comes_along_and_goes_back() -> Result<()> {
    let name = "what_prometheus_wrote_comes_along_and_goes_back";
    if !require::present(name, require::program("go")) {
        return Ok(());
    }
    let peer = peer::build("tsdb")?;
    let promtool = peer::build("prometheus")?.with_file_name("promtool");
    let folder = tempfile::tempdir()?;
    for encoding in ["xor", "xor2"] {
        let at = |name: &str| folder.path().join(format!("{encoding}-{name}"));
        let (from, data, out) = (at("prometheus"), at("data"), at("out"));
        let start = start_ms()?;
        let wrote = run(&peer, &["write", path(&from), &start.to_string(), encoding])?;
        ensure!(wrote.status.success(), "{}", text(&wrote));
        let expected = theirs(&peer, &copied(&from, &at("copy"))?)?;
        ensure!(expected.len() > 20_000, "only {} samples were written", expected.len());
        let kinds = ["seed_late", "seed_histogram", "seed_custom_float_histogram", "seed_stale"];
        for kind in kinds {
            let has = expected.keys().any(|k| k.0.contains(kind));
            ensure!(has, "Prometheus has no {kind}");
        }

        let import = ["import", "prometheus", path(&from), "--data-dir", path(&data)];
        let said = ours(&import)?;
        eprintln!("{encoding}: {said}");
        same(encoding, &stored(&data)?, &expected)?;
        if encoding == "xor2" {
            let starts = stored(&data)?.values().filter(|v| v.0 != 0).count();
            ensure!(starts > 5000, "only {starts} samples have their start");
        }
        let again = ours(&import)?;
        ensure!(again.starts_with("imported 0 samples"), "{again}");
        ours(&["tools", "check", path(&data)])?;
        let described = described(&data)?;
        ensure!(described.len() >= 5, "only {described:?} are described");
        for family in &described {
            let seeded = family.kind == model::Kind::Counter && family.help == "seeded";
            ensure!(seeded && family.name.starts_with("seed_"), "{family:?}");
        }
        exemplars(&copied(&data, &at("running"))?, start)?;

        let export = ["export", "prometheus", path(&out), "--data-dir", path(&data)];
        let said = ours(&export)?;
        eprintln!("{said}");
        let again = ours(&export)?;
        ensure!(again.contains("  0 blocks written"), "{again}");
        read_by_promtool(&promtool, &out, expected.len())?;
        let mut back = theirs(&peer, &out)?;
        // Blocks of these encodings have no place for starts.
        back.values_mut().for_each(|v| v.0 = 0);
        let mut without_starts = expected.clone();
        without_starts.values_mut().for_each(|v| v.0 = 0);
        same("exported", &back, &without_starts)?;

        // And back again from what we wrote ourselves.
        let third = at("third");
        ours(&["import", "prometheus", path(&out), "--data-dir", path(&third)])?;
        let mut came = stored(&third)?;
        came.values_mut().for_each(|v| v.0 = 0);
        same("imported from our own export", &came, &without_starts)?;
    }
    Ok(())
}

fn read_by_promtool(promtool: &Path, dir: &Path, samples: usize) -> Result<()> {
    let dump = run(promtool, &["tsdb", "dump", path(dir)])?;
    ensure!(dump.status.success(), "promtool tsdb dump: {}", text(&dump));
    let lines = String::from_utf8_lossy(&dump.stdout).lines().count();
    ensure!(lines == samples, "promtool dumps {lines} samples of {samples}");
    let analyzed = run(promtool, &["tsdb", "analyze", path(dir)])?;
    ensure!(analyzed.status.success(), "promtool tsdb analyze: {}", text(&analyzed));
    ensure!(text(&analyzed).contains("Total Series: "), "{}", text(&analyzed));
    let list = run(promtool, &["tsdb", "list", path(dir)])?;
    ensure!(list.status.success(), "promtool tsdb list: {}", text(&list));
    Ok(())
}

#[test]
fn what_is_damaged_is_named_and_the_rest_comes_along() -> Result<()> {
    let name = "what_is_damaged_is_named_and_the_rest_comes_along";
    if !require::present(name, require::program("go")) {
        return Ok(());
    }
    let peer = peer::build("tsdb")?;
    let folder = tempfile::tempdir()?;
    let from = folder.path().join("prometheus");
    let wrote = run(&peer, &["write", path(&from), &start_ms()?.to_string(), "xor"])?;
    ensure!(wrote.status.success(), "{}", text(&wrote));
    let whole = theirs(&peer, &copied(&from, &folder.path().join("copy"))?)?;

    let block = first(&from, |p| p.join("index").exists())?;
    let damaged = [
        (block.join("chunks/000001"), 2000),
        (block.join("index"), 800),
        (first(&from.join("wal"), |p| p.is_file())?, 40_000),
        (first(&from.join("chunks_head"), |p| p.is_file())?, 40),
    ];
    for (file, byte) in &damaged {
        let mut bytes = std::fs::read(file)?;
        let at = (*byte).min(bytes.len() / 2);
        // Padding says nothing, and nobody reads it.
        let at = at + bytes[at..].iter().position(|b| *b != 0).unwrap_or(0);
        bytes[at] ^= 0x40;
        std::fs::write(file, bytes)?;
    }
    let data = folder.path().join("data");
    let said = ours_fails(&["import", "prometheus", path(&from), "--data-dir", path(&data)])?;
    eprintln!("{said}");
    for (file, _) in &damaged {
        ensure!(said.contains(path(file)), "{} is not named:\n{said}", file.display());
    }
    let came = stored(&data)?;
    ensure!(came.len() > whole.len() / 2, "only {} of {} samples came", came.len(), whole.len());
    for (key, value) in &came {
        // What a list of deletions in a damaged part of the log hid is shown again.
        if !key.0.contains("seed_deleted") {
            ensure!(whole.get(key).is_some_and(|w| w.1 == value.1), "{key:?} became {value:?}");
        }
    }
    let refused = ours_fails(&["import", "prometheus", path(&folder.path().join("data"))])?;
    ensure!(refused.contains("neither blocks nor a log of Prometheus"), "{refused}");
    Ok(())
}

#[test]
fn a_block_with_an_index_of_version_1_comes_along() -> Result<()> {
    let name = "a_block_with_an_index_of_version_1_comes_along";
    if !require::present(name, require::program("go")) {
        return Ok(());
    }
    // The one that Prometheus keeps for its own tests.
    let peer = peer::build("tsdb")?;
    let module = Command::new("go")
        .args(["list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus"])
        .current_dir(stage::program::repository().join("tests/peers/tsdb"))
        .output()?;
    ensure!(module.status.success(), "{}", text(&module));
    let module = PathBuf::from(String::from_utf8(module.stdout)?.trim());
    let block = module.join("tsdb/testdata/index_format_v1");
    let folder = tempfile::tempdir()?;
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(block.join("meta.json"))?)?;
    let (from, data) = (folder.path().join("prometheus"), folder.path().join("data"));
    std::fs::create_dir(&from)?;
    copied(&block, &from.join(meta["ulid"].as_str().context("no ulid")?))?;
    let writable = Command::new("chmod").args(["-R", "u+w"]).arg(&from).status()?;
    ensure!(writable.success());

    let expected = theirs(&peer, &from)?;
    ensure!(expected.len() == 102, "{} samples", expected.len());
    ours(&["import", "prometheus", path(&from), "--data-dir", path(&data)])?;
    same("index of version 1", &stored(&data)?, &expected)?;
    let alone = folder.path().join("alone");
    ours(&["import", "prometheus", path(&block), "--data-dir", path(&alone)])?;
    same("the block alone", &stored(&alone)?, &expected)
}

fn first(dir: &Path, holds: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<PathBuf> = entries.into_iter().filter(|p| holds(p)).collect();
    found.sort();
    found.into_iter().next().with_context(|| format!("nothing fits in {}", dir.display()))
}

#[test]
fn text_comes_along_in_any_order_of_times() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, data) = (folder.path().join("text"), folder.path().join("data"));
    let mut lines = String::from("# TYPE seed_total counter\n");
    for i in 0..20_000_i64 {
        // Back and forth over a month.
        let time = 1_750_000_000 + (i * 7919 % 20_000) * 130;
        let _ = writeln!(lines, "seed_total{{n=\"{}\"}} {} {time}.5", i % 7, i * 3);
    }
    lines += "# EOF\n";
    std::fs::write(&file, &lines)?;
    let into = ["--data-dir", path(&data)];
    let said = ours(&[&["import", "openmetrics", path(&file)][..], &into].concat())?;
    ensure!(said.starts_with("imported 20,000 samples"), "{said}");
    let again = ours(&[&["import", "openmetrics", path(&file)][..], &into].concat())?;
    ensure!(
        again.starts_with("imported 0 samples") && again.contains("20,000 samples were there"),
        "{again}"
    );
    let stored = stored(&data)?;
    ensure!(stored.len() == 20_000);
    let key = ("__name__=seed_total;n=0".to_owned(), 1_750_000_000_500);
    ensure!(stored[&key].1 == format!("{:016x}", 0f64.to_bits()), "{:?}", stored.get(&key));
    ours(&["tools", "check", path(&data)])?;
    ensure!(!data.join("importing").exists(), "something of the import is left");

    std::fs::write(&file, "seed_total 1 1.5\nseed_total{ 2\n# EOF\n")?;
    let refused = ours_fails(&[&["import", "openmetrics", path(&file)][..], &into].concat())?;
    ensure!(refused.contains("text: line 2, column 12: expected"), "{refused}");
    Ok(())
}

#[test]
fn a_folder_is_checked_and_repaired() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, data) = (folder.path().join("text"), folder.path().join("data"));
    let line = |i: i64| format!("seed{{n=\"{}\"}} {} {}\n", i % 50, i * i, 1_750_000_000 + i);
    let lines: String = (0..5000).map(line).collect();
    std::fs::write(&file, lines + "# EOF\n")?;
    ours(&["import", "openmetrics", path(&file), "--data-dir", path(&data)])?;
    let said = ours(&["tools", "check", path(&data)])?;
    ensure!(said.contains("5,000 samples") && said.contains("nothing is wrong"), "{said}");

    let block = first(&data.join("blocks"), |_| true)?;
    let mut bytes = std::fs::read(&block)?;
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    std::fs::write(&block, bytes)?;
    let found = ours_fails(&["tools", "check", path(&data)])?;
    let name = block.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ensure!(found.contains(&format!("blocks/{name}: byte ")), "{found}");
    ensure!(found.contains("checksum of a page is wrong"), "{found}");
    let repaired = ours(&["tools", "repair", path(&data)])?;
    ensure!(
        repaired.contains("was set aside") && repaired.contains("nothing is wrong"),
        "{repaired}"
    );
    let left = stored(&data)?.len();
    ensure!(left > 4000 && left < 5000, "{left} samples are left");
    for missing in ["tools check", "tools repair", "export prometheus"] {
        let mut arguments: Vec<&str> = missing.split(' ').collect();
        let nowhere = folder.path().join("nowhere");
        arguments.push(path(&nowhere));
        if missing.starts_with("export") {
            arguments.extend(["--data-dir", path(&nowhere)]);
        }
        let refused = ours_fails(&arguments)?;
        ensure!(refused.contains("nowhere: "), "{refused}");
        if nowhere.exists() {
            bail!("{missing} made {}", nowhere.display());
        }
    }
    Ok(())
}
