//! OpenAPI v2 and v3: enough that the aggregator takes our schemas in and `kubectl explain` shows them.

use super::Group;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const TITLE: &str = "Kubevigil";

/// `/openapi/v3`: where each version's document is, with a hash that changes with its content.
pub(crate) fn index(groups: &[Arc<dyn Group>]) -> Vec<u8> {
    let mut entries = Vec::new();
    for group in groups {
        for version in group.versions() {
            let mut hasher = DefaultHasher::new();
            v3(&**group, version).hash(&mut hasher);
            let path = format!("apis/{}/{version}", group.name());
            entries.push(format!(
                "\"{path}\":{{\"serverRelativeURL\":\"/openapi/v3/{path}?hash={:016X}\"}}",
                hasher.finish()
            ));
        }
    }
    format!("{{\"paths\":{{{}}}}}", entries.join(",")).into_bytes()
}

/// `/openapi/v3/apis/GROUP/VERSION`.
pub(crate) fn v3(group: &dyn Group, version: &str) -> Vec<u8> {
    let schemas = group.schemas(version);
    let paths = paths(group, version, true).join(",");
    format!(
        "{{\"openapi\":\"3.0.0\",\"info\":{{\"title\":\"{TITLE}\",\"version\":\"{}\"}},\"paths\":{{{paths}}},\"components\":{{\"schemas\":{{{schemas}}}}}}}",
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes()
}

/// `/openapi/v2`: everything.
pub(crate) fn v2(groups: &[Arc<dyn Group>]) -> Vec<u8> {
    let (mut all_paths, mut definitions) = (Vec::new(), Vec::new());
    for group in groups {
        for version in group.versions() {
            all_paths.extend(paths(&**group, version, false));
            let schemas = group.schemas(version);
            if !schemas.is_empty() {
                definitions.push(schemas.replace("#/components/schemas/", "#/definitions/"));
            }
        }
    }
    format!(
        "{{\"swagger\":\"2.0\",\"info\":{{\"title\":\"{TITLE}\",\"version\":\"{}\"}},\"paths\":{{{}}},\"definitions\":{{{}}}}}",
        env!("CARGO_PKG_VERSION"),
        all_paths.join(","),
        definitions.join(",")
    )
    .into_bytes()
}

/// The paths of the resources that have schemas; those of single metrics would be thousands.
fn paths(group: &dyn Group, version: &str, v3: bool) -> Vec<String> {
    let name = group.name();
    let mut paths = Vec::new();
    for resource in group.resources(version) {
        if resource.name.contains('/') || !group.schemas(version).contains(resource.kind) {
            continue;
        }
        let within = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let plural = &resource.name;
        for verb in resource.verbs {
            let (place, kind) = match *verb {
                "get" => ("/{name}", resource.kind.to_owned()),
                "list" => ("", format!("{}List", resource.kind)),
                _ => continue,
            };
            let schema = schema_name(group, version, &kind);
            let gvk = format!(
                "{{\"group\":\"{name}\",\"kind\":\"{}\",\"version\":\"{version}\"}}",
                resource.kind
            );
            let answer = match v3 {
                true => format!(
                    "\"content\":{{\"application/json\":{{\"schema\":{{\"$ref\":\"#/components/schemas/{schema}\"}}}}}}"
                ),
                false => format!("\"schema\":{{\"$ref\":\"#/definitions/{schema}\"}}"),
            };
            let parameters = parameters(within, place, v3);
            let id: String = format!("{verb}-{name}-{version}-{plural}")
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            paths.push(format!(
                "\"/apis/{name}/{version}{within}/{plural}{place}\":{{\"get\":{{\"operationId\":\"{id}\",\"responses\":{{\"200\":{{\"description\":\"OK\",{answer}}}}},\"x-kubernetes-action\":\"{verb}\",\"x-kubernetes-group-version-kind\":{gvk}}},\"parameters\":[{parameters}]}}"
            ));
        }
    }
    paths
}

fn parameters(within: &str, place: &str, v3: bool) -> String {
    let one = |name: &str| {
        let type_ = match v3 {
            true => "\"schema\":{\"type\":\"string\"}",
            false => "\"type\":\"string\"",
        };
        format!("{{\"name\":\"{name}\",\"in\":\"path\",\"required\":true,{type_}}}")
    };
    let names = [("namespace", within), ("name", place)];
    let given = names.iter().filter(|(_, place)| !place.is_empty());
    given.map(|(name, _)| one(name)).collect::<Vec<_>>().join(",")
}

/// How a kind's schema is called: as upstream calls it where upstream has it.
fn schema_name(group: &dyn Group, version: &str, kind: &str) -> String {
    let schemas = group.schemas(version);
    let end = format!(".{kind}\":{{");
    match schemas.find(&end) {
        Some(at) => {
            let begin = schemas[..at].rfind('"').map_or(0, |quote| quote + 1);
            schemas[begin..at + 1 + kind.len()].to_owned()
        }
        None => kind.to_owned(),
    }
}
