//! Autoscalers on custom and external metrics: pods that tell of themselves are scraped by their annotations, rules
//! in both forms make metrics of that, and the real controller scales by them.

use super::autoscale::{autoscaler, replicas};
use anyhow::{Result, ensure};
use stage::cluster::{self, Cluster, Namespace, until};
use stage::program::repository;
use std::time::Duration;

/// `work_depth` by prometheus-adapter's form, `orders` by the one that is ours.
const RULES: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: kubevigil-adapter, namespace: kubevigil-system}
data:
  adapter.yaml: |
    rules:
    - seriesQuery: 'work_queue_depth{namespace!="",pod!=""}'
      resources: {template: <<.Resource>>}
      name: {matches: ^work_queue_(.*)$, as: work_$1}
      metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    metrics:
    - name: orders
      external: true
      query: sum by (namespace, queue) (orders_waiting)
"#;

/// A Deployment whose pods tell a number that lies in a file of theirs.
fn telling(name: &str, metric: &str, first: u32) -> String {
    let script = format!(
        "mkdir -p /tmp/www/cgi-bin; echo {first} > /tmp/number; \
         printf '#!/bin/sh\\necho Content-Type: text/plain\\necho\\necho {metric} $(cat /tmp/number)\\n' \
         > /tmp/www/cgi-bin/metrics; chmod +x /tmp/www/cgi-bin/metrics; exec httpd -f -p 8080 -h /tmp/www"
    );
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n      \
         annotations: {{prometheus.io/scrape: \"true\", prometheus.io/port: \"8080\", prometheus.io/path: /cgi-bin/metrics}}\n    \
         spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: app\n        \
         image: localhost/busybox:1\n        imagePullPolicy: Never\n        command: [sh, -c, {script:?}]\n        \
         resources: {{requests: {{cpu: 1m, memory: 4Mi}}}}\n"
    )
}

fn tell(namespace: &Namespace, deployment: &str, number: u32) {
    for pod in namespace.pods(&format!("app={deployment}")).unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let script = format!("echo {number} > /tmp/number");
        namespace.kubectl(&["exec", name, "--", "sh", "-c", &script]).unwrap();
    }
}

/// Makes us the owner of both groups, with our rules.
fn own_the_groups(cluster: &Cluster) -> Result<()> {
    let file = repository().join("deploy/kubevigil-custom-metrics.yaml");
    cluster.kubectl(&["apply", "-f", &file.to_string_lossy()])?;
    cluster.apply(RULES)?;
    // A pod that changes has its volumes brought up to date at once rather than within a minute.
    let stamp = format!("test.kubevigil.dev/stamp={}", std::process::id());
    let words =
        ["--namespace=kubevigil-system", "annotate", "--overwrite", "pods", "--all", &stamp];
    cluster.kubectl(&words)?;
    until("the rules", Duration::from_secs(150), || {
        let list = cluster.json("/apis/external.metrics.k8s.io/v1beta1")?;
        ensure!(list.to_string().contains("\"orders\""), "{list}");
        Ok(())
    })
}

#[test]
fn by_a_custom_and_by_an_external_metric_from_one_to_three_and_back() {
    let Some((_guard, cluster)) = cluster::share("cluster::custom") else { return };
    own_the_groups(cluster).unwrap();
    let namespace = cluster.namespace("scale-custom").unwrap();
    namespace.apply(&telling("worker", "work_queue_depth", 40)).unwrap();
    namespace.apply(&telling("shop", r#"orders_waiting{queue=\\"mail\\"}"#, 60)).unwrap();
    namespace.apply(&telling("mailer", "mails_total", 0)).unwrap();
    let custom = "{type: Pods, pods: {metric: {name: work_depth}, target: {type: AverageValue, averageValue: 20}}}";
    namespace.apply(&autoscaler("worker", custom)).unwrap();
    let external = "{type: External, external: {metric: {name: orders, selector: {matchLabels: {queue: mail}}}, \
                    target: {type: AverageValue, averageValue: 20}}}";
    namespace.apply(&autoscaler("mailer", external)).unwrap();
    replicas(&namespace, "worker", 3);
    replicas(&namespace, "mailer", 3);

    let name = &namespace.name;
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{name}/pods/*/work_depth?labelSelector=app%3Dworker"
    );
    let list = cluster.json(&path).unwrap();
    let values: Vec<&str> =
        list["items"].as_array().unwrap().iter().filter_map(|i| i["value"].as_str()).collect();
    assert!(!values.is_empty() && values.iter().all(|v| *v == "40"), "{list}");
    let nothing =
        format!("/apis/custom.metrics.k8s.io/v1beta1/namespaces/{name}/pods/none/work_depth");
    let (status, said) = cluster.ask(&nothing, "").unwrap();
    assert!(status == 404 && said.contains("returned nothing for pods"), "{status}: {said}");

    tell(&namespace, "worker", 2);
    tell(&namespace, "shop", 3);
    replicas(&namespace, "worker", 1);
    replicas(&namespace, "mailer", 1);
}
