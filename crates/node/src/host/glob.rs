//! Folders by a pattern in which `*` and `?` stand for any characters of one part of a path.

use std::path::{Component, Path, PathBuf};

/// No pattern finds more folders than this; a `*` too many shall not walk a whole file system.
const FOUND_MAX: usize = 1000;

/// The existing paths that match, sorted; the pattern itself where nothing does, so that whoever opens it
/// can say what is wrong with it.
pub(super) fn folders(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        let is_plain = !matches!(part, Component::Normal(_)) || !text.contains(['*', '?']);
        let mut next = Vec::new();
        for base in found {
            if is_plain {
                next.push(base.join(part));
                continue;
            }
            let folder = if base.as_os_str().is_empty() { Path::new(".") } else { base.as_path() };
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.map(|e| e.file_name());
            let matching = names.filter(|n| matches(&text, &n.to_string_lossy()));
            next.extend(matching.map(|n| base.join(n)).take(FOUND_MAX));
        }
        next.sort();
        next.truncate(FOUND_MAX);
        found = next;
    }
    found.retain(|path| path.exists());
    if found.is_empty() { vec![pattern.into()] } else { found }
}

/// Whether a name matches a pattern of `*`, `?` and characters that stand for themselves.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star did not fit.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|i| naive(rest, &name[i..])),
            Some((c, rest)) => {
                name.split_first().is_some_and(|(n, r)| (*c == b'?' || c == n) && naive(rest, r))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_matcher(pattern in "[ab*?]{0,6}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn finds_folders() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a1/x", "a2/x", "b/x"] {
            std::fs::create_dir_all(dir.path().join(name)).expect("a folder");
        }
        let found = folders(&dir.path().join("a*/x"));
        assert_eq!(found, [dir.path().join("a1/x"), dir.path().join("a2/x")]);
        let nothing = dir.path().join("c*");
        assert_eq!(folders(&nothing), [nothing]);
    }
}
