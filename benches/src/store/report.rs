//! The tables of the store's bench.

use super::asked::{Asked, Compared, Mixin, NAMED, must_agree, percentile};
use super::engine::Kind;
use super::kept::Figures;
use crate::table::{Spread, print};
use anyhow::{Result, ensure};

/// An engine and its figures.
pub type Column<'a> = (Kind, &'a Figures);

type Rows = Vec<Vec<String>>;

fn head(columns: &[Column<'_>]) -> Rows {
    let mut row = vec![String::new()];
    row.extend(columns.iter().map(|c| c.0.name().to_owned()));
    vec![row]
}

/// Adds a row; an engine without the figure has a dash.
fn add(
    rows: &mut Rows,
    columns: &[Column<'_>],
    what: &str,
    of: impl Fn(&Figures) -> Option<String>,
) {
    let mut row = vec![what.to_owned()];
    row.extend(columns.iter().map(|c| of(c.1).unwrap_or_else(|| "-".into())));
    rows.push(row);
}

/// Scraping, memory, crash.
pub fn scraped(columns: &[Column<'_>]) {
    if columns.iter().all(|c| c.1.scraped.is_none()) {
        return;
    }
    let mut rows = head(columns);
    let mut row = |what: &str, of: &dyn Fn(&super::scraped::Cost) -> String| {
        add(&mut rows, columns, what, |f| f.scraped.as_ref().map(of));
    };
    row("series at the end", &|c| c.series.to_string());
    row("samples counted", &|c| c.samples.to_string());
    row("scraped and stored, thousand samples/s a core", &|c| {
        format!("{:.0}", c.samples as f64 / c.cpu / 1e3)
    });
    row("cores used meanwhile", &|c| format!("{:.2}", c.cpu / c.seconds));
    row("RSS, MB", &|c| format!("{:.0}", c.rss as f64 / 1e6));
    row("RSS of the empty process, MB", &|c| format!("{:.0}", c.rss_empty as f64 / 1e6));
    row("memory an active series, bytes", &|c| {
        format!("{:.0}", c.rss.saturating_sub(c.rss_empty) as f64 / c.series as f64)
    });
    row("kill -9 to ready, s", &|c| format!("{:.2}", c.ready));
    row("newest sample shown then, s before the kill", &|c| format!("{:.2}", c.lost));
    println!("#### Scraping\n");
    print(&rows);
}

/// The start with very many series.
pub fn started(columns: &[Column<'_>]) {
    if columns.iter().all(|c| c.1.started.is_none()) {
        return;
    }
    let mut rows = head(columns);
    let mut row = |what: &str, of: &dyn Fn(&super::start::Started) -> String| {
        add(&mut rows, columns, what, |f| f.started.as_ref().map(of));
    };
    row("series", &|s| s.series.to_string());
    row("kill -9 to ready, s", &|s| format!("{:.2}", s.ready));
    row("CPU until then, s", &|s| format!("{:.2}", s.cpu));
    println!("#### Start\n");
    print(&rows);
}

/// Disk, remote write and queries over hours.
pub fn history(columns: &[Column<'_>], mixins: &[Mixin]) -> Result<()> {
    if columns.iter().all(|c| c.1.history.is_none()) {
        return Ok(());
    }
    let mut rows = head(columns);
    let history =
        |f: &Figures, of: &dyn Fn(&super::history::History) -> String| f.history.as_ref().map(of);
    disk_rows(&mut rows, columns, "", &|f| f.history.as_ref());
    let names: std::collections::BTreeSet<&String> =
        columns.iter().flat_map(|c| c.1.shapes.keys()).collect();
    for name in names {
        disk_rows(&mut rows, columns, &format!("{name}: "), &|f| f.shapes.get(name));
    }
    add(&mut rows, columns, "start over these files, not in memory, s", |f| {
        history(f, &|h| format!("{:.2}", h.started))
    });
    println!("#### Hours\n");
    print(&rows);
    queries(columns);
    compare(columns, mixins)
}

fn disk_rows<'a>(
    rows: &mut Rows,
    columns: &[Column<'a>],
    name: &str,
    of: &dyn Fn(&Figures) -> Option<&super::history::History>,
) {
    let mut row = |what: &str, print: &dyn Fn(&super::history::History) -> String| {
        add(rows, columns, &format!("{name}{what}"), |f| of(f).map(print));
    };
    row("remote write, thousand samples/s a core", &|h| match h.written {
        0.0 => "-".into(),
        written => format!("{:.0}", written / 1e3),
    });
    row("samples", &|h| h.samples.to_string());
    let share =
        |h: &super::history::History, b: u64| format!("{:.3}", b as f64 / h.weight.samples as f64);
    row("bytes a sample, data", &|h| share(h, h.weight.data));
    row("bytes a sample, index", &|h| share(h, h.weight.index));
    row("bytes a sample, all", &|h| share(h, h.weight.data + h.weight.index));
}

fn queries(columns: &[Column<'_>]) {
    let mut rows = head(columns);
    let of = |f: &Figures, at: usize| Some(f.history.as_ref()?.named.get(at)?.clone());
    for (at, named) in NAMED.iter().enumerate() {
        add(&mut rows, columns, &format!("{}: ms", named.name), |f| {
            let spread = Spread::of(of(f, at)?.ms);
            Some(format!("{:.1} ({:.1}-{:.1})", spread.median, spread.min, spread.max))
        });
        add(&mut rows, columns, "its CPU; cold, ms", |f| {
            let asked = of(f, at)?;
            Some(format!("{:.1}; {:.0}", asked.cpu_ms, asked.cold_ms))
        });
    }
    let mixins = |f: &Figures, filled: bool, share: f64| {
        let all = &f.history.as_ref()?.mixins;
        let these: Vec<&Asked> = all.iter().filter(|a| !filled || a.is_answered()).collect();
        (!these.is_empty()).then(|| format!("{:.2}", percentile(&these, share)))
    };
    for (what, filled) in [("all", false), ("those with an answer", true)] {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let name = format!("dashboards and rules, {what}: {name}, ms");
            add(&mut rows, columns, &name, |f| mixins(f, filled, share));
        }
    }
    add(&mut rows, columns, "CPU for all of them, s", |f| {
        f.history.as_ref().map(|h| format!("{:.1}", h.mixins_cpu))
    });
    println!("#### Queries, 30 steps\n");
    print(&rows);
}

/// Says how far answers are Prometheus's; fails where ours are not.
fn compare(columns: &[Column<'_>], mixins: &[Mixin]) -> Result<()> {
    let reference = columns.iter().find(|c| c.0 == Kind::Prometheus);
    let Some(theirs) = reference.and_then(|c| c.1.history.as_ref()) else { return Ok(()) };
    let mut wrong = 0;
    for (kind, figures) in columns.iter().filter(|c| c.0 != Kind::Prometheus) {
        let Some(own) = &figures.history else { continue };
        let must = must_agree(*kind);
        let tell = |text: &str| {
            if must {
                println!("{} answers otherwise than Prometheus: `{text}`", kind.name());
            }
        };
        let named = Compared::of(&own.named, &theirs.named, |i| tell(NAMED[i].name));
        let of_today = Compared::of(&own.mixins, &theirs.mixins, |i| tell(&mixins[i].text));
        println!(
            "{}: of {} named queries {} are answered as by Prometheus; of {} of dashboards and rules {} alike, {} \
             with nothing by both, {} otherwise.",
            kind.name(),
            own.named.len(),
            named.same,
            own.mixins.len(),
            of_today.same,
            of_today.empty,
            of_today.different
        );
        if must {
            wrong += named.different + of_today.different;
        }
    }
    println!();
    ensure!(wrong == 0, "{wrong} answers are not Prometheus's");
    Ok(())
}
