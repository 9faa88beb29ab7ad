//! What a control group's path says by itself: the conventions of systemd, docker, containerd, CRI-O,
//! podman, runc and the kubelet. Reads nothing.

use super::container::{Kind, Runtime};

/// What the path says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guess {
    pub kind: Kind,
    pub runtime: Option<Runtime>,
    /// The container's id, or what may be one.
    pub id: Option<String>,
    /// The pod's UID with dashes, of the pod's own group and of those in it.
    pub pod_uid: Option<String>,
}

/// Prefixes of scopes (systemd driver) and of folders (cgroupfs driver) that hold a container's id.
const PREFIXES: [(&str, Runtime); 6] = [
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::Crio),
    ("libpod-", Runtime::Podman),
    ("runc-", Runtime::Runc),
];

/// Reads the conventions out of a path that begins with a slash.
pub(super) fn identify(path: &str) -> Guess {
    let mut parts = path.split('/').filter(|p| !p.is_empty()).rev();
    let Some(last) = parts.next() else {
        return Guess { kind: Kind::Machine, ..Guess::default() };
    };
    let parent = parts.next().unwrap_or("");
    let pod_uid = std::iter::once(last).chain([parent]).chain(parts).find_map(pod_uid);
    let systemd = |kind| Guess { kind, runtime: Some(Runtime::Systemd), ..Guess::default() };
    let (stem, is_scope) = match last.strip_suffix(".scope") {
        Some(stem) => (stem, true),
        None => (last, false),
    };
    // The monitors of CRI-O and podman live in scopes beside the containers.
    let is_monitor = stem.contains("conmon");
    if !is_monitor {
        for (prefix, runtime) in PREFIXES {
            let Some(id) = stem.strip_prefix(prefix) else { continue };
            if is_id(id) || (runtime == Runtime::Runc && is_scope) {
                let id = Some(id.to_string());
                return Guess { kind: Kind::Container, runtime: Some(runtime), id, pod_uid };
            }
        }
    }
    if self::pod_uid(last).is_some() {
        return Guess { kind: Kind::Pod, pod_uid, ..Guess::default() };
    }
    if last.ends_with(".slice") {
        return systemd(Kind::Slice);
    }
    if last.ends_with(".service") {
        return systemd(Kind::Service);
    }
    if is_scope {
        return Guess { pod_uid, ..systemd(Kind::Scope) };
    }
    if is_id(last) {
        let runtime = match parent {
            "docker" => Some(Runtime::Docker),
            _ => None,
        };
        // A pod's groups hold nothing but containers; elsewhere the runtime's files must say so.
        let known = runtime.is_some() || pod_uid.is_some();
        let kind = if known { Kind::Container } else { Kind::Group };
        return Guess { kind, runtime, id: Some(last.into()), pod_uid };
    }
    // Any name may be that of a container that was started by hand with runc.
    Guess { id: Some(last.into()), pod_uid, ..Guess::default() }
}

/// 64 hexadecimal digits, as all runtimes but runc and plain containerd number their containers.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The UID in the kubelet's name of a pod's group: `podUID`, or `kubepods-QOS-podUID.slice` with
/// underscores for dashes. Static pods have 32 hexadecimal digits instead.
fn pod_uid(part: &str) -> Option<String> {
    let uid = match part.strip_suffix(".slice") {
        Some(slice) => slice.strip_prefix("kubepods")?.rsplit_once("-pod")?.1.replace('_', "-"),
        None => part.strip_prefix("pod")?.to_string(),
    };
    let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b4f1e3c2b";
    const UID: &str = "0f0e0d0c-1111-2222-3333-444455556666";

    #[test]
    fn conventions() {
        let scope_uid = UID.replace('-', "_");
        use {Kind as K, Runtime as R};
        let cases = [
            ("/".to_string(), K::Machine, None, false, false),
            ("/system.slice".into(), K::Slice, Some(R::Systemd), false, false),
            ("/system.slice/nginx.service".into(), K::Service, Some(R::Systemd), false, false),
            (
                "/user.slice/user-0.slice/session-1.scope".into(),
                K::Scope,
                Some(R::Systemd),
                false,
                false,
            ),
            (format!("/docker/{ID}"), K::Container, Some(R::Docker), true, false),
            (
                format!("/system.slice/docker-{ID}.scope"),
                K::Container,
                Some(R::Docker),
                true,
                false,
            ),
            (format!("/kubepods/burstable/pod{UID}"), K::Pod, None, false, true),
            (format!("/kubepods/burstable/pod{UID}/{ID}"), K::Container, None, true, true),
            (format!("/kubepods/pod{UID}/crio-{ID}"), K::Container, Some(R::Crio), true, true),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{scope_uid}.slice"
                ),
                K::Pod,
                None,
                false,
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{scope_uid}.slice/cri-containerd-{ID}.scope"),
                K::Container,
                Some(R::Containerd),
                true,
                true,
            ),
            (
                format!("/machine.slice/libpod-{ID}.scope"),
                K::Container,
                Some(R::Podman),
                true,
                false,
            ),
            (
                format!("/machine.slice/libpod-conmon-{ID}.scope"),
                K::Scope,
                Some(R::Systemd),
                false,
                false,
            ),
            (
                format!("/kubepods.slice/crio-conmon-{ID}.scope"),
                K::Scope,
                Some(R::Systemd),
                false,
                false,
            ),
            ("/system.slice/runc-web.scope".into(), K::Container, Some(R::Runc), true, false),
            ("/web".into(), K::Group, None, true, false),
            ("/kubepods".into(), K::Group, None, true, false),
            ("/kubepods.slice".into(), K::Slice, Some(R::Systemd), false, false),
            ("/podinfo".into(), K::Group, None, true, false),
        ];
        for (path, kind, runtime, has_id, in_pod) in cases {
            let guess = identify(&path);
            assert_eq!((guess.kind, guess.runtime), (kind, runtime), "{path}");
            assert_eq!((guess.id.is_some(), guess.pod_uid.is_some()), (has_id, in_pod), "{path}");
            if in_pod {
                assert_eq!(guess.pod_uid.as_deref(), Some(UID), "{path}");
            }
        }
    }
}
