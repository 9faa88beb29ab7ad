//! One machine's view: what the kernel says of the host and of its containers, as metric families
//! named exactly as node_exporter's and cAdvisor's.
//!
//! [`Node::collect`] makes one round: each kernel file is read at most once and serves every family that
//! needs it. The writers then give the newest round to any [`Sink`](model::Sink), as often as asked,
//! without reading anything. The crate opens nothing itself (that is `kernel`'s), starts no threads but
//! those that guard against dead mounts and the one that waits for control groups to come and go, listens
//! nowhere and keeps no history.

#![forbid(unsafe_code)]

pub mod containers;
mod error;
mod families;
mod files;
mod host;
pub mod options;
mod status;

pub use error::Error;
pub use families::Families;
pub use files::Files;
pub use options::{Collectors, Options};
pub use status::{CollectorStatus, Failure, Missing};

use containers::{Container, Tree};
use host::Host;
use model::Sink;

/// Everything that is collected from one machine.
pub struct Node {
    files: Files,
    host: Host,
    tree: Tree,
    /// The host's collectors in their order, then the containers'.
    statuses: Vec<CollectorStatus>,
}

impl Node {
    /// Opens the directories that the options name. Nothing is collected yet.
    pub fn open(options: Options) -> Result<Node, Error> {
        let files = Files::open(&options.paths)?;
        let host = Host::open(&options)?;
        let tree = Tree::open(&options)?;
        let mut statuses = host.statuses();
        statuses.push(CollectorStatus::new("containers", "cadvisor", true));
        Ok(Node { files, host, tree, statuses })
    }

    /// One round: reads everything once. What fails is in [`Node::collectors`] and disturbs nothing else.
    ///
    /// `now_ms` is the time of the round in milliseconds since the Unix epoch.
    pub fn collect(&mut self, now_ms: i64) {
        self.files.begin(now_ms);
        let Some((tree_status, host_statuses)) = self.statuses.split_last_mut() else { return };
        self.host.collect(&mut self.files, host_statuses);
        tree_status.run(
            &mut self.tree,
            |tree| tree.collect(&mut self.files, now_ms),
            |tree, sink| tree.write(sink),
        );
        tree_status.missing.extend_from_slice(self.tree.missing());
    }

    /// Writes node_exporter's families as of the newest round.
    pub fn write_node(&self, sink: &mut dyn Sink) {
        let count = self.statuses.len().saturating_sub(1);
        self.host.write(&self.statuses[..count], sink);
    }

    /// Writes cAdvisor's families as of the newest round.
    pub fn write_cadvisor(&self, sink: &mut dyn Sink) {
        self.tree.write(sink);
    }

    /// How each collector fared in the newest round, those that are switched off included.
    pub fn collectors(&self) -> &[CollectorStatus] {
        &self.statuses
    }

    /// The containers as of the newest round, parents before children.
    pub fn containers(&self) -> &[Container] {
        self.tree.containers()
    }
}
