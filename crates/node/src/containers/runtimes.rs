//! Names, images and labels of containers, from what their runtimes leave on disk: docker's
//! config.v2.json, the bundles of containerd's tasks (OCI config.json with the CRI plugin's annotations),
//! the user data of CRI-O and podman, and runc's state.json. No socket, no gRPC.
//!
//! Formats: OCI runtime spec 1.2; moby's container.Container; containerd pkg/cri/annotations; cri-o
//! internal/annotations; runc libcontainer.State.

use super::container::{Kind, Runtime};
use super::identify::Guess;
use crate::Missing;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What a runtime says of one of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub runtime: Option<Runtime>,
    pub kind: Kind,
    pub name: String,
    pub image: String,
    /// As the runtime calls them; served as `container_label_*`.
    pub labels: BTreeMap<String, String>,
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// Whether its interfaces are its own to count: those of a pod are counted at the sandbox.
    pub network: bool,
    /// Whether they are counted also where they are the machine's, as cAdvisor does.
    pub network_of_host: bool,
    /// docker's health check: 1 healthy, 0 not, -1 none.
    pub health: i8,
}

/// What looking for a container came to.
#[derive(Debug)]
pub(super) enum Found {
    Yes(Box<Meta>),
    /// No runtime knows it, or not yet.
    No,
    /// A runtime knows it, and its file cannot be read or understood.
    Unreadable(Missing),
}

/// Where runtimes leave their state.
#[derive(Debug)]
pub(super) struct Runtimes {
    rootfs: PathBuf,
}

/// No state file is longer; one that is is not a runtime's.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Longer label values are cut, and further labels left out, so that one container cannot fill every
/// answer.
const LABEL_BYTES_MAX: usize = 4096;
const LABELS_MAX: usize = 128;

impl Runtimes {
    pub fn new(rootfs: &Path) -> Runtimes {
        Runtimes { rootfs: rootfs.into() }
    }

    /// Looks for a container by its id and the path of its group.
    pub fn find(&self, guess: &Guess, path: &str) -> Found {
        let Some(id) = guess.id.as_deref().filter(|id| is_file_name(id)) else { return Found::No };
        let ways: [fn(&Runtimes, &str, &str) -> Found; 4] =
            [Runtimes::docker, Runtimes::containerd, Runtimes::crio_or_podman, Runtimes::runc];
        let mut unreadable = None;
        for way in ways {
            match way(self, id, path) {
                Found::Yes(meta) => return Found::Yes(meta),
                Found::No => {}
                Found::Unreadable(missing) => unreadable = Some(missing),
            }
        }
        unreadable.map_or(Found::No, Found::Unreadable)
    }

    fn docker(&self, id: &str, _: &str) -> Found {
        let folder = self.rootfs.join("var/lib/docker/containers").join(id);
        let config: DockerConfig = match read(&folder.join("config.v2.json")) {
            Ok(Some(config)) => config,
            Ok(None) => return Found::No,
            Err(missing) => return Found::Unreadable(missing),
        };
        let host: DockerHostConfig =
            read(&folder.join("hostconfig.json")).ok().flatten().unwrap_or_default();
        let health = config.state.health.and_then(|h| h.status);
        Found::Yes(Box::new(Meta {
            runtime: Some(Runtime::Docker),
            kind: Kind::Container,
            name: config.name.trim_start_matches('/').into(),
            image: config.config.image,
            labels: limited(config.config.labels.unwrap_or_default()),
            network: !host.network_mode.starts_with("container:"),
            network_of_host: true,
            health: match health.as_deref() {
                None | Some("" | "none") => -1,
                Some("healthy") => 1,
                Some(_) => 0,
            },
            ..Meta::default()
        }))
    }

    /// containerd's tasks, by whatever namespace: the CRI plugin's, nerdctl's, any other's.
    fn containerd(&self, id: &str, _: &str) -> Found {
        let tasks = self.rootfs.join("run/containerd/io.containerd.runtime.v2.task");
        let mut found = Found::No;
        for namespace in folders(&tasks) {
            match read::<Oci>(&namespace.join(id).join("config.json")) {
                Ok(None) => {}
                Ok(Some(oci)) => return Found::Yes(Box::new(containerd(id, oci))),
                Err(missing) => found = Found::Unreadable(missing),
            }
        }
        found
    }

    fn crio_or_podman(&self, id: &str, _: &str) -> Found {
        let storage = self.rootfs.join("run/containers/storage");
        for driver in folders(&storage) {
            match read::<Oci>(&driver.join(id).join("userdata/config.json")) {
                Ok(None) => {}
                Ok(Some(oci)) if oci.annotations.contains_key("io.kubernetes.cri-o.Name") => {
                    return Found::Yes(Box::new(crio(oci)));
                }
                Ok(Some(_)) => {
                    let driver = driver.file_name().unwrap_or_default();
                    let list = self.rootfs.join("var/lib/containers/storage").join(driver);
                    let list = read::<Vec<Stored>>(&list.join("containers.json"));
                    let stored = list.ok().flatten().unwrap_or_default();
                    let stored = stored.into_iter().find(|c| c.id == id);
                    return Found::Yes(Box::new(podman(id, stored)));
                }
                Err(missing) => return Found::Unreadable(missing),
            }
        }
        Found::No
    }

    /// A container that was started with runc itself.
    fn runc(&self, id: &str, path: &str) -> Found {
        match read::<RuncState>(&self.rootfs.join("run/runc").join(id).join("state.json")) {
            // Another group may have a container's name by chance.
            Ok(Some(state)) if state.cgroup_paths.values().any(|p| p.ends_with(path)) => {
                Found::Yes(Box::new(Meta {
                    runtime: Some(Runtime::Runc),
                    kind: Kind::Container,
                    name: id.into(),
                    network: true,
                    health: -1,
                    ..Meta::default()
                }))
            }
            Ok(_) => Found::No,
            Err(missing) => Found::Unreadable(missing),
        }
    }
}

fn containerd(id: &str, mut oci: Oci) -> Meta {
    let mut take = |key: &str| oci.annotations.remove(key).unwrap_or_default();
    let kind = take("io.kubernetes.cri.container-type");
    let mut meta = Meta {
        runtime: Some(Runtime::Containerd),
        kind: if kind == "sandbox" { Kind::Sandbox } else { Kind::Container },
        name: id.into(),
        namespace: take("io.kubernetes.cri.sandbox-namespace"),
        pod: take("io.kubernetes.cri.sandbox-name"),
        container: take("io.kubernetes.cri.container-name"),
        network: kind != "container",
        network_of_host: kind == "sandbox",
        health: -1,
        ..Meta::default()
    };
    meta.image = match meta.kind {
        Kind::Sandbox => take("io.kubernetes.cri.podsandbox.image-name"),
        _ => take("io.kubernetes.cri.image-name"),
    };
    if kind.is_empty() {
        // Not the CRI plugin's: annotations are the user's own, nerdctl's among them.
        meta.labels = limited(oci.annotations);
    }
    meta
}

fn crio(mut oci: Oci) -> Meta {
    let mut take = |key: &str| oci.annotations.remove(key).unwrap_or_default();
    let sandbox = take("io.kubernetes.cri-o.ContainerType") == "sandbox";
    let container = take("io.kubernetes.container.name");
    Meta {
        runtime: Some(Runtime::Crio),
        kind: if sandbox { Kind::Sandbox } else { Kind::Container },
        name: take("io.kubernetes.cri-o.Name"),
        image: take("io.kubernetes.cri-o.ImageName"),
        namespace: take("io.kubernetes.pod.namespace"),
        pod: take("io.kubernetes.pod.name"),
        container: if sandbox { "POD".into() } else { container },
        network: sandbox,
        network_of_host: sandbox,
        health: -1,
        ..Meta::default()
    }
}

/// podman keeps labels in a database of its own, so there are none here.
fn podman(id: &str, stored: Option<Stored>) -> Meta {
    let stored = stored.unwrap_or_default();
    let details: StoredDetails = serde_json::from_str(&stored.metadata).unwrap_or_default();
    Meta {
        runtime: Some(Runtime::Podman),
        kind: Kind::Container,
        name: stored.names.into_iter().flatten().next().unwrap_or_else(|| id.into()),
        image: details.image_name,
        network: true,
        health: -1,
        ..Meta::default()
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Config")]
    config: DockerContainerConfig,
    #[serde(rename = "State", default)]
    state: DockerState,
}

#[derive(Deserialize)]
struct DockerContainerConfig {
    #[serde(rename = "Image", default)]
    image: String,
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct DockerState {
    #[serde(rename = "Health", default)]
    health: Option<DockerHealth>,
}

#[derive(Deserialize)]
struct DockerHealth {
    #[serde(rename = "Status", default)]
    status: Option<String>,
}

#[derive(Default, Deserialize)]
struct DockerHostConfig {
    #[serde(rename = "NetworkMode", default)]
    network_mode: String,
}

#[derive(Deserialize)]
struct Oci {
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Stored {
    #[serde(default)]
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
struct StoredDetails {
    #[serde(rename = "image-name", default)]
    image_name: String,
}

#[derive(Deserialize)]
struct RuncState {
    #[serde(default, deserialize_with = "or_default")]
    cgroup_paths: BTreeMap<String, String>,
}

/// `null` as well as an absent member is the default.
fn or_default<'de, T: Deserialize<'de> + Default, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Whether an id from a group's path is safe to look for as the name of a file.
fn is_file_name(id: &str) -> bool {
    !id.is_empty() && id != "." && id != ".." && !id.contains(['/', '\0'])
}

/// Reads a JSON file; `None` where there is none.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Missing> {
    let missing = |why: String| Missing::new("name, image and labels", why);
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match opened {
        Ok(_) => {}
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return Err(
                missing(format!("may not read {}", path.display())).with_remedy("run as root")
            );
        }
        Err(e) => return Err(missing(format!("cannot read {}: {e}", path.display()))),
    }
    serde_json::from_str(&String::from_utf8_lossy(&bytes))
        .map(Some)
        .map_err(|e| missing(format!("cannot understand {}: {e}", path.display())))
}

/// The folders in a folder, sorted; none where there is no such folder.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|e| e.path()).collect();
    folders.sort();
    folders
}

/// Labels within the limits.
fn limited(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let cut = |mut text: String| {
        if text.len() > LABEL_BYTES_MAX {
            text.truncate(text.floor_char_boundary(LABEL_BYTES_MAX));
        }
        text
    };
    let fits = |name: &String| name.len() <= 256;
    labels.into_iter().filter(|l| fits(&l.0)).take(LABELS_MAX).map(|(k, v)| (k, cut(v))).collect()
}

/// Any bytes as any of the files.
#[cfg(test)]
pub(super) fn parse_any(text: &str) {
    let _ = serde_json::from_str::<DockerConfig>(text);
    let _ = serde_json::from_str::<Oci>(text).map(|oci| containerd("id", oci));
    let _ = serde_json::from_str::<Oci>(text).map(crio);
    let _ = serde_json::from_str::<Vec<Stored>>(text);
    let _ = serde_json::from_str::<RuncState>(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::identify::identify;
    use proptest::prelude::*;

    const ID: &str = "4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b";

    fn root(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path.replace("ID", ID));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    fn find(root: &tempfile::TempDir, path: &str) -> Found {
        let path = path.replace("ID", ID);
        Runtimes::new(root.path()).find(&identify(&path), &path)
    }

    fn meta(root: &tempfile::TempDir, path: &str) -> Meta {
        match find(root, path) {
            Found::Yes(meta) => *meta,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn docker() {
        let root = root(&[
            (
                "var/lib/docker/containers/ID/config.v2.json",
                br#"{"ID":"x","Name":"/web","Config":{"Image":"nginx:1","Labels":{"a.b":"c"}},"State":{"Health":{"Status":"healthy"}},"Other":[1]}"#,
            ),
            ("var/lib/docker/containers/ID/hostconfig.json", br#"{"NetworkMode":"container:other"}"#),
        ]);
        for path in ["/docker/ID", "/system.slice/docker-ID.scope"] {
            let meta = meta(&root, path);
            assert_eq!((meta.name.as_str(), meta.image.as_str()), ("web", "nginx:1"));
            assert_eq!(meta.runtime, Some(Runtime::Docker));
            assert_eq!(meta.labels["a.b"], "c");
            assert_eq!((meta.network, meta.health), (false, 1));
        }
    }

    #[test]
    fn containerd_pods_and_others() {
        let bundle = |kind: &str| {
            format!(
                r#"{{"annotations":{{"io.kubernetes.cri.container-type":"{kind}","io.kubernetes.cri.sandbox-name":"cart-0",
                "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.container-name":"main",
                "io.kubernetes.cri.image-name":"cart:2","io.kubernetes.cri.podsandbox.image-name":"pause:3"}}}}"#
            )
        };
        let file = "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
        let path = "/kubepods/pod0f0e0d0c-1111-2222-3333-444455556666/ID";
        let container = meta(&root(&[(file, bundle("container").as_bytes())]), path);
        assert_eq!((container.kind, container.network), (Kind::Container, false));
        assert_eq!((container.name.as_str(), container.image.as_str()), (ID, "cart:2"));
        assert_eq!(
            (container.namespace.as_str(), container.pod.as_str(), container.container.as_str()),
            ("shop", "cart-0", "main")
        );
        let sandbox = meta(&root(&[(file, bundle("sandbox").as_bytes())]), path);
        assert_eq!(
            (sandbox.kind, sandbox.network, sandbox.image.as_str()),
            (Kind::Sandbox, true, "pause:3")
        );
        let plain = root(&[(&file.replace("k8s.io", "default"), br#"{"annotations":null}"#)]);
        let plain = meta(&plain, "/default/ID");
        assert_eq!((plain.kind, plain.network), (Kind::Container, true));
    }

    #[test]
    fn crio_podman_and_runc() {
        let user_data = "run/containers/storage/overlay-containers/ID/userdata/config.json";
        let crio = root(&[(
            user_data,
            br#"{"annotations":{"io.kubernetes.cri-o.Name":"k8s_main_cart-0_shop_u_0","io.kubernetes.cri-o.ContainerType":"container",
            "io.kubernetes.container.name":"main","io.kubernetes.pod.name":"cart-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.cri-o.ImageName":"cart:2"}}"#,
        )]);
        let crio = meta(&crio, "/kubepods.slice/crio-ID.scope");
        assert_eq!(
            (crio.runtime, crio.name.as_str()),
            (Some(Runtime::Crio), "k8s_main_cart-0_shop_u_0")
        );
        assert_eq!(
            (crio.pod.as_str(), crio.container.as_str(), crio.network),
            ("cart-0", "main", false)
        );

        let list = format!(
            r#"[{{"id":"{ID}","names":["web"],"metadata":"{{\"image-name\":\"nginx:1\"}}"}}]"#
        );
        let podman = root(&[
            (user_data, b"{}"),
            ("var/lib/containers/storage/overlay-containers/containers.json", list.as_bytes()),
        ]);
        let podman = meta(&podman, "/machine.slice/libpod-ID.scope");
        assert_eq!((podman.name.as_str(), podman.image.as_str()), ("web", "nginx:1"));

        let state = br#"{"id":"web","cgroup_paths":{"memory":"/sys/fs/cgroup/memory/web"}}"#;
        let runc = root(&[("run/runc/web/state.json", state)]);
        assert_eq!(meta(&runc, "/web").name, "web");
        assert!(matches!(find(&runc, "/other/web"), Found::No), "another group of that name");
    }

    #[test]
    fn broken_state_names_its_file() {
        let path = "/docker/ID";
        for broken in [&b"{\"Name\":"[..], b"[]", b"", b"{\"Config\":7}"] {
            let root = root(&[("var/lib/docker/containers/ID/config.v2.json", broken)]);
            let Found::Unreadable(missing) = find(&root, path) else { panic!("{broken:?}") };
            assert!(missing.why.contains("config.v2.json: "), "{}", missing.why);
        }
        assert!(matches!(find(&root(&[]), path), Found::No));
    }

    #[test]
    fn invalid_utf8_and_huge_labels() {
        let mut config = br#"{"Name":"/w"#.to_vec();
        config.extend([0xff, 0xfe]);
        config.extend(br#"","Config":{"Image":"i","Labels":{"big":""#);
        config.extend("é".repeat(1 << 19).bytes());
        config.extend(br#"""#);
        for i in 0..500 {
            config.extend(format!(r#","l{i}":"v""#).bytes());
        }
        config.extend(b"}}}");
        let meta =
            meta(&root(&[("var/lib/docker/containers/ID/config.v2.json", &config)]), "/docker/ID");
        assert_eq!(meta.name, "w\u{fffd}\u{fffd}");
        assert_eq!((meta.labels.len(), meta.labels["big"].len()), (LABELS_MAX, LABEL_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn any_json_returns(text in r#"[\[\]{}":,a-zA-Z0-9._ -]{0,200}"#) {
            parse_any(&text);
        }
    }
}
