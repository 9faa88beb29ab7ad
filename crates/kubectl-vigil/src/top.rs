//! `kubectl vigil top`: usage beside requests, limits and what there is.

use crate::command_line::{Access, Output, SortBy, Top, What};
use crate::objects::{Amount, Container, Pod, Wanted};
use crate::table::{Column, Unit, column, write};
use anyhow::bail;
use cluster::Cluster;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Shows it, once or again and again.
pub async fn run(cluster: &Cluster, access: &Access, options: &Top) -> anyhow::Result<ExitCode> {
    let namespace = match options.all_namespaces {
        true => None,
        false => Some(access.namespace.clone().unwrap_or_else(|| cluster.namespace())),
    };
    let wanted = Wanted {
        namespace: namespace.filter(|_| options.what != What::Nodes),
        selector: options.selector.clone(),
        // Workloads have names of their own.
        name: options.name.clone().filter(|_| matches!(options.what, What::Nodes | What::Pods)),
    };
    let mut seen = 0;
    loop {
        let (columns, mut rows) = match options.what {
            What::Nodes => nodes(cluster, &wanted).await?,
            what => pods(what, &wanted.pods(cluster).await?, options),
        };
        if rows.is_empty() && options.watch.is_none() && options.output == Output::Table {
            match &wanted.namespace {
                Some(namespace) => eprintln!("Nothing found in namespace {namespace}."),
                None => eprintln!("Nothing found."),
            }
            return Ok(ExitCode::SUCCESS);
        }
        if let (true, Some(name)) = (rows.is_empty(), &options.name) {
            bail!("there is no {name:?}");
        }
        sort(&columns, &mut rows, options.sort_by);
        let headers = !options.no_headers && seen == 0;
        print!("{}", write(&columns, &rows, options.output, headers));
        let Some(every) = options.watch else { return Ok(ExitCode::SUCCESS) };
        seen += 1;
        tokio::time::sleep(every).await;
    }
}

fn sort(columns: &[Column], rows: &mut [Vec<Value>], by: SortBy) {
    let name = match by {
        SortBy::Name => return, // they come so
        SortBy::Cpu => "cpuMillicores",
        SortBy::Memory => "memoryBytes",
    };
    if let Some(at) = columns.iter().position(|c| c.name == name) {
        rows.sort_by_key(|row| std::cmp::Reverse(row[at].as_i64().unwrap_or(-1)));
    }
}

const USAGE: [Column; 10] = [
    column("CPU", "cpuMillicores", Unit::Cpu, false),
    column("REQUEST", "cpuRequestMillicores", Unit::Cpu, false),
    column("LIMIT", "cpuLimitMillicores", Unit::Cpu, false),
    column("%REQ", "cpuPercentOfRequest", Unit::Percent, true),
    column("%LIM", "cpuPercentOfLimit", Unit::Percent, false),
    column("MEMORY", "memoryBytes", Unit::Memory, false),
    column("REQUEST", "memoryRequestBytes", Unit::Memory, false),
    column("LIMIT", "memoryLimitBytes", Unit::Memory, false),
    column("%REQ", "memoryPercentOfRequest", Unit::Percent, true),
    column("%LIM", "memoryPercentOfLimit", Unit::Percent, false),
];

/// What some containers use, asked for and may take, together.
#[derive(Default)]
struct Sum {
    usage: Option<Amount>,
    requests: Amount,
    limits: Amount,
    /// Whether each of them is limited, in CPU and in memory.
    limited: Option<[bool; 2]>,
}

impl Sum {
    fn add(&mut self, container: &Container) {
        if let Some(usage) = container.usage {
            *self.usage.get_or_insert_default() += usage;
        }
        self.requests += container.requests;
        self.limits += container.limits;
        let [cpu, memory] = self.limited.unwrap_or([true, true]);
        self.limited = Some([cpu && container.limited[0], memory && container.limited[1]]);
    }

    fn of<'a>(containers: impl IntoIterator<Item = &'a Container>) -> Sum {
        let mut sum = Sum::default();
        containers.into_iter().for_each(|c| sum.add(c));
        sum
    }

    fn cells(&self) -> Vec<Value> {
        let limited = self.limited.unwrap_or_default();
        let mut cells = Vec::with_capacity(USAGE.len());
        let parts: [fn(&Amount) -> i64; 2] = [|a| a.cpu, |a| a.memory];
        for (part, limited) in parts.into_iter().zip(limited) {
            let usage = self.usage.as_ref().map(part);
            let request = Some(part(&self.requests)).filter(|r| *r > 0);
            let limit = Some(part(&self.limits)).filter(|_| limited);
            let percents = [percent(usage, request), percent(usage, limit)];
            cells.extend([usage, request, limit].into_iter().chain(percents).map(|v| json!(v)));
        }
        cells
    }
}

/// Rounded down, as kubectl does.
fn percent(part: Option<i64>, whole: Option<i64>) -> Option<i64> {
    let (part, whole) = (i128::from(part?), i128::from(whole.filter(|w| *w > 0)?));
    i64::try_from(part * 100 / whole).ok()
}

fn pods(what: What, pods: &[Pod], options: &Top) -> (Vec<Column>, Vec<Vec<Value>>) {
    let mut columns = Vec::new();
    // Files are easier to use where they always look the same.
    let namespaces =
        options.all_namespaces || !matches!(options.output, Output::Table | Output::Wide);
    if namespaces {
        columns.push(column("NAMESPACE", "namespace", Unit::Text, false));
    }
    let start = |namespace: &str, name: &str| {
        let mut row = if namespaces { vec![json!(namespace)] } else { Vec::new() };
        row.push(json!(name));
        row
    };
    let mut rows = Vec::new();
    match what {
        What::Containers => {
            columns.push(column("POD", "pod", Unit::Text, false));
            columns.push(column("NAME", "name", Unit::Text, false));
            let wanted = |name: &str| options.name.as_deref().is_none_or(|w| w == name);
            for pod in pods {
                for container in pod.containers.iter().filter(|c| wanted(&c.name)) {
                    let mut row = start(&pod.namespace, &pod.name);
                    row.push(json!(container.name));
                    row.extend(Sum::of([container]).cells());
                    rows.push(row);
                }
            }
        }
        What::Workloads => {
            columns.push(column("NAME", "name", Unit::Text, false));
            columns.push(column("PODS", "pods", Unit::Text, false));
            let mut groups: BTreeMap<(&str, &str), (i64, Sum)> = BTreeMap::new();
            for pod in pods {
                let (count, sum) =
                    groups.entry((pod.namespace.as_str(), pod.workload.as_str())).or_default();
                *count += 1;
                pod.containers.iter().for_each(|c| sum.add(c));
            }
            let own = |name: &str| name.split_once('/').map_or("", |n| n.1).to_owned();
            let wanted =
                |name: &str| options.name.as_deref().is_none_or(|w| w == name || w == own(name));
            for ((namespace, name), (count, sum)) in groups.iter().filter(|g| wanted(g.0.1)) {
                let mut row = start(namespace, name);
                row.push(json!(count));
                row.extend(sum.cells());
                rows.push(row);
            }
        }
        What::Pods | What::Nodes => {
            columns.push(column("NAME", "name", Unit::Text, false));
            columns.push(column("NODE", "node", Unit::Text, true));
            for pod in pods {
                let mut row = start(&pod.namespace, &pod.name);
                row.push(json!(pod.node));
                row.extend(Sum::of(&pod.containers).cells());
                rows.push(row);
            }
        }
    }
    columns.extend(USAGE);
    (columns, rows)
}

async fn nodes(
    cluster: &Cluster,
    wanted: &Wanted,
) -> anyhow::Result<(Vec<Column>, Vec<Vec<Value>>)> {
    let columns = vec![
        column("NAME", "name", Unit::Text, false),
        column("CPU", "cpuMillicores", Unit::Cpu, false),
        column("CPU%", "cpuPercentOfAllocatable", Unit::Percent, false),
        column("REQUESTED", "cpuRequestedMillicores", Unit::Cpu, false),
        column("LIMITS", "cpuLimitsMillicores", Unit::Cpu, true),
        column("ALLOCATABLE", "cpuAllocatableMillicores", Unit::Cpu, false),
        column("MEMORY", "memoryBytes", Unit::Memory, false),
        column("MEMORY%", "memoryPercentOfAllocatable", Unit::Percent, false),
        column("REQUESTED", "memoryRequestedBytes", Unit::Memory, false),
        column("LIMITS", "memoryLimitsBytes", Unit::Memory, true),
        column("ALLOCATABLE", "memoryAllocatableBytes", Unit::Memory, false),
    ];
    // Who may not list all pods sees nodes all the same.
    let pods = Wanted::default().pods(cluster).await.ok();
    let mut rows = Vec::new();
    for node in wanted.nodes(cluster).await? {
        let sum = pods.as_ref().map(|pods| {
            Sum::of(pods.iter().filter(|p| p.node == node.name).flat_map(|p| &p.containers))
        });
        let mut row = vec![json!(node.name)];
        let parts: [fn(&Amount) -> i64; 2] = [|a| a.cpu, |a| a.memory];
        for part in parts {
            let usage = node.usage.as_ref().map(part);
            let allocatable = part(&node.allocatable);
            row.push(json!(usage));
            row.push(json!(percent(usage, Some(allocatable))));
            row.push(json!(sum.as_ref().map(|s| part(&s.requests))));
            row.push(json!(sum.as_ref().map(|s| part(&s.limits))));
            row.push(json!(allocatable));
        }
        rows.push(row);
    }
    Ok((columns, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_percents() {
        let container = |usage: Option<i64>, limited| Container {
            usage: usage.map(|cpu| Amount { cpu, memory: 10 }),
            requests: Amount { cpu: 100, memory: 0 },
            limits: Amount { cpu: 200, memory: 20 },
            limited: [limited, true],
            ..Container::default()
        };
        let both = Sum::of(&[container(Some(50), true), container(None, true)]).cells();
        assert_eq!(both[..5], [json!(50), json!(200), json!(400), json!(25), json!(12)]);
        assert_eq!(both[5..], [json!(10), Value::Null, json!(40), Value::Null, json!(25)]);
        // One without a limit: together they have none.
        let open = Sum::of(&[container(Some(50), true), container(Some(1), false)]).cells();
        assert_eq!((&open[2], &open[4]), (&Value::Null, &Value::Null));
        assert_eq!(percent(Some(1), Some(0)), None);
    }
}
