//! What there is: the documents with which clients and the aggregator learn of groups, versions and
//! resources (`meta/v1` and `apidiscovery/v2` of apimachinery and api).

use super::negotiate::Form;
use super::{Group, Object, Resource, protobuf};
use crate::json;
use std::sync::Arc;

/// `APIGroupList`: all groups.
pub(crate) struct Groups<'a>(pub &'a [Arc<dyn Group>]);

/// `APIGroup`: one of them.
pub(crate) struct OneGroup<'a>(pub &'a dyn Group);

/// `APIResourceList`: the resources of a version.
pub(crate) struct Resources {
    pub group_version: String,
    pub resources: Vec<Resource>,
}

impl Object for Groups<'_> {
    fn api_version(&self) -> &str {
        "v1"
    }

    fn kind(&self) -> &str {
        "APIGroupList"
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
        for (i, group) in self.0.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"{" } else { b",{" });
            group_json(&**group, out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        for group in self.0 {
            protobuf::message(out, 1, |out| group_protobuf(&**group, out));
        }
    }
}

impl Object for OneGroup<'_> {
    fn api_version(&self) -> &str {
        "v1"
    }

    fn kind(&self) -> &str {
        "APIGroup"
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
        group_json(self.0, out);
        out.push(b'}');
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        group_protobuf(self.0, out);
    }
}

fn group_json(group: &dyn Group, out: &mut Vec<u8>) {
    let name = group.name();
    out.extend_from_slice(b"\"name\":");
    json::string(out, name);
    let version = |v: &str| format!("{{\"groupVersion\":\"{name}/{v}\",\"version\":\"{v}\"}}");
    let versions: Vec<_> = group.versions().iter().map(|v| version(v)).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    let rest = format!(",\"versions\":[{}],\"preferredVersion\":{preferred}", versions.join(","));
    out.extend_from_slice(rest.as_bytes());
}

fn group_protobuf(group: &dyn Group, out: &mut Vec<u8>) {
    protobuf::string(out, 1, group.name());
    let first = group.versions().iter().take(1).map(|v| (3, v));
    for (field, version) in group.versions().iter().map(|v| (2, v)).chain(first) {
        protobuf::message(out, field, |out| {
            protobuf::string(out, 1, &format!("{}/{version}", group.name()));
            protobuf::string(out, 2, version);
        });
    }
}

impl Object for Resources {
    fn api_version(&self) -> &str {
        "v1"
    }

    fn kind(&self) -> &str {
        "APIResourceList"
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":",
        );
        json::string(out, &self.group_version);
        out.extend_from_slice(b",\"resources\":[");
        for (i, resource) in self.resources.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"{\"name\":" } else { b",{\"name\":" });
            json::string(out, &resource.name);
            let namespaced = resource.namespaced;
            out.extend_from_slice(
                format!(",\"singularName\":\"\",\"namespaced\":{namespaced},\"kind\":").as_bytes(),
            );
            json::string(out, resource.kind);
            out.extend_from_slice(b",\"verbs\":");
            json::strings(out, resource.verbs.iter().copied());
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::string(out, 1, &self.group_version);
        for resource in &self.resources {
            protobuf::message(out, 2, |out| {
                protobuf::string(out, 1, &resource.name);
                protobuf::boolean(out, 2, resource.namespaced);
                protobuf::string(out, 3, resource.kind);
                protobuf::message(out, 4, |out| {
                    resource.verbs.iter().for_each(|verb| protobuf::string(out, 1, verb));
                });
                for field in [6, 8, 9, 10] {
                    protobuf::string(out, field, "");
                }
            });
        }
    }
}

/// `APIGroupDiscoveryList`: everything at once, as the aggregator asks for it.
pub(crate) fn aggregated(groups: &[Arc<dyn Group>], form: Form) -> Vec<u8> {
    let version = if form == Form::Discovery(true) { "v2beta1" } else { "v2" };
    let mut out = Vec::new();
    let head = format!(
        "{{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/{version}\",\"metadata\":{{}},\"items\":["
    );
    out.extend_from_slice(head.as_bytes());
    for (i, group) in groups.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"" } else { b"," });
        out.extend_from_slice(b"{\"metadata\":{\"name\":");
        json::string(&mut out, group.name());
        out.extend_from_slice(b",\"creationTimestamp\":null},\"versions\":[");
        for (i, version) in group.versions().iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"" } else { b"," });
            out.extend_from_slice(
                format!("{{\"version\":\"{version}\",\"resources\":[").as_bytes(),
            );
            resources(&mut out, &**group, version);
            out.extend_from_slice(b"],\"freshness\":\"Current\"}");
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}

/// Sub-resources stand within their resource here; one whose resource is not served itself (as in
/// custom.metrics.k8s.io) gets a resource of its own around it.
fn resources(out: &mut Vec<u8>, group: &dyn Group, version: &str) {
    let all = group.resources(version);
    let of = |r: &Resource| r.name.split('/').next().unwrap_or("").to_owned();
    let mut at = 0;
    let mut separator: &[u8] = b"";
    while let Some(first) = all.get(at) {
        let name = of(first);
        let len = all[at..].iter().take_while(|r| of(r) == name).count();
        let (own, parts): (Vec<_>, Vec<_>) =
            all[at..at + len].iter().partition(|r| !r.name.contains('/'));
        at += len;
        out.extend_from_slice(separator);
        separator = b",";
        out.extend_from_slice(b"{\"resource\":");
        json::string(out, &name);
        let subject = own.first().copied().unwrap_or(first);
        kind_and_scope(out, group, version, subject, own.first().map_or(&[], |r| r.verbs));
        let mut begin: &[u8] = b",\"subresources\":[";
        for part in &parts {
            out.extend_from_slice(begin);
            begin = b",";
            out.extend_from_slice(b"{\"subresource\":");
            json::string(out, part.name.split_once('/').map_or("", |n| n.1));
            out.extend_from_slice(b",\"responseKind\":");
            kind(out, group, version, part.kind);
            out.extend_from_slice(b",\"verbs\":");
            json::strings(out, part.verbs.iter().copied());
            out.push(b'}');
        }
        out.extend_from_slice(if parts.is_empty() { b"}" } else { b"]}" });
    }
}

fn kind_and_scope(
    out: &mut Vec<u8>,
    group: &dyn Group,
    version: &str,
    resource: &Resource,
    verbs: &[&str],
) {
    out.extend_from_slice(b",\"responseKind\":");
    kind(out, group, version, resource.kind);
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    out.extend_from_slice(
        format!(",\"scope\":\"{scope}\",\"singularResource\":\"\",\"verbs\":").as_bytes(),
    );
    json::strings(out, verbs.iter().copied());
}

fn kind(out: &mut Vec<u8>, group: &dyn Group, version: &str, kind: &str) {
    let group = group.name();
    let text = format!("{{\"group\":\"{group}\",\"version\":\"{version}\",\"kind\":\"{kind}\"}}");
    out.extend_from_slice(text.as_bytes());
}
