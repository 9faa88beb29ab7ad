//! Keeps the listener's identity: our certificate authority and serving certificate in one Secret,
//! which replicas share, and the authority in the APIServices that point to us.
//!
//! Replicas may find the Secret empty at the same time. Each writes what it made, on the condition
//! that nobody wrote meanwhile (`resourceVersion`); who loses takes what the other made.

use crate::Error;
use crate::api_service::{self, ApiService};
use crate::authority::{self, Data, Lifetimes};
use crate::cache::Cache;
use crate::connection::{Connection, decode_base64, encode_base64, explain};
use crate::trust::{Secret, Trust};
use crate::watch::Source;
use arc_swap::ArcSwap;
use axum::http::{Method, Request, header};
use rustls::pki_types::UnixTime;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the API server may take for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After something failed.
const RETRY: Duration = Duration::from_secs(2);
/// How often a look is taken at what others changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// As whom the server serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The namespace of Secret and Service.
    pub namespace: String,
    /// The Secret, which has to be there, and may be empty.
    pub secret: String,
    /// The Service that points to us.
    pub service: String,
    /// The APIServices that may be ours.
    pub api_services: Vec<String>,
    /// How long certificates hold.
    pub lifetimes: Lifetimes,
}

impl Serving {
    /// The names that the certificate is made out for; the aggregator verifies the first.
    fn names(&self) -> Vec<String> {
        let Serving { namespace, service, .. } = self;
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            service.clone(),
            "localhost".into(),
            "127.0.0.1".into(),
        ]
    }
}

pub(crate) struct Keeper {
    pub(crate) connection: Arc<Connection>,
    pub(crate) serving: Serving,
    pub(crate) identity: http::Identity,
    pub(crate) trust: Arc<ArcSwap<Trust>>,
    pub(crate) secret: Cache<Secret>,
    pub(crate) api_services: Vec<Cache<ApiService>>,
}

/// What the keeper is doing, so that something is said only once.
#[derive(Default)]
struct State {
    presented: Data,
    asked: Option<Arc<Trust>>,
    /// Made by ourselves, where there is no Secret.
    own: Data,
    complaint: String,
}

impl Keeper {
    /// The watch that wakes the keeper when the Secret changes.
    pub(crate) fn secret_source(serving: &Serving) -> Source {
        Source {
            path: format!("/api/v1/namespaces/{}/secrets", serving.namespace).into(),
            fields: format!("metadata.name={}", serving.secret),
            metadata_only: true,
            ..Source::default()
        }
    }

    /// The watch of one APIService.
    pub(crate) fn api_service_source(name: &str) -> Source {
        Source {
            path: api_service::PATH.into(),
            fields: format!("metadata.name={name}"),
            ..Source::default()
        }
    }

    /// Keeps everything as it should be, for ever.
    pub(crate) async fn run(self) {
        let mut state = State::default();
        loop {
            // Taken before the look, so that no change behind it is missed.
            let generations = self.generations();
            let (wait, failed) = match self.step(&mut state, UnixTime::now()).await {
                Ok(()) => (authority::look_again(&state.presented, &self.serving.lifetimes), false),
                Err(error) => {
                    let why = explain(&error);
                    if why != state.complaint {
                        tracing::error!("the serving certificate: {why}");
                        state.complaint = why;
                    }
                    (RETRY, true)
                }
            };
            let changed = async {
                loop {
                    // Before the first look, too: whatever goes on, no API server is asked all the time.
                    tokio::time::sleep(LOOK_EVERY).await;
                    // The trust may change without a watch of ours. What failed may not have come to it.
                    if self.generations() != generations || !failed && self.must_ask(&state) {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(wait, changed).await;
        }
    }

    fn generations(&self) -> Vec<u64> {
        let services = self.api_services.iter().map(Cache::generation);
        services.chain([self.secret.generation()]).collect()
    }

    fn must_ask(&self, state: &State) -> bool {
        state.asked.as_ref().is_none_or(|asked| !Arc::ptr_eq(asked, &self.trust.load()))
    }

    async fn step(&self, state: &mut State, now: UnixTime) -> Result<(), Error> {
        let trust = self.trust.load_full();
        let data = self.data(state, now).await?;
        let ours = |what: &str, why: String| Error::Api { what: what.into(), why, code: 0 };
        if data != state.presented {
            let part = |key: &str| data.get(key).map(Vec::as_slice).unwrap_or_default();
            self.identity
                .present(part("tls.crt"), part("tls.key"))
                .map_err(|e| ours("the Secret", e.to_string()))?;
            tracing::info!("presenting the serving certificate of {}", self.serving.names()[0]);
            state.presented = data;
        }
        if self.must_ask(state) {
            let all = [trust.proxy_authorities.as_slice(), &trust.client_authorities].concat();
            self.identity
                .ask_for(&all)
                .map_err(|e| ours("the cluster's client authorities", e.to_string()))?;
            state.asked = Some(trust);
        }
        self.register(state.presented.get("ca.crt").map(Vec::as_slice).unwrap_or_default()).await?;
        state.complaint.clear();
        Ok(())
    }

    /// What the Secret holds, after it was renewed where that was due.
    async fn data(&self, state: &mut State, now: UnixTime) -> Result<Data, Error> {
        let Serving { namespace, secret, .. } = &self.serving;
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
        for _ in 0..5 {
            let mut object = match self.send(Method::GET, &path, "", None).await {
                Ok(object) => object,
                Err(Error::Api { code: 404, .. }) => return self.own(state, now),
                Err(error) => return Err(error),
            };
            let data = read(&object);
            let Some(new) = self.renewed(&data, now)? else { return Ok(data) };
            let fields = new.iter().map(|(key, value)| (key, encode_base64(value)));
            if !object["data"].is_object() {
                object["data"] = json!({});
            }
            for (key, value) in fields {
                object["data"][key] = value.into();
            }
            // The object carries the version that was read: the server refuses it after another write.
            match self.send(Method::PUT, &path, "application/json", Some(&object)).await {
                Ok(_) => return Ok(new),
                Err(Error::Api { code: 409, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let why = "others write it all the time".to_owned();
        Err(Error::Api { what: path, why, code: 409 })
    }

    /// Without a Secret: certificates that live as long as the program.
    fn own(&self, state: &mut State, now: UnixTime) -> Result<Data, Error> {
        if state.own.is_empty() {
            let Serving { namespace, secret, .. } = &self.serving;
            tracing::warn!(
                "there is no Secret {namespace}/{secret}: the certificate authority is made anew \
                 at each start, and a second replica would have another"
            );
        }
        if let Some(new) = self.renewed(&state.own, now)? {
            state.own = new;
        }
        Ok(state.own.clone())
    }

    fn renewed(&self, data: &Data, now: UnixTime) -> Result<Option<Data>, Error> {
        let Serving { lifetimes, .. } = &self.serving;
        authority::renew(data, &self.serving.names(), now, lifetimes).map_err(|why| Error::Api {
            what: "making a certificate".into(),
            why,
            code: 0,
        })
    }

    /// Writes the authorities into the APIServices that point to us.
    async fn register(&self, bundle: &[u8]) -> Result<(), Error> {
        let Serving { namespace, service, .. } = &self.serving;
        let us = Some((namespace.clone(), service.clone()));
        let mut failed = None;
        for found in self.api_services.iter().flat_map(Cache::all) {
            if found.service != us || (found.ca_bundle == bundle && !found.insecure) {
                continue;
            }
            let patch = json!({"spec": {
                "caBundle": encode_base64(bundle), "insecureSkipTLSVerify": false,
            }});
            let path = format!("{}/{}?fieldManager=kubevigil", api_service::PATH, found.name);
            let kind = "application/merge-patch+json";
            match self.send(Method::PATCH, &path, kind, Some(&patch)).await {
                Ok(_) => {
                    tracing::info!("wrote our certificate authority into APIService {}", found.name)
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let what = format!("{method} {path}");
        let mut request = Request::builder().method(method).uri(path);
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request
            .body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default())
            .map_err(|e| Error::Api { what: what.clone(), why: e.to_string(), code: 0 })?;
        let client = self.connection.client();
        let text = tokio::time::timeout(TIMEOUT, client.request_text(request)).await;
        let text =
            text.map_err(|_| Error::Silent(what.clone()))?.map_err(|e| Error::api(&what, e))?;
        // The text may hold keys: an error must not.
        serde_json::from_str(&text).map_err(|_| {
            let why = "the answer is not JSON".to_owned();
            Error::Api { what, why, code: 0 }
        })
    }
}

fn read(secret: &Value) -> Data {
    let fields: BTreeMap<String, String> =
        serde_json::from_value(secret["data"].clone()).unwrap_or_default();
    let wanted = fields.into_iter().filter(|(key, _)| authority::KEYS.contains(&key.as_str()));
    wanted.filter_map(|(key, value)| Some((key, decode_base64(&value)?))).collect()
}

impl crate::Cluster {
    /// Gives a listener its identity, and keeps it: certificates of our own in the Secret, renewed
    /// before they expire; the cluster's client authorities as those whose certificates are asked
    /// for; and our authority in the APIServices.
    pub fn serve_as(&self, serving: Serving, identity: http::Identity) {
        let services = serving.api_services.iter();
        let api_services: Vec<Cache<ApiService>> =
            services.map(|name| self.watch(Keeper::api_service_source(name))).collect();
        let _ = self.0.api_services.set(api_services.clone()); // the first call holds
        let keeper = Keeper {
            connection: self.0.connection.clone(),
            secret: self.watch(Keeper::secret_source(&serving)),
            trust: self.trust(),
            serving,
            identity,
            api_services,
        };
        self.spawn(keeper.run());
    }

    /// The APIServices that may be ours, as they are.
    pub fn api_services(&self) -> Vec<Arc<ApiService>> {
        self.0.api_services.get().into_iter().flatten().flat_map(Cache::all).collect()
    }

    /// Whom to believe; the first call begins the watch.
    pub(crate) fn trust(&self) -> Arc<ArcSwap<Trust>> {
        self.0
            .trust
            .get_or_init(|| {
                let (namespace, name) = crate::trust::CONFIG_MAP;
                let source = Source {
                    path: format!("/api/v1/namespaces/{namespace}/configmaps").into(),
                    fields: format!("metadata.name={name}"),
                    ..Source::default()
                };
                let cache = self.watch(source);
                let trust = Arc::new(ArcSwap::from_pointee(Trust::default()));
                self.spawn(follow(cache.clone(), trust.clone()));
                let _ = self.0.trust_cache.set(cache); // set once, here
                trust
            })
            .clone()
    }
}

/// Takes over what the ConfigMap says; while it says nothing that can be read, what it said before.
async fn follow(cache: Cache<crate::trust::ConfigMap>, trust: Arc<ArcSwap<Trust>>) {
    let mut seen = 0;
    loop {
        seen = cache.changed_since(seen).await;
        let Some(map) = cache.all().into_iter().next() else { continue };
        match Trust::read(&map.data) {
            Ok(new) if new != **trust.load() => trust.store(Arc::new(new)),
            Ok(_) => {}
            Err(why) => {
                let (namespace, name) = crate::trust::CONFIG_MAP;
                tracing::error!("ConfigMap {namespace}/{name}: {why}; what it said before holds");
            }
        }
    }
}
