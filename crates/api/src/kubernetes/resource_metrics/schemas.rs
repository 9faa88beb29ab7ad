//! The schemas of metrics.k8s.io, for OpenAPI.

/// Members of a JSON object: name to schema.
pub(super) const SCHEMAS: &str = include_str!("schemas.json");
