//! The command line; options that kubectl has are spelled as kubectl spells them.

use clap::builder::styling::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum};
use cluster::Cluster;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  kubectl vigil top nodes                       What nodes give, and how much of it is asked for and used
  kubectl vigil top pods -n shop --sort-by cpu  Usage beside requests and limits
  kubectl vigil top containers -A -o wide
  kubectl vigil top workloads -l app=web -o json
  kubectl vigil advise -n shop                  What to ask for, by what was used
  kubectl vigil advise deployment/web -o wide   With the evidence
  kubectl vigil advise --image registry.example/web:2
  kubectl vigil why-missing pod web-5d9f -n shop
  kubectl vigil why-missing hpa web
  source <(kubectl-vigil completion bash)";

/// What nodes and pods use beside what they asked for, what they should ask for, and why a number is absent.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-vigil",
    bin_name = "kubectl vigil",
    version,
    disable_help_subcommand = true,
    after_help = EXAMPLES,
    max_term_width = 100,
    styles = Styles::plain()
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
    /// Which cluster, as whom.
    #[command(flatten)]
    pub access: Access,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Usage beside requests, limits and what there is
    #[command(after_help = EXAMPLES)]
    Top(Top),
    /// Propose requests and limits by what workloads used
    #[command(after_help = EXAMPLES)]
    Advise(Advise),
    /// Say which scrape, certificate, permission or rule made a number absent
    #[command(name = "why-missing", after_help = EXAMPLES)]
    WhyMissing(Why),
    /// Print the completions for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Which cluster, as whom.
#[derive(Debug, Args)]
pub struct Access {
    /// The kubeconfig [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A context of it [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace [default: the context's]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

impl Access {
    /// Connects as kubectl would.
    pub async fn connect(&self) -> anyhow::Result<Cluster> {
        let of_environment = || {
            let list = std::env::var_os("KUBECONFIG")?;
            std::env::split_paths(&list).find(|p| p.is_file())
        };
        let at_home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".kube/config"));
        let file = self.kubeconfig.clone().or_else(of_environment);
        let file = file.or_else(|| at_home().filter(|p| p.is_file()));
        Ok(Cluster::connect_to(file.as_deref(), self.context.as_deref()).await?)
    }
}

/// What `top` takes.
#[derive(Debug, Args)]
pub struct Top {
    /// Of what
    #[arg(value_enum)]
    pub what: What,
    /// Only the one of this name
    pub name: Option<String>,
    /// Only those with these labels
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        default_value = "",
        hide_default_value = true
    )]
    pub selector: String,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// What comes first
    #[arg(long, value_enum, default_value = "name")]
    pub sort_by: SortBy,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Without the line of headings
    #[arg(long)]
    pub no_headers: bool,
    /// Again and again, until interrupted; how often can be said: --watch=5s
    #[arg(short, long, value_name = "EVERY", num_args = 0..=1, require_equals = true,
          default_missing_value = "5s", value_parser = seconds)]
    pub watch: Option<Duration>,
}

/// Of what usage is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Nodes, with what their pods asked for
    #[value(aliases = ["node", "no"])]
    Nodes,
    /// Pods
    #[value(aliases = ["pod", "po"])]
    Pods,
    /// Containers
    #[value(alias = "container")]
    Containers,
    /// Deployments, StatefulSets, DaemonSets, Jobs: their pods together
    #[value(alias = "workload")]
    Workloads,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// The alphabet
    Name,
    /// Who uses most CPU
    Cpu,
    /// Who uses most memory
    Memory,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// JSON: whole numbers of thousandths of a core and of bytes
    Json,
    /// The same in YAML
    Yaml,
    /// The same with commas
    Csv,
}

/// What `advise` takes.
#[derive(Debug, Args)]
pub struct Advise {
    /// Only this workload: web, or deployment/web
    pub name: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// For a workload that is yet to come, by what others used that run this image
    #[arg(long, conflicts_with_all = ["name", "all_namespaces"])]
    pub image: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Without the line of headings
    #[arg(long)]
    pub no_headers: bool,
}

/// What `why-missing` takes.
#[derive(Debug, Args)]
pub struct Why {
    /// Whose number is absent
    #[arg(value_enum)]
    pub what: Kind,
    /// Its name
    pub name: String,
}

/// Whose number is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A pod
    #[value(aliases = ["pods", "po"])]
    Pod,
    /// A node
    #[value(aliases = ["nodes", "no"])]
    Node,
    /// A HorizontalPodAutoscaler
    #[value(aliases = ["horizontalpodautoscaler", "horizontalpodautoscalers"])]
    Hpa,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.trim_end_matches('s').parse().unwrap_or(0.0);
    match (0.5..=3600.0).contains(&number) {
        true => Ok(Duration::from_secs_f64(number)),
        false => Err("must be seconds between 0.5s and 3600s, like 5s".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
        let line = ["kubectl-vigil", "top", "po", "-A", "--sort-by=cpu", "-o", "json", "--watch"];
        let line = CommandLine::try_parse_from(line).unwrap();
        let Task::Top(top) = line.task else { panic!() };
        assert_eq!((top.what, top.watch), (What::Pods, Some(Duration::from_secs(5))));
        assert!(CommandLine::try_parse_from(["x", "top", "pods", "--watch=0s"]).is_err());
    }
}
