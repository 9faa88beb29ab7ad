//! The labels of one group's series, built once and merged with a sample's own without allocation.

use super::runtimes::Meta;

/// Label pairs sorted by name, without empty values.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelSet(Vec<(Box<str>, Box<str>)>);

impl LabelSet {
    /// The labels of a group: those that cAdvisor gives, `container`, `pod` and `namespace` as in the
    /// kubelet, and `container_label_*` as in cAdvisor's own program.
    pub fn new(id: &str, meta: &Meta) -> LabelSet {
        let mut pairs: Vec<(String, &str)> = meta
            .labels
            .iter()
            .map(|(name, value)| (format!("container_label_{}", sanitised(name)), value.as_str()))
            .collect();
        let own = [
            ("container", meta.container.as_str()),
            ("id", id),
            ("image", &meta.image),
            ("name", &meta.name),
            ("namespace", &meta.namespace),
            ("pod", &meta.pod),
        ];
        pairs.extend(own.map(|(name, value)| (name.to_string(), value)));
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        // Two names that differ only in what cannot be in a label name: the first stays.
        pairs.dedup_by(|b, a| a.0 == b.0);
        LabelSet(pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }

    /// Puts these and a sample's own labels, sorted as well, into `out` in the order of their names.
    pub fn merge<'a>(&'a self, own: &[(&'a str, &'a str)], out: &mut Vec<(&'a str, &'a str)>) {
        out.clear();
        let mut own = own.iter().peekable();
        for (name, value) in &self.0 {
            while let Some(pair) = own.next_if(|pair| pair.0 < &**name) {
                out.push(*pair);
            }
            out.push((name, value));
        }
        out.extend(own);
    }
}

/// What a label name may hold, the rest as underscores.
fn sanitised(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_sanitised_without_empty_values_or_twins() {
        let mut meta = Meta { name: "web".into(), pod: "cart-0".into(), ..Meta::default() };
        for (name, value) in [("a.b", "1"), ("a-b", "2"), ("größe", "3"), ("e", "")] {
            meta.labels.insert(name.into(), value.into());
        }
        let set = LabelSet::new("/x", &meta);
        let mut out = Vec::new();
        set.merge(&[("cpu", "total"), ("scope", "container")], &mut out);
        let want = [
            ("container_label_a_b", "2"),
            ("container_label_gr__e", "3"),
            ("cpu", "total"),
            ("id", "/x"),
            ("name", "web"),
            ("pod", "cart-0"),
            ("scope", "container"),
        ];
        assert_eq!(out, want);
        set.merge(&[], &mut out);
        assert_eq!(out.len(), 5);
    }
}
