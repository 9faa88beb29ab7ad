//! Which resources the API has: plural and singular names, groups, whether in namespaces.
//!
//! Read by discovery (`/api`, `/apis`), again every ten minutes and, at most each half minute, where
//! somebody asks for one that is unknown.

use crate::Error;
use crate::connection::{Connection, explain};
use crate::selector::Selector;
use crate::watch::{Meta, escape};
use axum::http::{Request, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResourceList};
use serde::de::DeserializeOwned;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceKind {
    /// Empty for the core group.
    pub group: String,
    /// The group's preferred version.
    pub version: String,
    /// `pods`
    pub plural: String,
    /// `pod`
    pub singular: String,
    /// `Pod`
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// The kinds of objects; clones share them.
#[derive(Clone, Default)]
pub struct Resources(Arc<Shared>);

#[derive(Default)]
struct Shared {
    kinds: RwLock<Arc<Vec<ResourceKind>>>,
    wanted: tokio::sync::Notify,
}

impl std::fmt::Debug for Resources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resources").field("kinds", &self.all().len()).finish()
    }
}

impl Resources {
    /// Exactly these, for who has no API server.
    pub fn holding(kinds: Vec<ResourceKind>) -> Resources {
        let resources = Resources::default();
        resources.replace(kinds);
        resources
    }

    fn replace(&self, kinds: Vec<ResourceKind>) {
        *self.0.kinds.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(kinds);
    }

    /// All of them: the core group first, then as the API server lists them.
    pub fn all(&self) -> Arc<Vec<ResourceKind>> {
        self.0.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The kind with this plural or singular name, in a group where one is given. An unknown one
    /// makes discovery look again soon.
    pub fn find(&self, group: Option<&str>, name: &str) -> Option<ResourceKind> {
        let all = self.all();
        let in_group = |k: &&ResourceKind| group.is_none_or(|g| k.group == g);
        let named = |k: &&ResourceKind| k.plural == name || k.singular == name;
        let found = all.iter().filter(in_group).find(named).cloned();
        if found.is_none() {
            self.0.wanted.notify_one();
        }
        found
    }

    /// Keeps them fresh, for ever.
    pub(crate) async fn follow(self, connection: Arc<Connection>) {
        const AGAIN: Duration = Duration::from_secs(600);
        const AT_MOST_EACH: Duration = Duration::from_secs(30);
        const AFTER_FAILURE: Duration = Duration::from_secs(5);
        loop {
            let begun = Instant::now();
            match discover(&connection).await {
                Ok(kinds) => {
                    self.replace(kinds);
                    let _ = tokio::time::timeout(AGAIN, self.0.wanted.notified()).await;
                    tokio::time::sleep(AT_MOST_EACH.saturating_sub(begun.elapsed())).await;
                }
                Err(error) => {
                    tracing::debug!("discovery of resources failed: {}", explain(&error));
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}

async fn discover(connection: &Connection) -> Result<Vec<ResourceKind>, Error> {
    let mut kinds = Vec::new();
    read_group(connection, "/api/v1", "", "v1", &mut kinds).await?;
    let groups: APIGroupList = get(connection, "/apis").await?;
    for group in groups.groups {
        let preferred = group.preferred_version.or_else(|| group.versions.into_iter().next());
        let Some(version) = preferred.map(|v| v.version) else { continue };
        let path = format!("/apis/{}/{version}", group.name);
        // An aggregated API that is down takes no other group with it.
        if let Err(error) = read_group(connection, &path, &group.name, &version, &mut kinds).await {
            tracing::debug!("discovery: {}", explain(&error));
        }
    }
    Ok(kinds)
}

async fn read_group(
    connection: &Connection,
    path: &str,
    group: &str,
    version: &str,
    kinds: &mut Vec<ResourceKind>,
) -> Result<(), Error> {
    let list: APIResourceList = get(connection, path).await?;
    let whole = list.resources.into_iter().filter(|r| !r.name.contains('/'));
    kinds.extend(whole.map(|r| ResourceKind {
        group: group.to_owned(),
        version: version.to_owned(),
        singular: match r.singular_name.is_empty() {
            true => r.kind.to_ascii_lowercase(),
            false => r.singular_name,
        },
        plural: r.name,
        kind: r.kind,
        namespaced: r.namespaced,
    }));
    Ok(())
}

async fn get<T: DeserializeOwned>(connection: &Connection, path: &str) -> Result<T, Error> {
    get_as(connection, path, "application/json").await
}

async fn get_as<T: DeserializeOwned>(
    connection: &Connection,
    path: &str,
    accept: &'static str,
) -> Result<T, Error> {
    let mut request = Request::new(Vec::new());
    request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static(accept));
    *request.uri_mut() = path.parse().unwrap_or_default();
    let client = connection.client();
    let answer = tokio::time::timeout(TIMEOUT, client.request(request)).await;
    answer.map_err(|_| Error::Silent(path.to_owned()))?.map_err(|e| Error::api(path, e))
}

/// The names of objects, as [`crate::Cluster::names`] gives them.
pub(crate) async fn names(
    connection: &Connection,
    kind: &ResourceKind,
    namespace: Option<&str>,
    selector: &Selector,
) -> Result<Vec<String>, Error> {
    let ResourceKind { group, version, plural, .. } = kind;
    let mut path = match group.is_empty() {
        true => format!("/api/{version}"),
        false => format!("/apis/{group}/{version}"),
    };
    if let Some(namespace) = namespace {
        path.push_str(&format!("/namespaces/{}", escape(namespace)));
    }
    let selected = escape(&selector.to_string());
    path.push_str(&format!("/{plural}?labelSelector={selected}"));
    let list: NamedList = get_as(
        connection,
        &path,
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    )
    .await?;
    Ok(list.items.into_iter().map(|i| i.metadata.name).collect())
}

#[derive(serde::Deserialize)]
struct NamedList {
    items: Vec<Named>,
}

#[derive(serde::Deserialize)]
struct Named {
    metadata: Meta,
}
