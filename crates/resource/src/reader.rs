//! Reads every kubelet on its own clock.
//!
//! One task knows when each node is due (a place within the resolution that its name decides, so that
//! reads spread evenly); reads are tasks of their own, as many at a time as allowed. Nodes that took too
//! long last time wait in a lane of their own, so that a hundred hanging kubelets delay nobody else.
//! Never here: what readings mean ([`Store`] decides), and who may ask for them.

mod failure;
mod kubelet;
mod meters;
mod rounds;

pub use failure::{Failure, Reason};
pub use kubelet::NodeState;

use crate::{ContainerSample, Error, Store};
use cluster::{AddressType, Credentials, Node, NodeCache};
use http::client::{Believe, Limits, Material, Tls};
use kubelet::{Kubelet, Token};
use meters::Meters;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How to read.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often each node is read (`--metric-resolution`).
    pub resolution: Duration,
    /// How long a kubelet may take (`--kubelet-request-timeout`).
    pub timeout: Duration,
    /// Where kubelets listen (`--kubelet-port`).
    pub port: u16,
    /// What is asked for, unless an annotation of the node says otherwise: `/metrics/resource`, or the path
    /// of a [`summary`](crate::summary).
    pub path: &'static str,
    /// Rather where the node's status says (`--kubelet-use-node-status-port`).
    pub use_node_status_port: bool,
    /// The first of these that a node has is asked (`--kubelet-preferred-address-types`).
    pub address_types: Vec<AddressType>,
    /// Whose certificates are believed (`--kubelet-tls`); `None`: plain HTTP without a token.
    pub believe: Option<Believe>,
    /// The largest answer, in bytes.
    pub max_body_bytes: usize,
    /// Reads at a time; those that took too long last time may be twice as many besides.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            resolution: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            port: 10250,
            path: "/metrics/resource",
            use_node_status_port: true,
            address_types: vec![
                AddressType::InternalIp,
                AddressType::ExternalIp,
                AddressType::Hostname,
            ],
            believe: Some(Believe::Verified),
            max_body_bytes: 16 << 20,
            concurrency: 256,
        }
    }
}

/// What speaks for us before kubelets, read anew each time.
pub type Credential = Box<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// Takes every answer, so that nothing is read twice.
pub trait Recorder: Send + Sync + 'static {
    /// A node was asked.
    fn record(&self, node: &Node, round: &Round<'_>);
    /// A node is gone.
    fn gone(&self, node: &str, time_ms: i64);
}

/// One read of a node.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// When it was asked, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// How long it took.
    pub took: Duration,
    /// `10.0.0.7:10250`; empty where the node has no address.
    pub instance: &'a str,
    /// What it was asked for, `/metrics/resource`.
    pub path: &'a str,
    /// The answer in the text format; `None` where there was none.
    pub body: Option<&'a [u8]>,
}

/// Reads all kubelets.
pub struct Reader {
    shared: Arc<Shared>,
}

/// What all reads share.
struct Shared {
    options: Options,
    limits: Limits,
    nodes: NodeCache,
    store: Arc<Store>,
    recorder: Option<Arc<dyn Recorder>>,
    credential: Credential,
    tls: Option<Tls>,
    /// Why there are no credentials, where there are none.
    without: Mutex<Option<String>>,
    token: Token,
    meters: Meters,
    states: Mutex<HashMap<Arc<str>, Arc<Mutex<NodeState>>>>,
    /// Certificates seen first, by the UID of the node.
    pins: Mutex<HashMap<Box<str>, [u8; 32]>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Reader {
    /// A reader of these nodes into `store`.
    ///
    /// # Errors
    /// Where the certificates of `credential` are none.
    pub fn new(
        options: Options,
        nodes: NodeCache,
        store: Arc<Store>,
        credential: Credential,
        recorder: Option<Arc<dyn Recorder>>,
    ) -> Result<Reader, Error> {
        let now = credential();
        let without = now.as_ref().err().cloned();
        let now = now.unwrap_or_default();
        let token = Token::default();
        token.set(now.token.as_deref());
        let tls = match options.believe {
            None => None,
            Some(believe) => {
                let material = material(now);
                if believe == Believe::Verified && material.authorities.is_empty() {
                    let unknown = "no certificate authority is known that kubelets' certificates could \
                                   be verified by; name one with --kubelet-certificate-authority";
                    return Err(Error::Credentials(without.unwrap_or_else(|| unknown.into())));
                }
                Some(Tls::given(believe, material)?)
            }
        };
        let limits = Limits {
            connect_timeout: options.timeout,
            timeout: options.timeout,
            max_body_bytes: options.max_body_bytes,
            ..Limits::default()
        };
        let shared = Shared {
            limits,
            nodes,
            store,
            recorder,
            credential,
            tls,
            without: Mutex::new(without),
            token,
            meters: Meters::default(),
            states: Mutex::default(),
            pins: Mutex::default(),
            buffers: Mutex::default(),
            options,
        };
        Ok(Reader { shared: Arc::new(shared) })
    }

    /// Reads for ever.
    pub async fn run(&self) {
        let looking = self.keep_credentials();
        let reading = rounds::run(self.shared.clone());
        tokio::join!(looking, reading);
    }

    /// Looks for another token and other certificates again and again.
    async fn keep_credentials(&self) {
        const LOOK_EVERY: Duration = Duration::from_secs(10);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let shared = self.shared.clone();
            let looked = tokio::task::spawn_blocking(move || shared.look_at_credentials());
            if let Err(error) = looked.await {
                tracing::error!(%error, "cannot look at the credentials for kubelets");
            }
        }
    }

    /// How a node fares; `None` for one that is not read.
    pub fn node(&self, name: &str) -> Option<NodeState> {
        let state = lock(&self.shared.states).get(name)?.clone();
        let state = lock(&state).clone();
        Some(state)
    }

    /// What kubelets are asked for where no annotation says otherwise.
    pub fn path(&self) -> &'static str {
        self.shared.options.path
    }

    /// The certificates that were seen first, by the UID of the node.
    pub fn pins(&self) -> Vec<(Box<str>, [u8; 32])> {
        let mut pins: Vec<_> =
            lock(&self.shared.pins).iter().map(|(u, p)| (u.clone(), *p)).collect();
        pins.sort();
        pins
    }

    /// Takes over what [`Reader::pins`] gave, before the first read.
    pub fn restore_pins(&self, pins: impl IntoIterator<Item = (Box<str>, [u8; 32])>) {
        lock(&self.shared.pins).extend(pins);
    }

    /// Whether reads happen when they are due; the reason where they do not.
    pub fn timely(&self) -> Result<(), String> {
        self.shared.meters.timely(self.shared.options.resolution)
    }

    /// Whether there is something to serve: a node and a pod were read twice. The reason where not
    /// names a node and what is wrong with it.
    pub fn ready(&self) -> Result<(), String> {
        let counts = self.shared.store.view().counts();
        if counts.nodes > 0 && counts.containers > 0 {
            return Ok(());
        }
        let states = lock(&self.shared.states);
        let failed = states.iter().find_map(|(name, state)| {
            let state = lock(state);
            state.failure.as_ref().map(|failure| format!("node {name}: {failure}"))
        });
        let nodes = states.len();
        Err(match failed {
            Some(failed) => format!("no metrics to serve; {failed}"),
            None if nodes == 0 => "no metrics to serve: no node is known".into(),
            None => format!("no metrics to serve: {nodes} nodes were not read twice yet"),
        })
    }

    /// Takes note that an answer was given whose values were `age_ns` old.
    pub fn served(&self, age_ns: i64) {
        self.shared.meters.served(age_ns);
    }

    /// Writes metrics-server's own families, and ours.
    pub fn write_families(&self, sink: &mut dyn model::Sink) {
        meters::write(&self.shared, sink);
    }
}

impl Shared {
    fn look_at_credentials(&self) {
        let outcome = (self.credential)().and_then(|now| {
            self.token.set(now.token.as_deref());
            let material = material(now);
            match &self.tls {
                Some(tls) => tls.give(material).map_err(|e| e.to_string()),
                None => Ok(false),
            }
        });
        let mut without = lock(&self.without);
        match outcome {
            Ok(changed) => {
                if changed {
                    tracing::info!("took over changed certificates for kubelets");
                }
                *without = None;
            }
            Err(error) => {
                if without.as_deref() != Some(&error) {
                    tracing::warn!(error, "keeping the old credentials for kubelets");
                }
                *without = Some(error);
            }
        }
    }

    fn kubelet(&self, node: &Node) -> Kubelet {
        let pin = lock(&self.pins).get(&node.uid).copied();
        let kubelet = Kubelet::new(node, pin);
        lock(&self.states).insert(node.name.clone(), kubelet.state());
        kubelet
    }

    fn forget(&self, name: &str) {
        lock(&self.states).remove(name);
        self.store.remove(name);
        if let Some(recorder) = &self.recorder {
            recorder.gone(name, kubelet::now_ns() / 1_000_000);
        }
    }

    /// A buffer for an answer.
    fn buffer(&self) -> Vec<u8> {
        lock(&self.buffers).pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        /// One huge answer does not keep its memory.
        const KEPT_MAX: usize = 256 << 10;
        let mut buffers = lock(&self.buffers);
        if buffer.capacity() <= KEPT_MAX && buffers.len() < 16 {
            buffers.push(buffer);
        }
    }
}

fn material(credentials: Credentials) -> Material {
    Material {
        authorities: credentials.authorities.unwrap_or_default(),
        identity: credentials.certificate.unwrap_or_default(),
    }
}

/// Locks, also after a panic elsewhere: what these mutexes guard is consistent at every point.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The containers of a reading that were not measured whole, `namespace/pod/container`.
fn broken(containers: &[ContainerSample<'_>]) -> Vec<String> {
    /// For people; more would not be read.
    const SHOWN: usize = 16;
    let broken = containers.iter().filter(|c| !c.sample.is_whole());
    broken.take(SHOWN).map(|c| format!("{}/{}/{}", c.namespace, c.pod, c.container)).collect()
}
