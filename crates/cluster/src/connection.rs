//! The connection to the API server: from the service account in a pod, or from a kubeconfig.
//!
//! Tokens are read again by the client as they are renewed; the certificate authority and the rest
//! of the configuration are compared by content, and the client is made anew when they changed.

use crate::Error;
use arc_swap::ArcSwap;
use k8s_openapi::ByteString;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How often the configuration's files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What others need in order to speak for this program: the reader of kubelets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The cluster's certificate authorities, in PEM form.
    pub authorities: Option<Vec<u8>>,
    /// The bearer token.
    pub token: Option<String>,
    /// A client certificate and its key, in PEM form.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("authorities", &self.authorities.as_ref().map(Vec::len))
            .field("token", &self.token.is_some())
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}

/// The client, and where it came from.
pub(crate) struct Connection {
    origin: Origin,
    client: ArcSwap<kube::Client>,
    /// The files' content when the client was made.
    seen: Mutex<Vec<Vec<u8>>>,
}

enum Origin {
    Pod,
    /// A file, and the context where it is not the current one.
    Kubeconfig(PathBuf, Option<String>),
    /// A test's transport.
    #[cfg(test)]
    Given,
}

impl Connection {
    pub(crate) async fn open(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Connection, Error> {
        let origin = match kubeconfig {
            Some(path) => Origin::Kubeconfig(path.to_owned(), context.map(str::to_owned)),
            None => Origin::Pod,
        };
        let (client, seen) = origin.connect().await?;
        Ok(Connection { origin, client: ArcSwap::from_pointee(client), seen: Mutex::new(seen) })
    }

    #[cfg(test)]
    pub(crate) fn given(client: kube::Client) -> Connection {
        Connection {
            origin: Origin::Given,
            client: ArcSwap::from_pointee(client),
            seen: Mutex::default(),
        }
    }

    /// The newest client.
    pub(crate) fn client(&self) -> kube::Client {
        kube::Client::clone(&self.client.load())
    }

    /// What speaks for this program.
    pub(crate) fn credentials(&self) -> Result<Credentials, Error> {
        self.origin.credentials()
    }

    /// Takes over changed files, for ever.
    pub(crate) async fn keep_fresh(self: Arc<Connection>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Ok(now) = self.origin.files() else { continue };
            if now == *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
                continue;
            }
            match self.origin.connect().await {
                Ok((client, seen)) => {
                    self.client.store(Arc::new(client));
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                    tracing::info!("took over the changed configuration of the API server");
                }
                Err(error) => {
                    tracing::error!(%error, "cannot take over the changed configuration of the API server");
                    // Said once for each change.
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
                }
            }
        }
    }
}

impl Origin {
    async fn connect(&self) -> Result<(kube::Client, Vec<Vec<u8>>), Error> {
        let seen = self.files()?;
        let mut config = match self {
            Origin::Pod => Config::incluster().map_err(|e| Error::NoPod(e.to_string()))?,
            Origin::Kubeconfig(path, context) => {
                let wrong = |e: kube::config::KubeconfigError| Error::Kubeconfig {
                    path: path.clone(),
                    why: with_causes(&e),
                };
                let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
                let context = context.clone();
                let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(wrong)?
            }
            #[cfg(test)]
            Origin::Given => return Err(Error::NoPod("a test's transport".into())),
        };
        config.connect_timeout = Some(CONNECT);
        // Each request has a time limit of its own.
        config.read_timeout = None;
        let server = config.cluster_url.to_string();
        let client = kube::Client::try_from(config).map_err(|e| Error::api(&server, e))?;
        Ok((client, seen))
    }

    /// The files whose change makes another client necessary.
    fn files(&self) -> Result<Vec<Vec<u8>>, Error> {
        match self {
            Origin::Pod => {
                let path = Path::new(SERVICE_ACCOUNT).join("ca.crt");
                Ok(vec![
                    std::fs::read(&path)
                        .map_err(|e| Error::NoPod(format!("{}: {e}", path.display())))?,
                ])
            }
            Origin::Kubeconfig(path, _) => {
                let wrong = |why: String| Error::Kubeconfig { path: path.clone(), why };
                let text = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
                let kubeconfig = Kubeconfig::read_from(path).map_err(|e| wrong(with_causes(&e)))?;
                let mut files = vec![text];
                let clusters = kubeconfig.clusters.iter().filter_map(|c| c.cluster.as_ref());
                let users = kubeconfig.auth_infos.iter().filter_map(|u| u.auth_info.as_ref());
                let named = clusters.filter_map(|c| c.certificate_authority.clone()).chain(
                    users.flat_map(|u| {
                        [u.client_certificate.clone(), u.client_key.clone()].into_iter().flatten()
                    }),
                );
                files.extend(named.map(|file| std::fs::read(file).unwrap_or_default()));
                Ok(files)
            }
            #[cfg(test)]
            Origin::Given => Ok(Vec::new()),
        }
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        match self {
            Origin::Pod => {
                let read = |name: &str| {
                    let path = Path::new(SERVICE_ACCOUNT).join(name);
                    std::fs::read(&path)
                        .map_err(|e| Error::NoPod(format!("{}: {e}", path.display())))
                };
                let token = String::from_utf8_lossy(&read("token")?).trim().to_owned();
                Ok(Credentials {
                    authorities: Some(read("ca.crt")?),
                    token: Some(token),
                    certificate: None,
                })
            }
            Origin::Kubeconfig(path, context) => from_kubeconfig(path, context.as_deref()),
            #[cfg(test)]
            Origin::Given => Ok(Credentials::default()),
        }
    }
}

fn from_kubeconfig(path: &Path, context: Option<&str>) -> Result<Credentials, Error> {
    let wrong = |why: String| Error::Kubeconfig { path: path.to_owned(), why };
    let config = Kubeconfig::read_from(path).map_err(|e| wrong(with_causes(&e)))?;
    let current = context.map(str::to_owned).or(config.current_context.clone());
    let current = current.unwrap_or_default();
    let context = config.contexts.iter().find(|c| c.name == current);
    let context = context
        .and_then(|c| c.context.as_ref())
        .ok_or_else(|| wrong(format!("has no context {current:?}, which is its current one")))?;
    let cluster = config.clusters.iter().find(|c| c.name == context.cluster);
    let user = config.auth_infos.iter().find(|u| Some(&u.name) == context.user.as_ref());
    let data = |file: Option<&String>, inline: Option<&str>| match (inline, file) {
        (Some(text), _) => decode_base64(text)
            .map(Some)
            .ok_or_else(|| wrong("holds data that is not base64".to_owned())),
        (None, Some(file)) => {
            std::fs::read(file).map(Some).map_err(|e| wrong(format!("names {file}: {e}")))
        }
        (None, None) => Ok(None),
    };
    let mut credentials = Credentials::default();
    if let Some(cluster) = cluster.and_then(|c| c.cluster.as_ref()) {
        let inline = cluster.certificate_authority_data.as_deref();
        credentials.authorities = data(cluster.certificate_authority.as_ref(), inline)?;
    }
    if let Some(user) = user.and_then(|u| u.auth_info.as_ref()) {
        use secrecy::ExposeSecret;
        let certificate =
            data(user.client_certificate.as_ref(), user.client_certificate_data.as_deref())?;
        let key = user.client_key_data.as_ref().map(|s| s.expose_secret());
        let key = data(user.client_key.as_ref(), key)?;
        credentials.certificate = certificate.zip(key);
        credentials.token = match (&user.token, &user.token_file) {
            (_, Some(file)) => {
                let text = std::fs::read_to_string(file);
                Some(text.map_err(|e| wrong(format!("names {file}: {e}")))?.trim().to_owned())
            }
            (Some(token), None) => Some(token.expose_secret().to_owned()),
            (None, None) => None,
        };
    }
    Ok(credentials)
}

/// Standard base64, as Kubernetes' API writes bytes.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = serde_json::Value::String(text.split_ascii_whitespace().collect());
    serde_json::from_value::<ByteString>(text).ok().map(|b| b.0)
}

/// Standard base64.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    let text = serde_json::to_value(ByteString(bytes.to_owned())).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}

/// An error with what caused it, in one line.
pub(crate) fn explain(error: &Error) -> String {
    with_causes(error)
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
