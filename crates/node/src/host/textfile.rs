//! `textfile`: metrics that others wrote into `*.prom` files.
//!
//! A file is read again only when it changed. One with an error is left out whole; what was wrong is said,
//! and `node_textfile_scrape_error` is 1.

use super::{Collector, column, glob};
use crate::{Failure, Families, Files, Options};
use model::Kind;
use model::exposition::{self, FamilyText, Syntax};
use std::collections::HashSet;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A longer file is an error: it would fill the memory of the agent, and of the store after it.
const FILE_BYTES_MAX: u64 = 16 << 20;

pub(super) struct Textfile {
    patterns: Vec<PathBuf>,
    files: Vec<TextFile>,
    /// Folders that cannot be read.
    folder_errors: Vec<String>,
    /// The families of all files, merged; made anew when any file changed.
    families: Vec<FamilyText>,
    merge_errors: Vec<String>,
}

struct TextFile {
    path: PathBuf,
    shown: String,
    stamp: Stamp,
    read: Result<Vec<FamilyText>, String>,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    inode: u64,
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
    ctime_s: i64,
    ctime_ns: i64,
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Stamp {
        Stamp {
            inode: meta.ino(),
            size: meta.size(),
            mtime_s: meta.mtime(),
            mtime_ns: meta.mtime_nsec(),
            ctime_s: meta.ctime(),
            ctime_ns: meta.ctime_nsec(),
        }
    }
}

impl Textfile {
    pub fn open(options: &Options) -> Textfile {
        Textfile {
            patterns: options.textfile_directories.clone(),
            files: Vec::new(),
            folder_errors: Vec::new(),
            families: Vec::new(),
            merge_errors: Vec::new(),
        }
    }

    /// The files that there are now, in the order of folders and names.
    fn list(&mut self) -> Vec<PathBuf> {
        self.folder_errors.clear();
        let mut paths = Vec::new();
        for folder in self.patterns.iter().flat_map(|p| glob::folders(p)) {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    self.folder_errors.push(format!("cannot read {}: {error}", folder.display()));
                    continue;
                }
            };
            let is_ours = |path: &PathBuf| path.to_string_lossy().ends_with(".prom");
            let mut here: Vec<_> = entries.flatten().map(|e| e.path()).filter(is_ours).collect();
            here.sort();
            paths.extend(here);
        }
        paths
    }

    /// Reads what changed; true if anything did.
    fn refresh(&mut self) -> bool {
        let paths = self.list();
        let mut old = std::mem::take(&mut self.files);
        let mut changed = old.len() != paths.len();
        for path in paths {
            let stamp = std::fs::metadata(&path).map(|m| Stamp::of(&m)).ok();
            let at = old.iter().position(|f| f.path == path && Some(f.stamp) == stamp);
            let file = match at {
                Some(at) => old.swap_remove(at),
                None => {
                    changed = true;
                    TextFile::read(path)
                }
            };
            self.files.push(file);
        }
        changed
    }

    /// Brings the families of all files together, each once, each series once.
    fn merge(&mut self) {
        self.families.clear();
        self.merge_errors.clear();
        let mut places = std::collections::HashMap::new();
        let mut seen = HashSet::new();
        for file in &self.files {
            for family in file.read.as_ref().ok().into_iter().flatten() {
                let place = *places.entry(family.name.clone()).or_insert(self.families.len());
                let Some(merged) = self.families.get_mut(place) else {
                    let help = family.help.clone().unwrap_or_else(|| self.made_help(&family.name));
                    self.families.push(FamilyText { help: Some(help), ..family.clone() });
                    seen.extend(family.samples.iter().map(|s| (s.name.clone(), s.labels.clone())));
                    continue;
                };
                if family.help.is_some() && family.help != merged.help {
                    self.merge_errors.push(format!(
                        "{}: another help text of {} than in an earlier file",
                        file.shown, family.name
                    ));
                    continue;
                }
                if family.kind != merged.kind {
                    self.merge_errors.push(format!(
                        "{}: another type of {} than in an earlier file",
                        file.shown, family.name
                    ));
                    continue;
                }
                for sample in &family.samples {
                    if seen.insert((sample.name.clone(), sample.labels.clone())) {
                        merged.samples.push(sample.clone());
                    } else {
                        let what = "a series that an earlier file has, too";
                        self.merge_errors.push(format!("{}: {}: {what}", file.shown, sample.name));
                    }
                }
            }
        }
    }

    /// What stands in for a missing help text: the files that have the family.
    fn made_help(&self, name: &str) -> String {
        let has = |f: &&TextFile| f.read.iter().flatten().any(|family| family.name == name);
        let files: Vec<&str> = self.files.iter().filter(has).map(|f| f.shown.as_str()).collect();
        format!("Metric read from {}", files.join(", "))
    }

    fn errors(&self) -> Vec<&str> {
        let files = self.files.iter().filter_map(|f| f.read.as_ref().err());
        files.chain(&self.folder_errors).chain(&self.merge_errors).map(String::as_str).collect()
    }
}

impl TextFile {
    fn read(path: PathBuf) -> TextFile {
        let shown = path.to_string_lossy().into_owned();
        let none = Stamp { inode: 0, size: 0, mtime_s: 0, mtime_ns: 0, ctime_s: 0, ctime_ns: 0 };
        let (stamp, read) = match read_file(&path) {
            Ok((stamp, families)) => (stamp, families),
            Err(error) => (none, Err(error)),
        };
        let read = read.map_err(|what| format!("{shown}: {what}"));
        TextFile { path, shown, stamp, read }
    }
}

type Read = (Stamp, Result<Vec<FamilyText>, String>);

fn read_file(path: &Path) -> Result<Read, String> {
    use std::io::Read as _;
    // A pipe by that name must not be waited for.
    const NONBLOCK: i32 = 0o4000;
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path);
    let file = opened.map_err(|e| format!("cannot open it: {e}"))?;
    let meta = file.metadata().map_err(|e| format!("cannot look at it: {e}"))?;
    if !meta.is_file() {
        return Err("is not a file".into());
    }
    let stamp = Stamp::of(&meta);
    let mut text = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|e| format!("cannot read it: {e}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Ok((stamp, Err(format!("is longer than {FILE_BYTES_MAX} bytes"))));
    }
    let families = exposition::read(&text, Syntax::Text)
        .map_err(|e| format!("line {}, column {}: {}", e.line, e.column, e.what));
    let timed = |f: &FamilyText| f.samples.iter().any(|s| s.time_ms.is_some());
    let families = families.and_then(|families| match families.iter().find(|f| timed(f)) {
        Some(family) => Err(format!("{}: timestamps are not allowed in a text file", family.name)),
        None => Ok(families),
    });
    let families = families.map(|mut families| {
        families.iter_mut().for_each(fill_labels);
        families
    });
    Ok((stamp, families))
}

/// All samples of a family in a file have the same label names: those that lack one have it empty.
fn fill_labels(family: &mut FamilyText) {
    // A histogram's `le` and a summary's `quantile` belong to the suffix.
    let own = |name: &str| match family.kind {
        Kind::Histogram => name == "le",
        Kind::Summary => name == "quantile",
        _ => false,
    };
    let mut names: Vec<String> = Vec::new();
    for sample in &family.samples {
        for (name, _) in &sample.labels {
            if !own(name) && !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    for sample in &mut family.samples {
        for name in &names {
            if let Err(at) = sample.labels.binary_search_by(|l| l.0.as_str().cmp(name)) {
                sample.labels.insert(at, (name.clone(), String::new()));
            }
        }
    }
}

impl Collector for Textfile {
    fn read(&mut self, _: &mut Files) -> Result<(), Failure> {
        if self.refresh() {
            self.merge();
        }
        let errors = self.errors();
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failure::Warning(errors.join("; ")))
    }

    fn write(&self, out: &mut Families<'_>) {
        for family in &self.families {
            family.write(out.0);
        }
        let read = self.files.iter().filter(|f| f.read.is_ok());
        column(
            out,
            "node_textfile_mtime_seconds",
            "Unixtime mtime of textfiles successfully read.",
            Kind::Gauge,
            "file",
            read.map(|f| (f.shown.as_str(), f.stamp.mtime_s as f64)),
        );
        out.gauge(
            "node_textfile_scrape_error",
            "1 if there was an error opening or reading a file, 0 otherwise",
            f64::from(!self.errors().is_empty()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Paths;

    #[test]
    fn errors_name_file_and_place_and_leave_the_rest() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).expect("a file");
        };
        write("a.prom", "# HELP x X.\n# TYPE x gauge\nx 1\nx{a=\"1\"} 2\n");
        write("b.prom", "# HELP x Y.\n# TYPE x gauge\nx{b=\"1\"} 1\n");
        write("broken.prom", "fine 1\nbroken{a=\"b} 2\n");
        write("c.prom", "x{c=\"1\"} 1\n");
        write("timed.prom", "timed 1 1700000000000\n");
        std::fs::create_dir(dir.path().join("folder.prom")).expect("a folder");
        let options = Options {
            textfile_directories: vec![dir.path().into(), "/no such folder".into()],
            ..Options::default()
        };
        let mut textfile = Textfile::open(&options);
        let mut files = Files::open(&Paths::default()).expect("opens");
        let error = textfile.read(&mut files).expect_err("some are wrong").to_string();
        for part in [
            "broken.prom: line 2, column",
            "timed.prom: timed: timestamps are not allowed",
            "b.prom: another help text of x than in an earlier file",
            "c.prom: another type of x than in an earlier file",
            "folder.prom: is not a file",
            "cannot read /no such folder",
        ] {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        let names: Vec<&str> = textfile.families.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(textfile.families[0].samples.len(), 2);
        assert_eq!(textfile.families[0].samples[0].labels, [("a".to_string(), String::new())]);

        for name in ["b.prom", "broken.prom", "c.prom", "timed.prom"] {
            std::fs::remove_file(dir.path().join(name)).expect("was there");
        }
        std::fs::remove_dir(dir.path().join("folder.prom")).expect("was there");
        textfile.patterns.pop();
        write("a.prom", "x 3\n");
        assert!(textfile.read(&mut files).is_ok());
        assert_eq!(textfile.families[0].samples[0].value, 3.0);
        let help = format!("Metric read from {}", dir.path().join("a.prom").display());
        assert_eq!(textfile.families[0].help.as_deref(), Some(help.as_str()));
    }
}
