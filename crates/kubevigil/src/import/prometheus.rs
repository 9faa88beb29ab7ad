//! Prometheus's data folder: each block becomes a block, the head goes through the spill.

use super::spill::{Spill, TIMES_MS};
use super::{Damages, PrometheusOptions, Target, blocks_of};
use crate::progress::{count, time};
use model::{Columns, Labels, ReadError, SeriesSet};
use prometheus_tsdb::{About, Block, Folder, Head, HeadExemplar};
use std::process::ExitCode;
use tsdb::{Db, Error, Exemplar, Metadata};

/// Imports a folder.
pub fn run(options: &PrometheusOptions) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&options.dir)?;
    let mut target = Target::open(&options.into)?;
    let mut damage = Damages::default();
    let mut notes = Vec::new();
    if folder.in_use() {
        notes.push(
            "a Prometheus runs on that folder: what it writes from now on is not in here".into(),
        );
    }
    let (mut imported, mut outside) = (0, 0);
    let mut extent: Option<(i64, i64)> = None;
    // What comes in order and is older than a block is in that block, or was deleted.
    let mut head_from = i64::MIN;
    let total = folder.blocks().len();
    for (number, dir) in folder.blocks().iter().enumerate() {
        let block = match Block::open(dir) {
            Ok(block) => block,
            Err(e) => {
                damage.add(format!("{}: block left out: {e}", dir.display()));
                continue;
            }
        };
        block.damage().iter().for_each(|d| damage.add(d));
        let meta = block.meta();
        if !meta.is_out_of_order() && meta.max_ms != i64::MAX {
            head_from = head_from.max(meta.max_ms);
        }
        let range = (
            meta.min_ms.max(*TIMES_MS.start()),
            (meta.max_ms.saturating_sub(1)).min(*TIMES_MS.end()),
        );
        let line = &mut target.line;
        let mut series = Within {
            inner: block.series(),
            range,
            outside: 0,
            show: &mut |done, of| line.show(&format!("block {} of {total}", number + 1), done, of),
        };
        let sealed = target.db.seal(&mut series, range.0, range.1);
        series.inner.damage().iter().for_each(|d| damage.add(d));
        let unlisted = series.inner.damaged() - series.inner.damage().len() as u64;
        damage.count += unlisted;
        outside += series.outside;
        match sealed {
            Ok(done) => target.done.add(&done),
            // Of the block, not of our disk.
            Err(Error::Block { source: source @ tsdb::block::BlockError::Order(_), .. }) => {
                damage.add(format!("{}: {source}", block.place()));
                continue;
            }
            Err(e) => return Err(e.into()),
        }
        imported += 1;
        extent = Some(extent.map_or(range, |e| (e.0.min(range.0), e.1.max(range.1))));
    }
    if imported > 0 {
        notes.push(format!("{} read", blocks_of(imported)));
    }
    if outside > 0 {
        notes.push(format!(
            "{} samples passed over: they lie outside their block's time",
            count(outside)
        ));
    }
    if folder.has_head() {
        head(&folder, head_from, &mut target, &mut notes, &mut damage)?;
    }
    if let Some((from, to)) = extent {
        notes.push(format!("blocks reach from {} to {}", time(from), time(to)));
    }
    target.finish(&options.dir, &notes, &damage)
}

/// Imports what the log and the head chunks hold.
fn head(
    folder: &Folder,
    from_ms: i64,
    target: &mut Target,
    notes: &mut Vec<String>,
    damage: &mut Damages,
) -> anyhow::Result<()> {
    let mut spill = Spill::begin(&target.dir)?;
    let line = &mut target.line;
    let mut far = 0;
    let head = folder.read_head::<anyhow::Error>(
        from_ms,
        &mut |done, total| line.show("reading the head", done, total),
        &mut |labels, sample| {
            if !TIMES_MS.contains(&sample.time_ms) {
                far += 1;
                return Ok(());
            }
            spill.add(labels, sample)
        },
    )?;
    let (done, _) = spill.finish(&target.db, &mut target.line)?;
    target.done.add(&done);
    head.damage.iter().for_each(|d| damage.add(d));
    damage.count += head.damaged - head.damage.len() as u64;
    let known = |number: u64, what: &str, notes: &mut Vec<String>| {
        if number > 0 {
            notes.push(format!("{} {what}", count(number)));
        }
    };
    known(head.series, "series in the head", notes);
    known(head.older, "samples of the log are in blocks", notes);
    known(head.deleted, "samples of the log were deleted", notes);
    known(head.unknown, "samples passed over: what names their series is missing", notes);
    known(far, "samples passed over: their time lies outside the years 1 to 9999", notes);
    let kept = exemplars(&head, &target.db)?;
    known(kept, "exemplars", notes);
    if !head.families.is_empty() {
        let told = |(name, about): (&String, &About)| Metadata {
            name: name.clone(),
            kind: about.kind,
            help: about.help.clone(),
            unit: about.unit.clone(),
        };
        let families: Vec<Metadata> = head.families.iter().map(told).collect();
        target.db.receive(&[], &[], &[], &families, u64::MAX)?;
        known(families.len() as u64, "metrics described", notes);
    }
    Ok(())
}

/// Adds the exemplars of the head to those of the data folder; how many were taken.
fn exemplars(head: &Head, db: &Db) -> Result<u64, tsdb::Error> {
    let told = |HeadExemplar { series, labels, value, time_ms }: &HeadExemplar| {
        let (labels, value, time_ms) = (labels.clone(), *value, *time_ms);
        (series.clone(), Exemplar { labels, value, time_ms })
    };
    let all: Vec<(Labels, Exemplar)> = head.exemplars.iter().map(told).collect();
    // One that is older than what is there was imported before, or came from elsewhere.
    db.import_exemplars(&all)
}

/// The series of a block without the samples outside its time.
struct Within<'a, 'b> {
    inner: prometheus_tsdb::Series<'a>,
    range: (i64, i64),
    outside: u64,
    show: &'b mut dyn FnMut(u64, u64),
}

impl SeriesSet for Within<'_, '_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        let (done, total) = self.inner.progress();
        (self.show)(done, total);
        self.inner.next()
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        self.inner.read(columns)?;
        let times = &columns.times_ms;
        let from = times.partition_point(|t| *t < self.range.0);
        let to = times.partition_point(|t| *t <= self.range.1).max(from);
        if (from, to) == (0, times.len()) {
            return Ok(());
        }
        self.outside += (times.len() - (to - from)) as u64;
        columns.times_ms = columns.times_ms[from..to].to_vec();
        columns.floats = columns.floats[from..to].to_vec();
        if !columns.starts_ms.is_empty() {
            columns.starts_ms = columns.starts_ms[from..to].to_vec();
        }
        columns.histograms.retain_mut(|(at, _)| {
            let inside = (from..to).contains(&(*at as usize));
            *at = at.saturating_sub(from as u32);
            inside
        });
        Ok(())
    }
}
