//! What `deploy/` asks a cluster for: its rights word by word, and that the files fit the program.

use saphyr::{LoadableYamlNode, Yaml};
use stage::program::repository;

/// All that our account may do by rules of our own. A right is added here by hand, on purpose.
const RIGHTS: &str = "\
ClusterRole kubevigil: list,watch nodes,pods
ClusterRole kubevigil: get nodes/metrics
ClusterRole kubevigil: list,watch,patch apiservices.apiregistration.k8s.io [v1beta1.metrics.k8s.io v1.kubevigil.dev v1beta1.custom.metrics.k8s.io v1beta2.custom.metrics.k8s.io v1beta1.external.metrics.k8s.io]
Role kubevigil: get,list,watch,update secrets [kubevigil-certificates]
ClusterRole kubevigil-scrape: list,watch services
ClusterRole kubevigil-scrape: list,watch endpointslices.discovery.k8s.io
bound cluster-wide: ClusterRole kubevigil
bound cluster-wide: ClusterRole system:auth-delegator
bound in kube-system: Role extension-apiserver-authentication-reader
bound in kubevigil-system: Role kubevigil
bound cluster-wide: ClusterRole kubevigil-scrape
";

fn text(file: &str) -> String {
    let path = repository().join("deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn words(node: &Yaml) -> Vec<String> {
    let items = node.as_sequence().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|w| w.as_str().map(Into::into)).collect()
}

fn string(node: &Yaml) -> String {
    node.as_str().unwrap_or_default().to_string()
}

/// A rule in words: `list,watch nodes,pods`.
fn right(rule: &Yaml) -> String {
    let group = words(&rule["apiGroups"]).join(",");
    let resources = words(&rule["resources"]).join(",");
    let dot = if group.is_empty() { "" } else { "." };
    let mut right = format!("{} {resources}{dot}{group}", words(&rule["verbs"]).join(","));
    if let Some(names) = rule.as_mapping_get("resourceNames") {
        right += &format!(" [{}]", words(names).join(" "));
    }
    right
}

#[test]
fn the_rights_that_are_asked_for_are_these_and_no_others() {
    let (mut rights, mut bound) = (String::new(), String::new());
    for file in ["kubevigil.yaml", "kubevigil-custom-metrics.yaml"] {
        for object in Yaml::load_from_str(&text(file)).unwrap() {
            let (kind, name) = (string(&object["kind"]), string(&object["metadata"]["name"]));
            match kind.as_str() {
                // Others' rights to read what we serve.
                "ClusterRole" if name == "kubevigil-metrics-reader" => {}
                "ClusterRole" | "Role" => {
                    for rule in object["rules"].as_sequence().unwrap() {
                        rights += &format!("{kind} {name}: {}\n", right(rule));
                    }
                }
                "ClusterRoleBinding" | "RoleBinding" => {
                    let subjects = object["subjects"].as_sequence().unwrap();
                    assert_eq!(subjects.len(), 1, "{name}");
                    let subject = (string(&subjects[0]["name"]), string(&subjects[0]["namespace"]));
                    assert_eq!(subject, ("kubevigil".into(), "kubevigil-system".into()), "{name}");
                    let place = match object["metadata"].as_mapping_get("namespace") {
                        Some(namespace) => format!("in {}", string(namespace)),
                        None => "cluster-wide".into(),
                    };
                    let role = &object["roleRef"];
                    bound += &format!(
                        "bound {place}: {} {}\n",
                        string(&role["kind"]),
                        string(&role["name"])
                    );
                }
                _ => {}
            }
        }
    }
    let found = rights + &bound;
    assert_eq!(found, RIGHTS);
    assert!(!found.contains('*') && !found.contains("nodes/proxy"));
}

#[test]
fn the_image_is_this_version_and_no_host_is_named() {
    let image = format!("image: kubevigil/kubevigil:{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text("kubevigil.yaml").matches("image: ").count(), 1);
    assert!(text("kubevigil.yaml").contains(&image), "not {image}");
}
