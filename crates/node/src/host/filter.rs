//! Which devices, mount points, ... are served: a pattern to leave out, or one to take only.

use crate::options::FLAGS;
use crate::{Error, Options};
use model::{MatchOp, Matcher};

/// A pattern that may match anywhere.
pub(super) fn pattern(flag: &str, value: &str) -> Result<Matcher, Error> {
    Matcher::new(MatchOp::Regex, "", &format!(".*(?:{value}).*")).map_err(|reason| Error::Value {
        flag: flag.into(),
        value: value.into(),
        reason,
    })
}

/// Two patterns, of which one may be given.
pub(super) struct Filter {
    exclude: Option<Matcher>,
    include: Option<Matcher>,
}

impl Filter {
    /// From the flags `BASE-exclude` and `BASE-include`. A given include takes the default exclude away.
    pub fn open(options: &Options, base: &str) -> Result<Filter, Error> {
        let name = |end: &str| {
            let name = format!("{base}-{end}");
            FLAGS.iter().find(|f| f.name == name).map_or("", |f| f.name)
        };
        let (exclude, include) = (name("exclude"), name("include"));
        let wanted = options.flags.get(include);
        if !wanted.is_empty() && options.flags.given(exclude).is_some_and(|v| !v.is_empty()) {
            return Err(Error::Contradiction { first: exclude.into(), second: include.into() });
        }
        let unwanted = if wanted.is_empty() { options.flags.get(exclude) } else { "" };
        let compile =
            |flag, value: &str| (!value.is_empty()).then(|| pattern(flag, value)).transpose();
        Ok(Filter { exclude: compile(exclude, unwanted)?, include: compile(include, wanted)? })
    }

    /// Whether something by this name is not served.
    pub fn ignores(&self, name: &str) -> bool {
        self.exclude.as_ref().is_some_and(|m| m.matches(name))
            || self.include.as_ref().is_some_and(|m| !m.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_anywhere_and_exclude_each_other() {
        let disks = Filter::open(&Options::default(), "collector.diskstats.device").expect("opens");
        for (name, ignored) in [
            ("sda", false),
            ("sda1", true),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("dm-0", false),
        ] {
            assert_eq!(disks.ignores(name), ignored, "{name}");
        }
        let mounts = Filter::open(&Options::default(), "collector.filesystem.mount-points");
        let mounts = mounts.expect("opens");
        assert!(mounts.ignores("/dev/shm") && mounts.ignores("/sys") && !mounts.ignores("/device"));

        let mut options = Options::default();
        options.flags.set("collector.diskstats.device-include", "da1").expect("known");
        let disks = Filter::open(&options, "collector.diskstats.device").expect("opens");
        assert!(!disks.ignores("sda1") && disks.ignores("sdb1"));
        options.flags.set("collector.diskstats.device-exclude", "x").expect("known");
        let error = Filter::open(&options, "collector.diskstats.device").err().expect("both given");
        assert!(error.to_string().contains("--collector.diskstats.device-exclude and"), "{error}");
        options.flags.set("collector.netdev.device-exclude", "(").expect("known");
        let error = Filter::open(&options, "collector.netdev.device").err().expect("no pattern");
        assert!(error.to_string().starts_with("flag --collector.netdev.device-exclude: \"(\""));
        assert!(options.flags.set("collector.netdev.nothing", "").is_err());
    }
}
