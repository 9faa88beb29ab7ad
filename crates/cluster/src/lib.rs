//! The API server: its client, watches with one cache each, who is allowed what, and the
//! certificates of our own aggregated API.
//!
//! Never here: what is measured, and what is answered. No type of the client libraries leaves this
//! crate; it is the only one that links them. The behaviour followed is that of
//! `k8s.io/apiserver` and `client-go` where they have one.

#![forbid(unsafe_code)]

mod access;
mod api_service;
mod authority;
mod cache;
mod connection;
mod expiring;
mod labels;
mod node;
mod pod;
pub mod quantity;
mod raw;
mod resources;
mod review;
mod scraped;
mod selector;
mod serving;
mod trust;
mod user;
mod watch;

#[cfg(test)]
mod tests;

pub use access::Authentication;
pub use api_service::ApiService;
pub use authority::Lifetimes;
pub use cache::{Cache, Contact, NodeCache, Object, PodCache};
pub use connection::Credentials;
pub use labels::Labels;
pub use node::{AddressType, Node, Resources};
pub use pod::{Owner, Pod, Uid};
pub use resources::{ResourceKind, Resources as KnownResources};
pub use review::{Attributes, Decision};
pub use scraped::{EndpointSlice, PodAddress, Service};
pub use selector::{FieldError, FieldSelector, Requirement, Selector, SelectorError, Test};
pub use serving::Serving;
pub use user::User;
pub use watch::escape;

use arc_swap::ArcSwap;
use connection::Connection;
use review::Reviews;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::task::JoinSet;
use trust::{ConfigMap, Trust};
use watch::{Kept, Source};

/// What went wrong with the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in a pod, and no kubeconfig.
    #[error(
        "cannot find the API server: {0}. Outside a pod give a kubeconfig: --kubeconfig ~/.kube/config"
    )]
    NoPod(String),
    /// The kubeconfig.
    #[error("{path}: {why}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The API server refused, or could not be asked.
    #[error("{what}: {why}")]
    Api {
        /// What was asked.
        what: String,
        /// The answer, or why there is none.
        why: String,
        /// The HTTP status; 0 where there was no answer.
        code: u16,
    },
    /// It took too long.
    #[error("{0}: the API server did not answer in time")]
    Silent(String),
}

impl Error {
    fn api(what: &str, error: kube::Error) -> Error {
        let (why, code) = match &error {
            kube::Error::Api(status) => (status.message.clone(), status.code),
            other => (connection::with_causes(other), 0),
        };
        Error::Api { what: what.to_owned(), why, code }
    }
}

/// The API server as this program sees it. Clones share everything; the watches end with the last.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    connection: Arc<Connection>,
    tasks: Mutex<JoinSet<()>>,
    nodes: OnceLock<NodeCache>,
    pods: OnceLock<PodCache>,
    resources: OnceLock<KnownResources>,
    pod_addresses: OnceLock<Cache<PodAddress>>,
    services: OnceLock<Cache<Service>>,
    endpoint_slices: OnceLock<Cache<EndpointSlice>>,
    reviews: Reviews,
    trust: OnceLock<Arc<ArcSwap<Trust>>>,
    trust_cache: OnceLock<Cache<ConfigMap>>,
    api_services: OnceLock<Vec<Cache<ApiService>>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the configuration: the kubeconfig, or in a pod the service account's. The API server
    /// need not be there yet.
    ///
    /// # Errors
    /// Where the configuration is missing or wrong.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Cluster, Error> {
        Cluster::connect_to(kubeconfig, None).await
    }

    /// The same, by another context of the kubeconfig than its current one.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn connect_to(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Cluster, Error> {
        let connection = Arc::new(Connection::open(kubeconfig, context).await?);
        let cluster = Cluster::over(connection.clone());
        cluster.spawn(connection.keep_fresh());
        Ok(cluster)
    }

    fn over(connection: Arc<Connection>) -> Cluster {
        Cluster(Arc::new(Inner {
            reviews: Reviews::new(connection.clone()),
            connection,
            tasks: Mutex::default(),
            nodes: OnceLock::new(),
            pods: OnceLock::new(),
            resources: OnceLock::new(),
            pod_addresses: OnceLock::new(),
            services: OnceLock::new(),
            endpoint_slices: OnceLock::new(),
            trust: OnceLock::new(),
            trust_cache: OnceLock::new(),
            api_services: OnceLock::new(),
        }))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    fn watch<T: Kept>(&self, source: Source) -> Cache<T> {
        let cache = Cache::default();
        let connection = self.0.connection.clone();
        self.spawn(watch::run(connection, source, cache.clone(), watch::BACK_OFF));
        cache
    }

    /// The nodes that `selector` selects; the first call begins the watch, and its selector holds.
    pub fn nodes(&self, selector: &Selector) -> NodeCache {
        let source = || Source {
            path: "/api/v1/nodes".into(),
            labels: selector.to_string(),
            ..Source::default()
        };
        self.0.nodes.get_or_init(|| self.watch(source())).clone()
    }

    /// The running pods, by their metadata; the first call begins the watch.
    pub fn pods(&self) -> PodCache {
        let source = || Source {
            path: "/api/v1/pods".into(),
            fields: "status.phase=Running".into(),
            metadata_only: true,
            ..Source::default()
        };
        self.0.pods.get_or_init(|| self.watch(source())).clone()
    }

    /// Which kinds of objects there are; the first call begins to ask.
    pub fn resources(&self) -> KnownResources {
        let begin = || {
            let resources = KnownResources::default();
            self.spawn(resources.clone().follow(self.0.connection.clone()));
            resources
        };
        self.0.resources.get_or_init(begin).clone()
    }

    /// The running pods with their addresses, ports and images; the first call begins the watch.
    pub fn pod_addresses(&self) -> Cache<PodAddress> {
        let source = || Source {
            path: "/api/v1/pods".into(),
            fields: "status.phase=Running".into(),
            ..Source::default()
        };
        self.0.pod_addresses.get_or_init(|| self.watch(source())).clone()
    }

    /// The services; the first call begins the watch.
    pub fn services(&self) -> Cache<Service> {
        let source =
            || Source { path: "/api/v1/services".into(), metadata_only: true, ..Source::default() };
        self.0.services.get_or_init(|| self.watch(source())).clone()
    }

    /// The addresses behind services; the first call begins the watch.
    pub fn endpoint_slices(&self) -> Cache<EndpointSlice> {
        let path = "/apis/discovery.k8s.io/v1/endpointslices".into();
        let source = || Source { path, ..Source::default() };
        self.0.endpoint_slices.get_or_init(|| self.watch(source())).clone()
    }

    /// The names of the objects of a kind that `selector` selects, asked of the API server.
    ///
    /// # Errors
    /// Where it does not answer, or does not let us list them.
    pub async fn names(
        &self,
        kind: &ResourceKind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<String>, Error> {
        resources::names(&self.0.connection, kind, namespace, selector).await
    }

    /// An object or a list, as the API server writes it in JSON.
    ///
    /// # Errors
    /// Where the API server refuses, or gives no answer within 30 s.
    pub async fn get(&self, path: &str) -> Result<serde_json::Value, Error> {
        const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
        let wrong = |why: String| Error::Api { what: path.to_owned(), why, code: 0 };
        let mut request = axum::http::Request::new(Vec::new());
        *request.uri_mut() = path.parse().map_err(|e| wrong(format!("no path: {e}")))?;
        let client = self.0.connection.client();
        let text = tokio::time::timeout(TIMEOUT, client.request_text(request)).await;
        let text =
            text.map_err(|_| Error::Silent(path.to_owned()))?.map_err(|e| Error::api(path, e))?;
        serde_json::from_str(&text).map_err(|e| wrong(format!("not JSON: {e}")))
    }

    /// The namespace of the kubeconfig's context, or of the pod.
    pub fn namespace(&self) -> String {
        self.0.connection.client().default_namespace().to_owned()
    }

    /// What speaks for this program, read anew: the cluster's certificate authorities and the
    /// service account's token, or what the kubeconfig has in their place.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn credentials(&self) -> Result<Credentials, Error> {
        self.0.connection.credentials()
    }
}
