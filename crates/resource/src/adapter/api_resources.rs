//! The resources that the API server knows, as rules need them: singular and plural names, groups,
//! and whether they lie in namespaces.

use std::collections::HashMap;
use std::fmt;

/// A resource of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiResource {
    /// The group; empty for core.
    pub group: String,
    /// The version that the server prefers.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// `deployment`.
    pub singular: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

/// A resource by its plural name and its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// The plural name.
    pub resource: String,
    /// The group; empty for core.
    pub group: String,
}

/// `deployments.apps`, `pods`
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        match self.group.is_empty() {
            true => Ok(()),
            false => write!(f, ".{}", self.group),
        }
    }
}

/// All resources of the API server.
#[derive(Clone, Debug, Default)]
pub struct ApiResources {
    all: Vec<ApiResource>,
    /// Plural, singular and kind in small letters, to places in `all`, the preferred group first.
    by_name: HashMap<String, Vec<usize>>,
}

impl ApiResource {
    /// By plural name and group.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { resource: self.plural.clone(), group: self.group.clone() }
    }

    /// As the API server's client knows it.
    pub fn of_cluster(&self) -> cluster::ResourceKind {
        cluster::ResourceKind {
            group: self.group.clone(),
            version: self.version.clone(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
            singular: self.singular.clone(),
            namespaced: self.namespaced,
        }
    }

    /// `apps/v1`, `v1`
    pub fn api_version(&self) -> String {
        match self.group.is_empty() {
            true => self.version.clone(),
            false => format!("{}/{}", self.group, self.version),
        }
    }
}

impl ApiResources {
    /// From the server's discovery, groups in its order of preference; core goes first.
    pub fn new(mut all: Vec<ApiResource>) -> ApiResources {
        all.sort_by_key(|r| !r.group.is_empty());
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, resource) in all.iter_mut().enumerate() {
            if resource.singular.is_empty() {
                resource.singular = resource.kind.to_lowercase();
            }
            let mut names = [resource.plural.clone(), resource.singular.clone()].to_vec();
            names.push(resource.kind.to_lowercase());
            names.dedup();
            for name in names {
                let places = by_name.entry(name).or_default();
                if places.last() != Some(&at) {
                    places.push(at);
                }
            }
        }
        ApiResources { all, by_name }
    }

    /// What every cluster has, for when the API server cannot be asked: core's resources and the
    /// workloads.
    pub fn well_known() -> ApiResources {
        let known = [
            ("", "v1", "Pod", "pods", true),
            ("", "v1", "Service", "services", true),
            ("", "v1", "Node", "nodes", false),
            ("", "v1", "Namespace", "namespaces", false),
            ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
            ("", "v1", "PersistentVolume", "persistentvolumes", false),
            ("apps", "v1", "Deployment", "deployments", true),
            ("apps", "v1", "StatefulSet", "statefulsets", true),
            ("apps", "v1", "DaemonSet", "daemonsets", true),
            ("apps", "v1", "ReplicaSet", "replicasets", true),
            ("batch", "v1", "Job", "jobs", true),
            ("batch", "v1", "CronJob", "cronjobs", true),
            ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
        ];
        let resource =
            |(group, version, kind, plural, namespaced): (&str, &str, &str, &str, bool)| {
                ApiResource {
                    group: group.into(),
                    version: version.into(),
                    kind: kind.into(),
                    plural: plural.into(),
                    singular: kind.to_lowercase(),
                    namespaced,
                }
            };
        ApiResources::new(known.map(resource).into())
    }

    /// From what discovery found.
    pub fn of_cluster(kinds: &[cluster::ResourceKind]) -> ApiResources {
        let resource = |kind: &cluster::ResourceKind| ApiResource {
            group: kind.group.clone(),
            version: kind.version.clone(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
            singular: kind.singular.clone(),
            namespaced: kind.namespaced,
        };
        ApiResources::new(kinds.iter().map(resource).collect())
    }

    /// All of them.
    pub fn all(&self) -> &[ApiResource] {
        &self.all
    }

    /// The resource that a rule or a path means by a name (plural or singular) and a group; an
    /// empty group is core's or, where core has none of that name, the first that has.
    pub fn find(&self, name: &str, group: &str) -> Option<&ApiResource> {
        let small;
        let places = match self.by_name.get(name) {
            Some(places) => places,
            None => {
                small = name.to_lowercase();
                self.by_name.get(&small)?
            }
        };
        let mut found = places.iter().map(|at| &self.all[*at]);
        match group.is_empty() {
            true => found.next(),
            false => found.find(|r| r.group == group),
        }
    }

    /// The resource that a path means by `deployments.apps` or `pods`.
    pub fn by_path(&self, part: &str) -> Option<&ApiResource> {
        match part.split_once('.') {
            Some((resource, group)) => self.find(resource, group),
            None => self.find(part, ""),
        }
    }
}
