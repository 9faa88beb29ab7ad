//! The engines that the store's bench compares: how each is started, asked and weighed.

use anyhow::{Context, Result, bail, ensure};
use http::client::{
    HeaderName, HeaderValue, Limits, Method, Request, Session, Tls, TlsOptions, Trust, header,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stage::program::cpu_milliseconds;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where each engine listens.
const PORT: u16 = 19_290;

/// A process that is killed when dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `kubevigil server`, the real program.
    Kubevigil,
    /// Prometheus v0.315.0 (3.15).
    Prometheus,
    /// The same with its newer encoding of floats.
    PrometheusXor2,
    /// VictoriaMetrics 1.79.5 of Debian.
    VictoriaMetrics,
}

/// Programs, and what they all need.
pub struct Programs {
    /// `kubevigil`, as released.
    pub kubevigil: PathBuf,
    /// Prometheus.
    pub prometheus: PathBuf,
    /// VictoriaMetrics; `None` where Debian's package cannot be had.
    pub victoria_metrics: Option<PathBuf>,
    /// How to reach the simulated API server that `kubevigil server` wants.
    pub kubeconfig: PathBuf,
    /// That API server.
    pub _cluster: Running,
    /// Whether `kubevigil server` takes remote write.
    pub receiver: bool,
}

/// Real time passes this many times faster than the time for which the interval stands.
#[derive(Clone, Copy, Debug)]
pub struct Scale(pub f64);

impl Kind {
    /// How tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Kubevigil => "kubevigil",
            Kind::Prometheus => "Prometheus 3.15",
            Kind::PrometheusXor2 => "the same, XOR2",
            Kind::VictoriaMetrics => "VictoriaMetrics 1.79.5",
        }
    }

    /// How options name it.
    pub fn option(self) -> &'static str {
        match self {
            Kind::Kubevigil => "kubevigil",
            Kind::Prometheus => "prometheus",
            Kind::PrometheusXor2 => "prometheus-xor2",
            Kind::VictoriaMetrics => "victoria-metrics",
        }
    }

    /// What an option names.
    pub fn of_option(name: &str) -> Option<Kind> {
        let all = [Kind::Kubevigil, Kind::Prometheus, Kind::PrometheusXor2, Kind::VictoriaMetrics];
        all.into_iter().find(|k| k.option() == name)
    }

    fn command(self, programs: &Programs, dir: &Path, config: &Path, scale: Scale) -> Command {
        let data = dir.join("data");
        let milliseconds = |minutes: f64| format!("{}ms", (minutes * 60_000.0 / scale.0) as u64);
        let program = match self {
            Kind::Kubevigil => &programs.kubevigil,
            Kind::Prometheus | Kind::PrometheusXor2 => &programs.prometheus,
            Kind::VictoriaMetrics => {
                programs.victoria_metrics.as_ref().unwrap_or(&programs.kubevigil)
            }
        };
        // Pinned: the load is made on the other core.
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(program);
        match self {
            Kind::Kubevigil => command
                .args(["server", "--kubelet-tls=insecure", "--scrape.annotations=false"])
                .arg(format!("--kubeconfig={}", programs.kubeconfig.display()))
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--listen=127.0.0.1:{PORT}"))
                .arg(format!("--data-dir={}", data.display()))
                .arg(format!("--storage.tsdb.min-block-duration={}", milliseconds(30.0)))
                .args(programs.receiver.then_some("--web.enable-remote-write-receiver")),
            Kind::Prometheus | Kind::PrometheusXor2 => command
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
                .arg(format!("--storage.tsdb.path={}", data.display()))
                .arg(format!("--storage.tsdb.min-block-duration={}", milliseconds(120.0)))
                .args(["--web.enable-admin-api", "--web.enable-remote-write-receiver"])
                .env("GOMAXPROCS", "1"),
            Kind::VictoriaMetrics => command
                .arg(format!("-promscrape.config={}", config.display()))
                .arg(format!("-httpListenAddr=127.0.0.1:{PORT}"))
                .arg(format!("-storageDataPath={}", data.display()))
                .args(["-search.latencyOffset=1ms", "-retentionPeriod=1", "-search.disableCache"])
                .arg("-promscrape.suppressScrapeErrors")
                .env("GOMAXPROCS", "1"),
        };
        command
    }

    /// A configuration for it that begins with `text`, put into its folder.
    pub fn configure(self, dir: &Path, text: &str) -> Result<PathBuf> {
        let path = dir.join("prometheus.yml");
        let encoding = "storage:\n  tsdb:\n    chunk_encoding:\n      floats: xor2\n";
        let more = if self == Kind::PrometheusXor2 { encoding } else { "" };
        std::fs::write(&path, format!("{text}{more}"))?;
        Ok(path)
    }

    /// Starts it.
    pub fn start(
        self,
        programs: &Programs,
        dir: &Path,
        config: &Path,
        scale: Scale,
    ) -> Result<Engine> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
        let mut command = self.command(programs, dir, config, scale);
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let process = Running(child);
        Ok(Engine { kind: self, process, started, dir: dir.into(), client: Client::new(self)? })
    }
}

/// An engine that runs.
pub struct Engine {
    /// Which.
    pub kind: Kind,
    /// Its process.
    pub process: Running,
    /// When it was started.
    pub started: Instant,
    /// Its folder.
    pub dir: PathBuf,
    client: Client,
}

impl Engine {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        // taskset becomes the program.
        self.process.0.id()
    }

    /// Waits until it answers queries.
    pub fn wait(&mut self) -> Result<Duration> {
        loop {
            match self.query("1", 1.0) {
                Ok(_) => return Ok(self.started.elapsed()),
                Err(error) if self.started.elapsed() > Duration::from_secs(300) => {
                    let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                    let end: Vec<&str> = log.lines().rev().take(20).collect();
                    bail!("{} does not answer: {error:#}\n{}", self.kind.name(), end.join("\n"));
                }
                Err(_) => {
                    if let Some(status) = self.process.0.try_wait()? {
                        let log = std::fs::read_to_string(self.dir.join("log"))?;
                        bail!("{} ended: {status}\n{log}", self.kind.name());
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    /// An instant query.
    pub fn query(&mut self, query: &str, time: f64) -> Result<Value> {
        Ok(self.query_timed(query, time)?.1)
    }

    /// As [`Engine::query`], with how long the whole answer took.
    pub fn query_timed(&mut self, query: &str, time: f64) -> Result<(Duration, Value)> {
        let path = format!("/api/v1/query?query={}&time={time:.3}", encoded(query));
        let (took, answer) = self.client.get(&path)?;
        Ok((took, answer["data"]["result"].clone()))
    }

    /// A range query; gives how long the whole answer took.
    pub fn range(
        &mut self,
        query: &str,
        start: f64,
        end: f64,
        step: f64,
    ) -> Result<(Duration, Value)> {
        let path = format!(
            "/api/v1/query_range?query={}&start={start:.3}&end={end:.3}&step={step:.3}{}",
            encoded(query),
            if self.kind != Kind::Prometheus { "&nocache=1" } else { "" }
        );
        let (took, answer) = self.client.get(&path)?;
        Ok((took, answer["data"]["result"].clone()))
    }

    /// CPU time of all its threads so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        Ok(cpu_milliseconds(self.pid())? as f64 / 1000.0)
    }

    /// Sends a remote-write request.
    pub fn write(&mut self, body: &[u8]) -> Result<()> {
        let fields = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")),
            (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
            (
                HeaderName::from_static("x-prometheus-remote-write-version"),
                HeaderValue::from_static("0.1.0"),
            ),
        ];
        self.client.send(&Method::POST, "/api/v1/write", &fields, body).map(|_| ())
    }

    /// Waits until it has nothing to do any more, a minute at most.
    pub fn settle(&self) -> Result<()> {
        let (began, mut idle) = (Instant::now(), 0);
        while idle < 2 && began.elapsed() < Duration::from_secs(60) {
            let before = self.cpu()?;
            std::thread::sleep(Duration::from_secs(1));
            idle = if self.cpu()? - before < 0.06 { idle + 1 } else { 0 };
        }
        Ok(())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.process.0.kill()?;
        self.process.0.wait()?;
        Ok(())
    }

    /// Ends it as one does, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        Command::new("kill").args(["-15", &pid]).status()?;
        self.process.0.wait()?;
        Ok(())
    }

    /// Bytes on disk once what it does in the background is done, and the samples in them.
    pub fn weigh(mut self, samples: u64) -> Result<Weight> {
        match self.kind {
            Kind::Prometheus | Kind::PrometheusXor2 => {
                let (_, answer) = self.client.post("/api/v1/admin/tsdb/snapshot")?;
                let name = answer["data"]["name"].as_str().context("no snapshot")?.to_owned();
                let snapshot = self.dir.join("data/snapshots").join(name);
                let mut weight = Weight::default();
                for block in std::fs::read_dir(&snapshot)? {
                    let block = block?.path();
                    let meta = std::fs::read_to_string(block.join("meta.json"))?;
                    let meta: Value = serde_json::from_str(&meta)?;
                    weight.samples +=
                        meta["stats"]["numSamples"].as_u64().context("no numSamples")?;
                    weight.index += size(&block.join("index"))?;
                    weight.data += size(&block.join("chunks"))?;
                }
                Ok(weight)
            }
            Kind::VictoriaMetrics => {
                self.client.get("/internal/force_flush")?;
                self.client.get("/internal/force_merge")?;
                let parts = self.dir.join("data/data/small");
                let index = self.dir.join("data/indexdb");
                let mut last = 0;
                for _ in 0..60 {
                    std::thread::sleep(Duration::from_secs(2));
                    let now =
                        size(&parts)? + size(&self.dir.join("data/data/big"))? + size(&index)?;
                    if now == last {
                        break;
                    }
                    last = now;
                }
                let data = size(&parts)? + size(&self.dir.join("data/data/big"))?;
                Ok(Weight { samples, data, index: size(&index)? })
            }
            Kind::Kubevigil => {
                let data = series_folder(&self.dir);
                self.kill()?;
                let options = tsdb::Options { background: false, ..tsdb::Options::default() };
                let db = tsdb::Db::open(&data, options)?;
                db.compact()?;
                let stats = db.stats();
                ensure!(stats.quarantined.is_empty(), "damaged files: {:?}", stats.quarantined);
                Ok(Weight {
                    samples: stats.samples,
                    data: stats.block_bytes - stats.block_index_bytes,
                    index: stats.block_index_bytes,
                })
            }
        }
    }
}

/// Where `kubevigil server` keeps its series, in the folder of an engine.
pub fn series_folder(dir: &Path) -> PathBuf {
    dir.join("data/series")
}

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Weight {
    /// Samples stored.
    pub samples: u64,
    /// Bytes of their values and times.
    pub data: u64,
    /// Bytes of the index.
    pub index: u64,
}

/// The bytes of a file, or of everything in a folder.
fn size(path: &Path) -> Result<u64> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(0) };
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        // What is merged may go away meanwhile.
        sum += size(&entry?.path()).unwrap_or(0);
    }
    Ok(sum)
}

struct Client {
    tls: Option<Tls>,
    session: Session,
    runtime: tokio::runtime::Runtime,
    body: Vec<u8>,
}

impl Client {
    fn new(kind: Kind) -> Result<Client> {
        let insecure = || Tls::open(TlsOptions { trust: Trust::Insecure, identity: None });
        Ok(Client {
            tls: (kind == Kind::Kubevigil).then(insecure).transpose()?,
            session: Session::default(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            body: Vec::new(),
        })
    }

    fn get(&mut self, path: &str) -> Result<(Duration, Value)> {
        self.send(&Method::GET, path, &[], &[])
    }

    fn post(&mut self, path: &str) -> Result<(Duration, Value)> {
        self.send(&Method::POST, path, &[], &[])
    }

    fn send(
        &mut self,
        method: &Method,
        path: &str,
        fields: &[(HeaderName, HeaderValue)],
        body: &[u8],
    ) -> Result<(Duration, Value)> {
        let limits = Limits {
            timeout: Duration::from_secs(300),
            max_body_bytes: 1 << 30,
            ..Limits::default()
        };
        let mut headers = fields.to_vec();
        headers.push((header::AUTHORIZATION, HeaderValue::from_static("Bearer bench")));
        let request = Request {
            method,
            host: "127.0.0.1",
            port: PORT,
            tls: self.tls.as_ref(),
            also_named: None,
            path_and_query: path,
            headers: &headers,
            body,
        };
        let began = Instant::now();
        let sent = self.session.send(&limits, request, &mut self.body);
        let answer = self.runtime.block_on(sent).with_context(|| path.to_owned())?;
        let took = began.elapsed();
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        ensure!(answer.status.is_success(), "{path}: {}: {text}", answer.status);
        let value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        Ok((took, value))
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |b| {
                if b.is_ascii_alphanumeric() {
                    (b as char).to_string()
                } else {
                    format!("%{b:02X}")
                }
            },
        )
        .collect()
}
