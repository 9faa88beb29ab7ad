//! Several parts behind the name of one group: each answers for the resources that it names.

use super::{Answering, Group, Request, Resource, Status};
use std::sync::Arc;

/// A group made of parts that have its name and versions.
pub struct Merged {
    name: &'static str,
    versions: &'static [&'static str],
    parts: Vec<Arc<dyn Group>>,
}

impl Merged {
    /// `name` in `versions`, the preferred one first.
    pub fn new(
        name: &'static str,
        versions: &'static [&'static str],
        parts: Vec<Arc<dyn Group>>,
    ) -> Merged {
        Merged { name, versions, parts }
    }
}

impl Group for Merged {
    fn name(&self) -> &'static str {
        self.name
    }

    fn versions(&self) -> &'static [&'static str] {
        self.versions
    }

    fn resources(&self, version: &str) -> Vec<Resource> {
        let mut all: Vec<_> = self.parts.iter().flat_map(|p| p.resources(version)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        let wanted = &request.attributes;
        let name = match wanted.subresource.is_empty() {
            true => wanted.resource.clone(),
            false => format!("{}/{}", wanted.resource, wanted.subresource),
        };
        let names =
            |p: &&Arc<dyn Group>| p.resources(&wanted.version).iter().any(|r| r.name == name);
        match self.parts.iter().find(names) {
            Some(part) => part.answer(request),
            None => Box::pin(async { Err(Status::no_such_path()) }),
        }
    }

    fn schemas(&self, version: &str) -> &'static str {
        // One part at most has schemas so far; two could not be joined without a copy that lives for ever.
        self.parts.iter().map(|p| p.schemas(version)).find(|s| !s.is_empty()).unwrap_or("")
    }
}
