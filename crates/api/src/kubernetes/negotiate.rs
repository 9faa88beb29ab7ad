//! Which form a client takes (RFC 9110, 12.5.1, with the parameters that Kubernetes adds).

use super::Status;

/// JSON.
pub(crate) const JSON: &str = "application/json";
/// YAML.
pub(crate) const YAML: &str = "application/yaml";
/// Protobuf in Kubernetes' envelope.
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A form in which an object can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Yaml,
    Protobuf,
    /// A table as JSON, `meta.k8s.io/v1` or (true) `v1beta1`.
    Table(bool),
    /// Discovery of all groups in one document, `v2` or (true) `v2beta1`, as JSON.
    Discovery(bool),
}

impl Form {
    /// The `Content-Type` of an answer in this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Json | Form::Table(_) => JSON,
            Form::Yaml => YAML,
            Form::Protobuf => PROTOBUF,
            Form::Discovery(false) => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            Form::Discovery(true) => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }
}

/// What can be had besides JSON, YAML and protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Plain,
    Tables,
    Discovery,
}

/// The best form that the client takes; JSON where it says nothing.
pub(crate) fn choose(accept: &str, offer: Offer) -> Result<Form, Status> {
    if accept.trim().is_empty() {
        return Ok(Form::Json);
    }
    let mut best: Option<(u32, Form)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let type_ = parts.next().unwrap_or("").to_ascii_lowercase();
        let (mut group, mut version, mut as_, mut weight) = ("", "", "", 1000);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim() {
                "g" => group = value.trim(),
                "v" => version = value.trim(),
                "as" => as_ = value.trim(),
                "q" => {
                    let q = value.trim().parse::<f32>().unwrap_or(0.0);
                    weight = (q.clamp(0.0, 1.0) * 1000.0) as u32;
                }
                _ => {}
            }
        }
        let form = match (type_.as_str(), as_) {
            (JSON | "application/*" | "*/*" | "*", "") => Some(Form::Json),
            (YAML, "") => Some(Form::Yaml),
            (PROTOBUF, "") => Some(Form::Protobuf),
            (JSON, "Table") if offer == Offer::Tables && group == "meta.k8s.io" => match version {
                "v1" => Some(Form::Table(false)),
                "v1beta1" => Some(Form::Table(true)),
                _ => None,
            },
            (JSON, "APIGroupDiscoveryList")
                if offer == Offer::Discovery && group == "apidiscovery.k8s.io" =>
            {
                match version {
                    "v2" => Some(Form::Discovery(false)),
                    "v2beta1" => Some(Form::Discovery(true)),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(form) = form
            && weight > 0
            && best.is_none_or(|(w, _)| weight > w)
        {
            best = Some((weight, form));
        }
    }
    best.map(|b| b.1).ok_or_else(|| Status::not_acceptable(&[JSON, YAML, PROTOBUF]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_clients_ask_for() {
        let table = [
            ("", Offer::Plain, Form::Json),
            ("*/*", Offer::Plain, Form::Json),
            // client-go with protobuf, as the autoscaler and `kubectl top` ask.
            ("application/vnd.kubernetes.protobuf,application/json", Offer::Tables, Form::Protobuf),
            ("application/vnd.kubernetes.protobuf, */*", Offer::Tables, Form::Protobuf),
            // kubectl get.
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Offer::Tables,
                Form::Table(false),
            ),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Offer::Tables, Form::Table(true)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Offer::Plain,
                Form::Json,
            ),
            // The aggregator's discovery.
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                Offer::Discovery,
                Form::Discovery(false),
            ),
            ("application/json;q=0.5,application/yaml", Offer::Plain, Form::Yaml),
            ("text/html, application/json;q=0.1", Offer::Plain, Form::Json),
        ];
        for (accept, offer, expected) in table {
            assert_eq!(choose(accept, offer).unwrap(), expected, "{accept}");
        }
        for refused in
            ["text/html", "application/json;q=0", "application/json;as=Table;v=v7;g=meta.k8s.io"]
        {
            assert_eq!(choose(refused, Offer::Tables).unwrap_err().code, 406, "{refused}");
        }
    }
}
