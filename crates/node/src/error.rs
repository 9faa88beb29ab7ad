//! Why a node cannot be watched at all.

/// Why [`Node::open`](crate::Node::open) failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A root directory cannot be opened.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// An option names a collector that there is not.
    #[error("there is no collector {name:?}; there are: {known}")]
    UnknownCollector {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A regular expression in an option does not parse.
    #[error("option {option}: {value:?}: {reason}")]
    Pattern {
        /// The option, as node_exporter spells its flag.
        option: &'static str,
        /// The expression.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two options exclude each other.
    #[error("options {first} and {second} exclude each other")]
    Contradiction {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}
