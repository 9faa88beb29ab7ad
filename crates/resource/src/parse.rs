//! Reads a kubelet's answer at `/metrics/resource`: five families of it, the only ones that the core
//! pipeline needs, as metrics-server does.
//!
//! The format is Prometheus's text format 0.0.4. Kubelets write each family in the same order of labels,
//! so the container of a line is nearly always the one after the last, and is recognised by comparing
//! bytes: nothing is allocated or hashed for a line. Lines of other families are passed over unread.
//! A value that no clock or meter can give (negative, not finite, 2^63 and above) counts as zero, and a
//! zero as not measured.

use std::collections::HashMap;

/// No time is known.
pub const NO_TIME: i64 = i64::MIN;

/// Containers of one node; a kubelet runs some hundreds.
const CONTAINERS_MAX: usize = 50_000;
/// Bytes of a namespace, pod or container name; Kubernetes allows 253.
pub(crate) const NAME_MAX: usize = 1024;

/// What a kubelet said.
#[derive(Debug, Default)]
pub struct Reading<'a> {
    /// The node itself.
    pub node: Sample,
    /// Its containers.
    pub containers: Vec<ContainerSample<'a>>,
}

/// The values of a node or a container; 0 where they were not measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When its first process started, in nanoseconds since the Unix epoch, or [`NO_TIME`].
    pub start_ns: i64,
    /// When it was measured, in nanoseconds since the Unix epoch, or [`NO_TIME`].
    pub time_ns: i64,
    /// CPU time since the start, in nanoseconds.
    pub cpu_ns: u64,
    /// The working set.
    pub memory_bytes: u64,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample { start_ns: NO_TIME, time_ns: NO_TIME, cpu_ns: 0, memory_bytes: 0 }
    }
}

impl Sample {
    /// Whether both CPU and memory were measured.
    pub fn is_whole(&self) -> bool {
        self.cpu_ns != 0 && self.memory_bytes != 0
    }
}

/// The values of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerSample<'a> {
    /// The namespace of its pod.
    pub namespace: &'a str,
    /// Its pod.
    pub pod: &'a str,
    /// Its name in the pod.
    pub container: &'a str,
    /// What was measured.
    pub sample: Sample,
}

/// Why an answer cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} ({shown:?}): {what}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// Its beginning.
    pub shown: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads an answer. A line without a time of its own was measured at `asked_ns`, when the kubelet was
/// asked. Of several lines for the same thing the last one counts.
pub fn parse(text: &[u8], asked_ns: i64, expected: usize) -> Result<Reading<'_>, ParseError> {
    let mut reading = Reading {
        node: Sample::default(),
        containers: Vec::with_capacity(expected.min(CONTAINERS_MAX)),
    };
    let mut places = Places::default();
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let wrong = |what, line| ParseError { line: number, shown: shown(line), what };
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return Err(wrong("the answer ends within the line", rest));
        };
        let line = &rest[..end];
        rest = &rest[end + 1..];
        read_line(line, asked_ns, &mut reading, &mut places).map_err(|what| wrong(what, line))?;
    }
    Ok(reading)
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    NodeCpu,
    NodeMemory,
    Cpu,
    Memory,
    Start,
}

/// The family of a line and what follows its name; `None` for every other line.
fn family(line: &[u8]) -> Option<(Family, &[u8])> {
    let names: [(&[u8], Family); 3] = match line.first()? {
        b'n' => [
            (b"node_cpu_usage_seconds_total", Family::NodeCpu),
            (b"node_memory_working_set_bytes", Family::NodeMemory),
            (b"", Family::NodeCpu),
        ],
        b'c' => [
            (b"container_cpu_usage_seconds_total", Family::Cpu),
            (b"container_memory_working_set_bytes", Family::Memory),
            (b"container_start_time_seconds", Family::Start),
        ],
        _ => return None,
    };
    let (rest, family) = names
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .find_map(|(name, family)| Some((line.strip_prefix(*name)?, *family)))?;
    matches!(rest.first(), Some(b'{' | b' ' | b'\t')).then_some((family, rest))
}

fn read_line<'a>(
    line: &'a [u8],
    asked_ns: i64,
    reading: &mut Reading<'a>,
    places: &mut Places<'a>,
) -> Result<(), &'static str> {
    let Some((family, rest)) = family(line) else { return Ok(()) };
    let (key, rest) = labels(rest)?;
    let (value, time_ns) = value_and_time(rest, asked_ns)?;
    let sample = match family {
        Family::NodeCpu | Family::NodeMemory => &mut reading.node,
        Family::Cpu | Family::Memory | Family::Start => {
            let [Some(container), Some(namespace), Some(pod)] = key else {
                return Err("one of the labels container, namespace and pod is missing");
            };
            let at = places.find(&mut reading.containers, [container, namespace, pod])?;
            &mut reading.containers[at].sample
        }
    };
    match family {
        Family::NodeCpu | Family::Cpu => sample.cpu_ns = count(value * 1e9),
        Family::NodeMemory | Family::Memory => sample.memory_bytes = count(value),
        Family::Start => {
            let start_ns = value * 1e9;
            // The conversion saturates; NaN would become the epoch.
            sample.start_ns = if start_ns.is_nan() { NO_TIME } else { start_ns as i64 };
            return Ok(());
        }
    }
    sample.time_ns = time_ns;
    Ok(())
}

/// A float as a count; zero for what cannot be one.
fn count(value: f64) -> u64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if value > 0.0 && value < LIMIT { value as u64 } else { 0 }
}

/// The values of the labels container, namespace and pod.
type Key<'a> = [Option<&'a str>; 3];

/// Reads the labels; gives also what follows them.
fn labels(text: &[u8]) -> Result<(Key<'_>, &[u8]), &'static str> {
    let mut key = [None; 3];
    let Some(mut rest) = text.strip_prefix(b"{") else { return Ok((key, text)) };
    loop {
        rest = trim(rest);
        if let Some(after) = rest.strip_prefix(b"}") {
            return Ok((key, after));
        }
        let equals = memchr::memchr(b'=', rest).ok_or("a label without a value")?;
        let name = rest[..equals].trim_ascii();
        let value = trim(&rest[equals + 1..]);
        let value = value.strip_prefix(b"\"").ok_or("a label's value without quotes")?;
        let end = closing_quote(value).ok_or("a label's value without its end")?;
        let slot = match name {
            b"container" => Some(0),
            b"namespace" => Some(1),
            b"pod" => Some(2),
            _ => None,
        };
        if let Some(slot) = slot {
            if end > NAME_MAX {
                return Err("a name of more than 1024 bytes");
            }
            let text = std::str::from_utf8(&value[..end]);
            key[slot] = Some(text.map_err(|_| "a name that is not UTF-8")?);
        }
        rest = trim(&value[end + 1..]);
        match rest.first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') => {}
            _ => return Err("labels without their end"),
        }
    }
}

/// Where the value ends; a quote after a backslash is part of it.
fn closing_quote(value: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', &value[from..])?;
        if value[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
        if from > value.len() {
            return None;
        }
    }
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

fn value_and_time(text: &[u8], asked_ns: i64) -> Result<(f64, i64), &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "a value that is not UTF-8")?;
    let mut parts = text.split_ascii_whitespace();
    let value = parts.next().ok_or("no value")?;
    let value: f64 = value.parse().map_err(|_| "a value that is not a number")?;
    let time_ns = match parts.next() {
        None => asked_ns,
        Some(ms) => {
            let ms: i64 = ms.parse().map_err(|_| "a time that is not a whole number")?;
            ms.checked_mul(1_000_000).ok_or("a time beyond all calendars")?
        }
    };
    match parts.next() {
        None => Ok((value, time_ns)),
        Some(_) => Err("something after the time"),
    }
}

/// Finds the place of a container among those read so far.
#[derive(Default)]
struct Places<'a> {
    /// The place at which the next line's container is expected.
    next: usize,
    /// Every place, made when a line is not the expected one.
    index: Option<HashMap<[&'a str; 3], usize>>,
}

impl<'a> Places<'a> {
    fn find(
        &mut self,
        containers: &mut Vec<ContainerSample<'a>>,
        key: [&'a str; 3],
    ) -> Result<usize, &'static str> {
        let of = |c: &ContainerSample<'a>| [c.container, c.namespace, c.pod];
        if let Some(expected) = containers.get(self.next)
            && of(expected) == key
        {
            self.next += 1;
            return Ok(self.next - 1);
        }
        // Lines come sorted: what is behind all others is new.
        let new = self.index.is_none() && containers.last().is_none_or(|last| of(last) < key);
        if !new {
            let index = self.index.get_or_insert_with(|| {
                containers.iter().enumerate().map(|(at, c)| (of(c), at)).collect()
            });
            if let Some(&at) = index.get(&key) {
                self.next = at + 1;
                return Ok(at);
            }
            index.insert(key, containers.len());
        }
        if containers.len() == CONTAINERS_MAX {
            return Err("more than 50000 containers");
        }
        let [container, namespace, pod] = key;
        containers.push(ContainerSample { namespace, pod, container, sample: Sample::default() });
        self.next = containers.len();
        Ok(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// As a kubelet 1.36 writes it, shortened.
    const ANSWER: &str = r#"# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="app",namespace="default",pod="web-1"} 4.710169 1633253812125
container_cpu_usage_seconds_total{container="proxy",namespace="default",pod="web-1"} 0.5 1633253809720
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="app",namespace="default",pod="web-1"} 1.2550144e+07 1633253812126
container_memory_working_set_bytes{container="proxy",namespace="default",pod="web-1"} 2.1770240e+07 1633253809720
# HELP container_start_time_seconds [STABLE] Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="app",namespace="default",pod="web-1"} 1.63325376e+09
container_start_time_seconds{container="proxy",namespace="default",pod="web-1"} 1.63325376125e+09
# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 357.35491 1633253809720
node_memory_working_set_bytes 1.616273408e+09 1633253809720
pod_cpu_usage_seconds_total{namespace="default",pod="web-1"} 4.67812 1633253803935
resource_scrape_error 0
"#;

    #[test]
    fn reads_a_kubelets_answer() {
        let reading = parse(ANSWER.as_bytes(), 7, 0).expect("reads");
        let at = |ms: i64| ms * 1_000_000;
        assert_eq!(
            reading.node,
            Sample {
                start_ns: NO_TIME,
                time_ns: at(1_633_253_809_720),
                cpu_ns: 357_354_910_000,
                memory_bytes: 1_616_273_408
            }
        );
        assert_eq!(reading.containers.len(), 2);
        let app = reading.containers[0];
        assert_eq!([app.container, app.namespace, app.pod], ["app", "default", "web-1"]);
        assert_eq!(
            app.sample,
            Sample {
                start_ns: 1_633_253_760_000_000_000,
                // Memory's time, which comes last, counts for both.
                time_ns: at(1_633_253_812_126),
                cpu_ns: 4_710_169_000,
                memory_bytes: 12_550_144
            }
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        let cases = [
            ("node_cpu_usage_seconds_total", Ok(())),
            ("node_cpu_usage_seconds_total ", Err("no value")),
            ("node_cpu_usage_seconds_total x", Err("a value that is not a number")),
            ("node_cpu_usage_seconds_total 1 2 3", Err("something after the time")),
            ("node_cpu_usage_seconds_total 1 2.5", Err("a time that is not a whole number")),
            (
                "node_cpu_usage_seconds_total 1 9223372036854775807",
                Err("a time beyond all calendars"),
            ),
            ("node_cpu_usage_seconds_total_of_others x", Ok(())),
            (
                "container_cpu_usage_seconds_total 1",
                Err("one of the labels container, namespace and pod is missing"),
            ),
            ("container_cpu_usage_seconds_total{", Err("a label without a value")),
            ("container_cpu_usage_seconds_total{pod=\"a", Err("a label's value without its end")),
            ("container_cpu_usage_seconds_total{pod=a} 1", Err("a label's value without quotes")),
            ("container_cpu_usage_seconds_total{pod=\"a\" 1", Err("labels without their end")),
            ("<html>", Ok(())),
        ];
        for (line, expected) in cases {
            let text = format!("# HELP x y\n{line}\n");
            let found = parse(text.as_bytes(), 0, 0);
            match (&found, expected) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(what)) => {
                    assert_eq!((error.line, error.what), (2, what), "{line}");
                }
                _ => panic!("{line}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_cut_answer_is_none() {
        let whole = ANSWER.trim_end().len();
        for cut in 1..=whole {
            let read = parse(&ANSWER.as_bytes()[..cut], 0, 0);
            let ends = ANSWER.as_bytes()[cut - 1] == b'\n';
            assert_eq!(read.is_ok(), ends, "{cut}");
        }
    }

    #[test]
    fn what_cannot_be_measured_counts_as_zero() {
        for bad in ["-1", "NaN", "+Inf", "-Inf", "1e30", "0"] {
            let text = format!(
                "node_cpu_usage_seconds_total {bad}\nnode_memory_working_set_bytes {bad}\n"
            );
            let reading = parse(text.as_bytes(), 0, 0).expect("reads");
            assert_eq!((reading.node.cpu_ns, reading.node.memory_bytes), (0, 0), "{bad}");
            assert!(!reading.node.is_whole());
        }
    }

    type Naive = BTreeMap<[String; 3], Sample>;

    /// Reads with the exposition reader of `model` and a map.
    fn naive(text: &str, asked_ns: i64) -> Option<(Sample, Naive)> {
        let (mut node, mut containers) = (Sample::default(), Naive::new());
        for line in text.lines() {
            let Some((series, rest)) = line.rsplit_once("} ").or_else(|| line.split_once(' '))
            else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let label = |wanted: &str| {
                let found =
                    labels.split(',').find_map(|l| l.strip_prefix(wanted)?.strip_prefix("=\""));
                found.map(|v| v.trim_end_matches('"').to_owned())
            };
            let mut numbers = rest.split(' ');
            let value: f64 = numbers.next()?.parse().ok()?;
            let time = numbers
                .next()
                .map_or(Some(asked_ns), |t| Some(t.parse::<i64>().ok()? * 1_000_000))?;
            let sample = if name.starts_with("node_") {
                &mut node
            } else if name.starts_with("container_") {
                containers
                    .entry([label("container")?, label("namespace")?, label("pod")?])
                    .or_default()
            } else {
                continue;
            };
            let count = |v: f64| if v > 0.0 && v < 9.2e18 { v as u64 } else { 0 };
            match name {
                "container_start_time_seconds" => sample.start_ns = (value * 1e9) as i64,
                _ if name.contains("cpu") => {
                    (sample.cpu_ns, sample.time_ns) = (count(value * 1e9), time)
                }
                _ => (sample.memory_bytes, sample.time_ns) = (count(value), time),
            }
        }
        Some((node, containers))
    }

    prop_compose! {
        fn line()(
            family in 0..6_usize,
            c in "[ab]", n in "[xy]", p in "[pq]",
            value in prop_oneof![0.0..1e6, Just(0.0), Just(-3.0)],
            time in proptest::option::of(0..2_000_000_000_000_i64),
        ) -> String {
            let time = time.map_or(String::new(), |t| format!(" {t}"));
            let name = ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
                "container_start_time_seconds", "node_cpu_usage_seconds_total",
                "node_memory_working_set_bytes", "pod_cpu_usage_seconds_total"][family];
            match family {
                3 | 4 => format!("{name} {value}{time}"),
                _ => format!("{name}{{container=\"{c}\",namespace=\"{n}\",pod=\"{p}\"}} {value}{time}"),
            }
        }
    }

    proptest! {
        #[test]
        fn reads_as_the_naive_reader_does(mut lines in prop::collection::vec(line(), 0..40), sort: bool) {
            if sort {
                lines.sort();
            }
            let text = lines.iter().map(|l| format!("{l}\n")).collect::<String>();
            let (node, containers) = naive(&text, 5).expect("the naive reader reads");
            let reading = parse(text.as_bytes(), 5, 0).expect("reads");
            prop_assert_eq!(reading.node, node);
            prop_assert_eq!(reading.containers.len(), containers.len());
            for c in &reading.containers {
                let key = [c.container, c.namespace, c.pod].map(str::to_owned);
                prop_assert_eq!(Some(&c.sample), containers.get(&key));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..2000_usize, flip in 0..2000_usize, to: u8) {
            crate::fuzz::parse(&bytes);
            let mut text = ANSWER.as_bytes().to_vec();
            let at = flip % text.len();
            text[at] = to;
            crate::fuzz::parse(&text[..cut.min(text.len())]);
        }
    }
}
