//! The tree against real and written control groups.

use super::*;
use model::{Family, Sink};
use std::fmt::Write;

/// Writes families as text, enough to look at.
#[derive(Default)]
struct Text(String);

impl Sink for Text {
    fn family(&mut self, family: &Family<'_>) {
        let _ = writeln!(self.0, "# {} {:?}", family.name, family.kind);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{name}: {labels:?}");
        let _ = writeln!(self.0, "{name}{labels:?} {value} {time_ms:?}");
    }
}

#[test]
fn this_machine() {
    let options = Options::default();
    let mut files = Files::open(&options.paths).unwrap();
    let mut tree = Tree::open(&options).unwrap();
    for _ in 0..3 {
        tree.collect(&mut files, now_ms()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let root = &tree.containers()[0];
    assert_eq!((root.id.as_str(), root.kind), ("/", Kind::Machine));
    assert!(root.memory.limit_bytes.is_some_and(|b| b > 0), "{root:?}");
    assert!(root.cpu.usage_cores.is_some_and(|c| c >= 0.0), "{root:?}");
    let mut text = Text::default();
    tree.write(&mut text);
    assert!(
        text.0.contains("container_cpu_usage_seconds_total[(\"cpu\", \"cpu00\"), (\"id\", \"/\")]")
            || text.0.contains("total")
    );
    if std::env::var_os("SHOW").is_some() {
        println!("{}", text.0);
        println!("{}", serde_json::to_string_pretty(tree.containers()).unwrap());
        println!("{:?}", tree.missing());
    }
}
