//! A running pod: its metadata alone, as metrics-server keeps it.

use crate::cache::Object;
use crate::labels::{Interner, Labels};
use crate::watch::{Kept, Meta};
use serde::Deserialize;
use std::sync::Arc;

/// A running pod. At 150,000 of them each word counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Differs where another pod took the name.
    pub uid: Uid,
    /// Its labels.
    pub labels: Labels,
    /// What controls it; `None` for a pod of its own.
    pub owner: Option<Arc<Owner>>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// What controls a pod, as the pod itself tells: a ReplicaSet, not the Deployment above it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// `ReplicaSet`, `StatefulSet`, `DaemonSet`, `Job`, ...
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// A UID in as little memory as it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uid(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl From<&str> for Uid {
    fn from(text: &str) -> Uid {
        let form = uuid(text).map_or_else(|| Form::Text(text.into()), Form::Uuid);
        Uid(form)
    }
}

/// The bytes of the usual form, in small letters: 8-4-4-4-12.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 16];
    let mut digits = bytes.iter().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at));
    for byte in &mut out {
        let (high, low) = (digits.next()?.1, digits.next()?.1);
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Uuid(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl Object for Pod {
    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// A pod's metadata as the API server writes it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Wire {
    metadata: Meta,
}

impl Kept for Pod {
    type Wire = Wire;

    fn keep(wire: Wire, interner: &mut Interner) -> Pod {
        let metadata = wire.metadata;
        let owner = metadata.owner_references.iter().find(|o| o.controller);
        let owner = owner.map(|o| interner.share_owner(&o.kind, &o.name));
        Pod {
            created_ms: metadata.created_ms(),
            namespace: interner.share_text(&metadata.namespace),
            name: metadata.name.into(),
            uid: Uid::from(&*metadata.uid),
            labels: interner.share(metadata.labels),
            owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_uid_is_printed_as_it_was_read(text in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-zA-F-]{0,40}") {
            proptest::prop_assert_eq!(Uid::from(&*text).to_string(), text);
        }
    }

    #[test]
    fn a_pod_is_small() {
        assert!(size_of::<Pod>() <= 112, "{}", size_of::<Pod>());
    }
}
