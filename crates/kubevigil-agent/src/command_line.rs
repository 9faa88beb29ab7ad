//! The command line: our own flags, and the collectors' as node_exporter spells them.

use crate::log;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tracing::Level;

/// What was asked for.
#[derive(Debug)]
pub struct CommandLine {
    /// What is collected.
    pub node: node::Options,
    /// Where and how is listened.
    pub listen: http::Options,
    /// How long a round serves further scrapes.
    pub reuse: Duration,
    /// How log lines are written.
    pub log_format: log::Format,
    /// The least severity that is logged.
    pub log_level: Level,
}

/// Reads the arguments; the error is clap's, which also carries the help.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    interpret(&matches).map_err(|e| command.error(clap::error::ErrorKind::ValueValidation, e))
}

fn command() -> Command {
    let command = Command::new("kubevigil-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves this machine's and its containers' metrics under node_exporter's and cAdvisor's names")
        .after_help(
            "Without any flag it serves everything that this user may read on http://127.0.0.1:7601/metrics.\n\
             Root adds: the network and open files of others' processes, and limits that only root may read.\n\
             In a container mount the host's /proc, /sys and / and name them with --path.procfs, --path.sysfs\n\
             and --path.rootfs. In Prometheus, scrape /metrics/node as job \"node\" and /metrics/cadvisor as job\n\
             \"cadvisor\" to keep dashboards and rules as they are.",
        )
        .max_term_width(110)
        .args(own());
    let collectors = node::Collectors::names().flat_map(switches);
    let flags = node::options::FLAGS.iter().flat_map(flag);
    command.args(collectors).args(flags)
}

fn own() -> Vec<Arg> {
    let text =
        |name: &'static str, value: &'static str, default: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(value).default_value(default).help(help)
        };
    let path =
        |name, default, help| text(name, "DIR", default, help).value_parser(value_parser!(PathBuf));
    vec![
        text("listen", "ADDRESS", "127.0.0.1:7601", "Where to listen; beyond loopback see --web.config.file")
            .alias("web.listen-address"),
        Arg::new("listen-insecure").long("listen-insecure").action(ArgAction::SetTrue).help(
            "Listen beyond loopback without TLS and authentication: everyone who can connect can read",
        ),
        Arg::new("web.config.file")
            .long("web.config.file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Prometheus's web configuration file: TLS, users, headers; read again when it changes"),
        text("reuse", "DURATION", "250ms", "Scrapes that come closer together than this share one round")
            .value_parser(duration),
        path("path.procfs", "/proc", "Where the host's procfs is mounted"),
        path("path.sysfs", "/sys", "Where the host's sysfs is mounted"),
        path("path.rootfs", "/", "Where the host's root file system is mounted"),
        path("path.cgroupfs", "/sys/fs/cgroup", "Where the host's control groups are mounted"),
        Arg::new("log-format")
            .long("log-format")
            .alias("log.format")
            .value_name("FORMAT")
            .value_parser(value_parser!(log::Format))
            .default_value("text")
            .help("How log lines are written"),
        text("log-level", "LEVEL", "info", "The least severity that is logged: error, warn, info, debug")
            .alias("log.level")
            .value_parser(["error", "warn", "info", "debug"]),
        Arg::new("collector.disable-defaults")
            .long("collector.disable-defaults")
            .action(ArgAction::SetTrue)
            .help_heading("Collectors")
            .help("Switch all collectors of the host off but those named with --collector.NAME"),
        Arg::new("collector.textfile.directory")
            .long("collector.textfile.directory")
            .value_name("DIR")
            .action(ArgAction::Append)
            .value_parser(value_parser!(PathBuf))
            .help_heading("Flags of collectors")
            .help("Serve the *.prom files of this folder, which may hold * and ?; may be given more than once"),
    ]
}

/// `--collector.NAME` and `--no-collector.NAME`.
fn switches(name: &'static str) -> [Arg; 2] {
    let on = format!("collector.{name}");
    let off = format!("no-collector.{name}");
    [
        Arg::new(on.clone())
            .long(on.clone())
            .action(ArgAction::SetTrue)
            .overrides_with(off.clone())
            .help_heading("Collectors")
            .help(format!("Switch {name} on (--no-collector.{name}: off)")),
        Arg::new(off.clone()).long(off).action(ArgAction::SetTrue).overrides_with(on).hide(true),
    ]
}

/// A flag of a collector; one that is true or false may also be given bare or with `no-`.
fn flag(flag: &'static node::options::Flag) -> Vec<Arg> {
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .help_heading("Flags of collectors")
        .hide_default_value(true)
        .help(match flag.default {
            "" => flag.help.to_string(),
            default => format!("{} [default: {default}]", flag.help),
        });
    if !matches!(flag.default, "true" | "false") {
        return vec![arg.value_name("VALUE").allow_hyphen_values(true)];
    }
    let no = format!("no-{}", flag.name);
    let arg = arg
        .value_name("BOOL")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(["true", "false"])
        .overrides_with(no.clone());
    let no = Arg::new(no.clone()).long(no).action(ArgAction::SetTrue).overrides_with(flag.name);
    vec![arg, no.hide(true)]
}

fn interpret(matches: &ArgMatches) -> Result<CommandLine, String> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let mut node = node::Options {
        paths: kernel::Paths {
            procfs: path("path.procfs"),
            sysfs: path("path.sysfs"),
            rootfs: path("path.rootfs"),
            cgroupfs: path("path.cgroupfs"),
        },
        // Two scrapes of the slowest usual interval.
        ended_containers_shown: Duration::from_secs(120),
        ..node::Options::default()
    };
    if let Some(folders) = matches.get_many::<PathBuf>("collector.textfile.directory") {
        node.textfile_directories = folders.cloned().collect();
    }
    if matches.get_flag("collector.disable-defaults") {
        node.collectors.disable_defaults();
    }
    for name in node::Collectors::names() {
        for (switch, on) in
            [(format!("collector.{name}"), true), (format!("no-collector.{name}"), false)]
        {
            if matches.get_flag(&switch) {
                node.collectors.set(name, on).map_err(|e| e.to_string())?;
            }
        }
    }
    for flag in node::options::FLAGS {
        let switch = matches!(flag.default, "true" | "false");
        if switch && matches.get_flag(&format!("no-{}", flag.name)) {
            node.flags.set(flag.name, "false").map_err(|e| e.to_string())?;
        } else if let Some(value) = matches.get_one::<String>(flag.name) {
            node.flags.set(flag.name, value).map_err(|e| e.to_string())?;
        }
    }
    Ok(CommandLine {
        node,
        listen: http::Options {
            listen: text("listen"),
            web_config: matches.get_one::<PathBuf>("web.config.file").cloned(),
            insecure: matches.get_flag("listen-insecure"),
            // Only scrapers come, and they send no bodies.
            max_connections: 64,
            max_body_bytes: 0,
            request_timeout: Duration::from_secs(60),
            ..http::Options::default()
        },
        reuse: matches.get_one::<Duration>("reuse").copied().unwrap_or_default(),
        log_format: *matches.get_one::<log::Format>("log-format").unwrap_or(&log::Format::Text),
        log_level: text("log-level").parse().unwrap_or(Level::INFO),
    })
}

/// A number with `ms`, `s` or `m`; a bare 0.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write for instance 250ms or 1s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    match &text[end..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<CommandLine, String> {
        let arguments = ["kubevigil-agent"].iter().chain(arguments).map(OsString::from);
        read(arguments).map_err(|e| e.to_string())
    }

    #[test]
    fn node_exporters_spellings_are_taken() {
        command().debug_assert();
        let defaults = parse(&[]).expect("no arguments");
        assert_eq!(defaults.listen.listen, "127.0.0.1:7601");
        assert!(defaults.node.collectors.is_on("cpu"));
        let line = parse(&[
            "--web.listen-address=127.0.0.1:9100",
            "--path.procfs=/host/proc",
            "--no-collector.arp",
            "--collector.netdev.device-exclude=^(veth.*|[a-f0-9]{15})$",
            "--collector.textfile.directory=/a",
            "--collector.textfile.directory",
            "/b",
            "--no-collector.cpu.guest",
            "--collector.stat.softirq",
            "--log.format=json",
            "--reuse=1s",
        ])
        .expect("parses");
        assert_eq!(line.listen.listen, "127.0.0.1:9100");
        assert_eq!(line.node.paths.procfs, PathBuf::from("/host/proc"));
        assert!(!line.node.collectors.is_on("arp") && line.node.collectors.is_on("cpu"));
        assert_eq!(
            line.node.flags.get("collector.netdev.device-exclude"),
            "^(veth.*|[a-f0-9]{15})$"
        );
        assert_eq!(line.node.flags.get("collector.cpu.guest"), "false");
        assert_eq!(line.node.flags.get("collector.stat.softirq"), "true");
        assert_eq!(line.node.textfile_directories.len(), 2);
        assert_eq!((line.log_format, line.reuse), (log::Format::Json, Duration::from_secs(1)));
        let few = parse(&["--collector.disable-defaults", "--collector.cpu"]).expect("parses");
        assert!(few.node.collectors.is_on("cpu") && !few.node.collectors.is_on("meminfo"));
        let last = parse(&["--no-collector.cpu", "--collector.cpu"]).expect("parses");
        assert!(last.node.collectors.is_on("cpu"));
    }

    #[test]
    fn mistakes_are_named() {
        for (arguments, expected) in [
            (&["--collector.nothing"][..], "--collector.nothing"),
            (&["--reuse", "soon"], "not a duration"),
            (&["--log-level", "loud"], "loud"),
            (&["extra"], "extra"),
        ] {
            let error = parse(arguments).expect_err("a mistake");
            assert!(error.contains(expected), "{error}");
        }
    }
}
