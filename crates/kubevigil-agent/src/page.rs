//! The page at `/`: where the metrics are, and what is not collected and why. Plain HTML, so that it needs
//! no script and no style.

use node::CollectorStatus;
use std::fmt::Write;

/// The page.
pub fn index(collectors: &[CollectorStatus]) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>kubevigil-agent</title>\
         <meta name=\"viewport\" content=\"width=device-width\"></head><body><h1>kubevigil-agent</h1>\
         <ul><li><a href=\"/metrics\">/metrics</a>: everything</li>\
         <li><a href=\"/metrics/node\">/metrics/node</a>: this machine, as node_exporter names it</li>\
         <li><a href=\"/metrics/cadvisor\">/metrics/cadvisor</a>: its containers, as cAdvisor names them</li>\
         <li><a href=\"/healthz\">/healthz</a>, <a href=\"/readyz\">/readyz</a></li></ul>\
         <h2>Collectors</h2><table><thead><tr><th>collector</th><th>state</th><th>samples</th>\
         <th>milliseconds</th></tr></thead><tbody>",
    );
    for c in collectors {
        let state = match (&c.error, c.missing.first()) {
            _ if !c.enabled => "off".to_string(),
            (Some(error), _) => error.clone(),
            (None, Some(missing)) => format!("{}: {}", missing.what, missing.why),
            (None, None) => "ok".to_string(),
        };
        let (name, state, samples) = (escaped(c.name), escaped(&state), c.samples);
        let milliseconds = c.seconds * 1000.0;
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "<tr><td>{name}</td><td>{state}</td><td>{samples}</td><td>{milliseconds:.2}</td></tr>"
        );
    }
    page.push_str("</tbody></table></body></html>\n");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
