//! `openapi.yaml`: the Prometheus API as a document for programs (OpenAPI 3.1, or 3.2 with
//! `openapi_version=3.2`), written from the table of endpoints. Names of operations are Prometheus's.

mod endpoints;

use crate::Shared;
use crate::parameters::Parameters;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
pub use endpoints::{Answer, ENDPOINTS, Endpoint, Kind, Parameter};
use std::fmt::Write;

/// `GET /api/v1/openapi.yaml`
pub async fn document(api: Shared, parameters: Parameters) -> Response {
    let newer = matches!(parameters.get("openapi_version"), "3.2" | "3.2.0");
    let version = crate::run::ask(&api, |api| api.backend.status().version).await.unwrap_or("");
    let kind = HeaderValue::from_static("application/yaml; charset=utf-8");
    let never = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, never)];
    (headers, write(newer, version)).into_response()
}

/// What answers and requests share.
const COMPONENTS: &str = "\
components:
  schemas:
    Error:
      type: object
      required: [status, errorType, error]
      properties:
        status: {type: string, enum: [error]}
        errorType: {type: string, description: 'What kind of mistake or trouble it is'}
        error: {type: string, description: For a person}
  responses:
    Error:
      description: Why there is no answer
      content:
        application/json:
          schema: {$ref: '#/components/schemas/Error'}
";

/// The document; version 3.2 of OpenAPI also has the endpoint that never ends.
fn write(newer: bool, version: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "openapi: {}\n\
         info:\n  title: Kubevigil, the Prometheus API\n  \
         description: What Prometheus answers, of what Kubevigil collects, scrapes and is sent\n  \
         license: {{name: Apache-2.0, identifier: Apache-2.0}}\n  version: {}\n\
         servers:\n- url: /api/v1\npaths:\n",
        if newer { "3.2.0" } else { "3.1.0" },
        quoted(version),
    );
    for endpoint in ENDPOINTS.iter().filter(|e| newer || e.answer != Answer::Events) {
        let _ = writeln!(out, "  {}:", endpoint.path);
        for method in endpoint.methods {
            operation(&mut out, endpoint, method);
        }
    }
    out.push_str(COMPONENTS);
    out
}

fn operation(out: &mut String, endpoint: &Endpoint, method: &str) {
    let &Endpoint { methods, tag, id, summary, parameters, .. } = endpoint;
    let lower = method.to_ascii_lowercase();
    let id = match (methods.len(), method) {
        (1, _) | (_, "GET") => id.to_owned(),
        (_, "POST") if methods[0] == "GET" => format!("{id}-post"),
        (_, "PUT") => format!("{id}Put"),
        _ => format!("{id}Post"),
    };
    let _ = write!(
        out,
        "    {lower}:\n      tags: [{tag}]\n      summary: {}\n      operationId: {id}\n",
        quoted(summary)
    );
    // Where there is a choice, a POST brings its parameters as a form.
    let form = method == "POST" && methods[0] == "GET";
    match (parameters, form) {
        ([], _) => {}
        (_, false) => {
            out.push_str("      parameters:\n");
            parameters.iter().for_each(|p| in_query(out, p));
        }
        (_, true) => in_form(out, parameters),
    }
    out.push_str("      responses:\n");
    answers(out, endpoint.answer);
    out.push_str("        default: {$ref: '#/components/responses/Error'}\n");
}

fn in_query(out: &mut String, parameter: &Parameter) {
    let &Parameter { name, kind, required, description } = parameter;
    let place = if kind == Kind::Path { "path" } else { "query" };
    let _ = write!(
        out,
        "      - name: {}\n        in: {place}\n        required: {required}\n        \
         description: {}\n        schema: {}\n",
        quoted(name),
        quoted(description),
        kind.schema()
    );
    if kind == Kind::Texts {
        out.push_str("        style: form\n        explode: true\n");
    }
}

fn in_form(out: &mut String, parameters: &[Parameter]) {
    out.push_str(
        "      requestBody:\n        content:\n          application/x-www-form-urlencoded:\n            \
         schema:\n              type: object\n",
    );
    let required: Vec<_> =
        parameters.iter().filter(|p| p.required).map(|p| quoted(p.name)).collect();
    if !required.is_empty() {
        let _ = writeln!(out, "              required: [{}]", required.join(", "));
    }
    out.push_str("              properties:\n");
    for parameter in parameters {
        let (name, schema) = (quoted(parameter.name), parameter.kind.schema());
        let _ = writeln!(out, "                {name}: {schema}");
    }
}

fn answers(out: &mut String, answer: Answer) {
    let data = match answer {
        Answer::Nothing => {
            out.push_str("        '204': {description: It was done}\n");
            return;
        }
        Answer::Other(kind) => {
            let _ = write!(
                out,
                "        '200':\n          description: The answer\n          content:\n            \
                 {}: {{}}\n",
                quoted(kind)
            );
            return;
        }
        Answer::Events => {
            out.push_str(
                "        '200':\n          description: Events, of which each brings a notification\n          \
                 content:\n            text/event-stream:\n              itemSchema:\n                \
                 type: object\n                required: [data]\n                \
                 properties: {data: {type: string, contentMediaType: application/json}}\n",
            );
            return;
        }
        Answer::Data(data) => data,
    };
    let texts = "{type: array, items: {type: string}}";
    let _ = write!(
        out,
        "        '200':\n          description: The answer\n          content:\n            \
         application/json:\n              schema:\n                type: object\n                \
         required: [status, data]\n                properties:\n                  \
         status: {{type: string, enum: [success]}}\n                  data: {{type: {data}}}\n                  \
         warnings: {texts}\n                  infos: {texts}\n"
    );
}

/// A text as YAML and JSON both read it.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

impl Kind {
    fn schema(self) -> &'static str {
        match self {
            Kind::Path | Kind::Text => "{type: string}",
            Kind::Texts => "{type: array, items: {type: string}}",
            Kind::Whole => "{type: integer, format: int64}",
            Kind::Truth => "{type: boolean}",
            Kind::Time => {
                "{oneOf: [{type: string, format: date-time}, {type: number, format: unixtime}]}"
            }
            Kind::Duration => {
                "{oneOf: [{type: string, format: duration}, {type: number, format: float}]}"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn operations_have_names_of_their_own() {
        for newer in [false, true] {
            let text = write(newer, "1.2.3");
            let names: Vec<&str> =
                text.lines().filter_map(|l| l.strip_prefix("      operationId: ")).collect();
            assert!(names.len() > 45, "{}", names.len());
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            assert_eq!(text.contains("/notifications/live"), newer);
        }
    }

    #[test]
    fn each_endpoint_stands_once_and_its_path_names_its_parameters() {
        let mut paths = HashSet::new();
        for endpoint in ENDPOINTS {
            assert!(paths.insert(endpoint.path), "{}", endpoint.path);
            for parameter in endpoint.parameters {
                let named = endpoint.path.contains(&format!("{{{}}}", parameter.name));
                assert_eq!(named, parameter.kind == Kind::Path, "{}", endpoint.path);
            }
        }
    }
}
