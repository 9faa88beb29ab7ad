//! The command line. Whatever one upstream program alone calls an option, it is called here too.

use crate::access_options::{Administration, Rights};
use crate::receive_options::Receiving;
use crate::sending::SendOptions;
use crate::server::options::ServerOptions;
use crate::simulate::Simulate;
use clap::builder::styling::Styles;
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, Parser, Subcommand, ValueEnum,
};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  kubevigil                                    Watch this machine; open http://127.0.0.1:7600
  kubevigil --listen 127.0.0.1:8080            The same on another port
  kubevigil --interval 10s --retention 90d     Fewer samples, kept longer
  kubevigil --retention-size 2GB               Never more than 2 GB on disk
  kubevigil --no-collector.hwmon               Without one of the collectors
  kubevigil --remote-write http://prometheus:9090/api/v1/write
                                               And send everything there as well
  kubevigil --path.procfs /host/proc --path.sysfs /host/sys --path.rootfs /host
                                               From a container that sees the host's files
  kubevigil import prometheus /var/lib/prometheus
                                               Bring Prometheus's series along
  kubevigil promqltest *.test                  Run Prometheus's test scripts
  kubevigil completions bash > /etc/bash_completion.d/kubevigil

Collectors are switched by name: --collector.NAME, --no-collector.NAME.
The status page shows them all, with what they found.";

/// Shows what this machine and its containers do, live and with history, and answers PromQL over it.
#[derive(Debug, Parser)]
#[command(
    name = "kubevigil",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES,
    max_term_width = 100,
    styles = Styles::plain()
)]
pub struct CommandLine {
    /// What to do; without one: standalone.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// The options of standalone.
    #[command(flatten)]
    pub standalone: Options,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Watch this machine and its containers (what happens without a command)
    #[command(after_help = EXAMPLES)]
    Standalone(Box<Options>),
    /// Watch a cluster, and answer `kubectl top` and autoscalers in the place of metrics-server
    #[command(after_help = crate::server::options::EXAMPLES)]
    Server(Box<ServerOptions>),
    /// Run Prometheus's PromQL test scripts (`*.test`) and say how many passed
    Promqltest {
        /// The scripts
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Bring the series of others into a data folder
    #[command(subcommand)]
    Import(crate::import::Import),
    /// Write the series of a data folder in others' formats
    #[command(subcommand)]
    Export(crate::export::Export),
    /// Look after a data folder
    #[command(subcommand)]
    Tools(crate::tools::Tools),
    /// Serve what nodes serve, from a seed, for tests and figures
    #[command(subcommand)]
    Simulate(Simulate),
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What `standalone` takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Where to answer. Beyond loopback it needs --web.config.file or --listen-insecure
    #[arg(
        long,
        alias = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7600",
        help_heading = "Serving"
    )]
    pub listen: String,

    /// TLS and users, in the format of Prometheus's web configuration file
    #[arg(long = "web.config.file", value_name = "FILE", help_heading = "Serving")]
    pub web_config_file: Option<PathBuf>,

    /// Answer beyond loopback without TLS and without asking who it is
    #[arg(long, help_heading = "Serving")]
    pub listen_insecure: bool,

    /// Who may do what.
    #[command(flatten)]
    pub rights: Rights,

    /// What may be asked beyond reading and sending.
    #[command(flatten)]
    pub administration: Administration,

    /// What is kept of it.
    #[command(flatten)]
    pub history: History,

    /// What others may send.
    #[command(flatten)]
    pub receiving: Receiving,

    /// A Prometheus configuration file: to its remote_write is sent, with its external_labels
    #[arg(long = "config.file", value_name = "FILE", help_heading = "Remote write")]
    pub config_file: Option<PathBuf>,

    /// Where samples are sent to.
    #[command(flatten)]
    pub sending: SendOptions,

    /// How often everything is read
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1s",
        value_parser = interval,
        help_heading = "Collecting"
    )]
    pub interval: Duration,

    /// No collector but those that are switched on by name
    #[arg(long = "collector.disable-defaults", help_heading = "Collecting")]
    pub disable_defaults: bool,

    /// A folder whose *.prom files are served with the machine's metrics; may come more than once
    #[arg(
        long = "collector.textfile.directory",
        value_name = "FOLDER",
        help_heading = "Collecting"
    )]
    pub textfile_directories: Vec<PathBuf>,

    /// Where procfs is
    #[arg(
        long = "path.procfs",
        value_name = "FOLDER",
        default_value = "/proc",
        help_heading = "Collecting"
    )]
    pub procfs: PathBuf,

    /// Where sysfs is
    #[arg(
        long = "path.sysfs",
        value_name = "FOLDER",
        default_value = "/sys",
        help_heading = "Collecting"
    )]
    pub sysfs: PathBuf,

    /// Where the root of the host's files is
    #[arg(
        long = "path.rootfs",
        value_name = "FOLDER",
        default_value = "/",
        help_heading = "Collecting"
    )]
    pub rootfs: PathBuf,

    /// Where the control groups are [default: fs/cgroup below sysfs]
    #[arg(long = "path.cgroupfs", value_name = "FOLDER", help_heading = "Collecting")]
    pub cgroupfs: Option<PathBuf>,

    /// What it may take.
    #[command(flatten)]
    pub limits: Limits,

    /// What is logged.
    #[command(flatten)]
    pub log: Log,

    /// Which collectors were switched, in the order of the command line.
    #[arg(skip)]
    pub collectors: Vec<(String, bool)>,

    /// All options as the status page shows them.
    #[arg(skip)]
    pub flags: Vec<api::backend::Flag>,
}

/// How history is kept.
#[derive(Clone, Debug, Args)]
pub struct History {
    /// Where the history is kept [default: the user's state folder; as root /var/lib/kubevigil]
    #[arg(long, alias = "storage.tsdb.path", value_name = "FOLDER", help_heading = "History")]
    pub data_dir: Option<PathBuf>,

    /// How long the history is kept
    #[arg(
        long,
        alias = "storage.tsdb.retention.time",
        value_name = "DURATION",
        default_value = "15d",
        value_parser = duration,
        help_heading = "History"
    )]
    pub retention: Duration,

    /// How much disk the history may take; the oldest goes first [default: no limit]
    #[arg(
        long,
        alias = "storage.tsdb.retention.size",
        value_name = "SIZE",
        value_parser = size,
        help_heading = "History"
    )]
    pub retention_size: Option<u64>,

    /// How much time is kept in memory before it becomes a block; for tests and figures
    #[arg(
        long = "storage.tsdb.min-block-duration",
        value_name = "DURATION",
        default_value = "30m",
        value_parser = duration,
        hide = true
    )]
    pub head_span: Duration,

    /// Whether blocks of a day and more get companions, from which queries over weeks are answered
    #[arg(
        long = "storage.companions",
        value_name = "true|false",
        default_value_t = true,
        action = clap::ArgAction::Set,
        help_heading = "History"
    )]
    pub companions: bool,

    /// What writing and merging blocks in the background may take of the processors: 0.5 is half of one,
    /// 0 is no limit
    #[arg(
        long = "storage.compaction-cpu",
        value_name = "CORES",
        default_value = "0.5",
        value_parser = cores,
        help_heading = "History"
    )]
    pub compaction_cpu: f64,

    /// How many bytes it may write a second; 0 is no limit
    #[arg(
        long = "storage.compaction-rate",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = rate,
        help_heading = "History"
    )]
    pub compaction_rate: u64,

    /// How many exemplars are kept, the newest of all series; storage.exemplars.max_exemplars of
    /// --config.file goes before
    #[arg(
        long = "storage.exemplars",
        value_name = "NUMBER",
        default_value_t = 100_000,
        help_heading = "History"
    )]
    pub exemplars: usize,

    /// What an acknowledged write waits for
    #[arg(long, value_enum, default_value = "fsync", help_heading = "History")]
    pub durability: Durability,
}

/// What may be taken of the machine.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// Memory that the program may take [default: what its control group allows]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Limits")]
    pub memory_limit: Option<u64>,

    /// How long a query may run
    #[arg(
        long = "query.timeout",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration,
        help_heading = "Limits"
    )]
    pub query_timeout: Duration,

    /// How many queries run at once
    #[arg(
        long = "query.max-concurrency",
        value_name = "NUMBER",
        default_value = "20",
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Limits"
    )]
    pub query_concurrency: u16,

    /// How many samples a query may hold in memory [default: 50000000, less where memory is limited]
    #[arg(long = "query.max-samples", value_name = "NUMBER", help_heading = "Limits")]
    pub query_samples: Option<usize>,

    /// Memory that one query may take [default: a quarter of --memory-limit]
    #[arg(
        long = "query.max-memory",
        value_name = "SIZE",
        value_parser = size,
        help_heading = "Limits"
    )]
    pub query_memory: Option<u64>,

    /// Memory that all queries together may take [default: half of --memory-limit]
    #[arg(
        long = "query.max-total-memory",
        value_name = "SIZE",
        value_parser = size,
        help_heading = "Limits"
    )]
    pub queries_memory: Option<u64>,

    /// Memory of answers that a range query asked again goes on from; 0 for none [default: 32MiB, an
    /// eighth of --memory-limit at most]
    #[arg(
        long = "query.cache-size",
        value_name = "SIZE",
        value_parser = size,
        help_heading = "Limits"
    )]
    pub cache_memory: Option<u64>,

    /// Write each query that ended to this file, a line of JSON each
    #[arg(long = "query.log-file", value_name = "FILE", help_heading = "Limits")]
    pub query_log: Option<PathBuf>,

    /// How far back a query looks for a series' newest sample
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration,
        help_heading = "Limits"
    )]
    pub lookback: Duration,
}

/// How the log is written.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// How the log is written (to standard error)
    #[arg(
        long,
        alias = "log.format",
        value_enum,
        default_value = "text",
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,

    /// What is logged
    #[arg(long, alias = "log.level", value_enum, default_value = "info", help_heading = "Logging")]
    pub log_level: LogLevel,
}

/// What an acknowledged write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// The kernel has it: survives a crash of the program
    Kernel,
    /// The disk has it: survives a power cut
    Fsync,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum LogFormat {
    Text,
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

/// The command line with the switches of all collectors, which no derive can know.
pub fn command() -> Command {
    switches(CommandLine::command()).mut_subcommand("standalone", switches)
}

fn switches(mut command: Command) -> Command {
    for name in node::Collectors::names() {
        for (prefix, on) in [("collector.", "on"), ("no-collector.", "off")] {
            let id = format!("{prefix}{name}");
            let help = format!("Switch the collector {name} {on}");
            let switch =
                Arg::new(id.clone()).long(id).action(ArgAction::SetTrue).hide_short_help(true);
            command = command.arg(switch.hide_long_help(true).help(help));
        }
    }
    command
}

/// Reads the command line of this process; ends it with usage where that is wrong.
pub fn read() -> CommandLine {
    use clap::FromArgMatches;
    let matches = command().get_matches();
    let mut line = CommandLine::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    match (&mut line.task, matches.subcommand()) {
        (Some(Task::Standalone(options)), Some((_, matches))) => complete(options, matches),
        (Some(Task::Server(options)), Some((name, matches))) => {
            let command = command();
            options.flags = flags(command.find_subcommand(name).unwrap_or(&command), matches);
        }
        _ => complete(&mut line.standalone, &matches),
    }
    line
}

/// Adds what the derive leaves out.
fn complete(options: &mut Options, matches: &ArgMatches) {
    let given = |id: &str| matches.try_get_one::<bool>(id).ok().flatten() == Some(&true);
    for name in node::Collectors::names() {
        for (prefix, on) in [("collector.", true), ("no-collector.", false)] {
            if given(&format!("{prefix}{name}")) {
                options.collectors.push((name.to_owned(), on));
            }
        }
    }
    options.flags = flags(&command(), matches);
    for (name, on) in &options.collectors {
        options.flags.push(api::backend::Flag {
            name: format!("collector.{name}"),
            value: on.to_string(),
            default: "true".into(),
            help: format!("Whether the collector {name} is on"),
            set: true,
        });
    }
}

fn flags(command: &Command, matches: &ArgMatches) -> Vec<api::backend::Flag> {
    let shown = |arg: &&Arg| !arg.is_hide_long_help_set() && arg.get_long().is_some();
    let mut flags = Vec::new();
    for arg in command.get_arguments().filter(shown) {
        let id = arg.get_id().as_str();
        let name = arg.get_long().unwrap_or_default().to_owned();
        let text = |values: Vec<String>| values.join(",");
        let raw = matches.try_get_raw(id).ok().flatten();
        let value = text(raw.into_iter().flatten().map(|v| v.to_string_lossy().into()).collect());
        let default = arg.get_default_values();
        let default = text(default.iter().map(|v| v.to_string_lossy().into()).collect());
        let source = matches.try_contains_id(id).is_ok().then(|| matches.value_source(id));
        flags.push(api::backend::Flag {
            name,
            value,
            default,
            help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            set: source.flatten() == Some(clap::parser::ValueSource::CommandLine),
        });
    }
    flags
}

pub fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = promql::duration::parse_duration(text)
        .map_err(|why| format!("{why}; write it like 30s, 5m, 1h30m or 15d"))?;
    Ok(Duration::from_nanos(nanoseconds.unsigned_abs()))
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(300);
    if allowed.contains(&interval) {
        return Ok(interval);
    }
    Err("must be between 100ms and 5m (queries look 5m back for the newest sample)".into())
}

/// `512MB`, `2GiB`: units are powers of 1024, as Prometheus has them.
pub fn size(text: &str) -> Result<u64, String> {
    let refused = || format!("not a size: {text:?}; write it like 512MB or 2GB");
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let number: f64 = text[..digits].parse().map_err(|_| refused())?;
    let unit = text[digits..].trim().to_ascii_uppercase();
    let power = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return Err(refused()),
    };
    let bytes = number * 1024_f64.powi(power);
    if bytes < 1.0 || bytes >= u64::MAX as f64 {
        return Err(refused());
    }
    Ok(bytes as u64)
}

/// A size a second; 0 is no limit.
fn rate(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { size(text) }
}

/// A number of processors; 0 is no limit.
fn cores(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cores) if cores == 0.0 || (0.01..=1.0).contains(&cores) => Ok(cores),
        _ => {
            Err(format!("not a share of a processor: {text:?}; write 0.01 to 1, or 0 for no limit"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn budgets() {
        assert_eq!((cores("0"), cores("0.25"), cores("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
        assert!(["", "x", "-1", "0.001", "2", "NaN"].iter().all(|t| cores(t).is_err()));
        assert_eq!((rate("0"), rate("1MiB")), (Ok(0), Ok(1 << 20)));
        assert!(rate("x").is_err());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("1", 1), ("512MB", 512 << 20), ("2GiB", 2 << 30), ("1.5K", 1536), ("10 g", 10 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1X", "0", "-1", "1e99GB", "NaN"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        assert!(interval("1ms").is_err() && interval("1h").is_err() && interval("x").is_err());
    }

    #[test]
    fn collectors_are_switched_by_name_with_and_without_the_command() {
        for line in [
            &["kubevigil", "--no-collector.loadavg"][..],
            &["kubevigil", "standalone", "--no-collector.loadavg"],
        ] {
            let matches = command().try_get_matches_from(line).unwrap();
            let matches = matches.subcommand().map_or(&matches, |s| s.1);
            let mut options = <Options as clap::FromArgMatches>::from_arg_matches(matches).unwrap();
            complete(&mut options, matches);
            assert_eq!(options.collectors, [("loadavg".to_owned(), false)]);
            let listen = options.flags.iter().find(|f| f.name == "listen").unwrap();
            assert_eq!((listen.value.as_str(), listen.set), ("127.0.0.1:7600", false));
        }
    }
}
