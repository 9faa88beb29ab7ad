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
    /// There is no such flag.
    #[error("there is no flag {name:?} of a collector")]
    UnknownFlag {
        /// What was given.
        name: String,
    },
    /// The value of a flag does not parse.
    #[error("flag --{flag}: {value:?}: {reason}")]
    Value {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two flags exclude each other.
    #[error("flags --{first} and --{second} exclude each other")]
    Contradiction {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// The control groups cannot be watched.
    #[error("cannot watch control groups: {source}")]
    Watch {
        /// What the kernel said.
        source: std::io::Error,
    },
}
