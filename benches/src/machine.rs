//! What kind of machine the figures come from, without its name and the date.

/// One line: cores, kind of processor, kernel, control group version.
pub fn describe() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = cpuinfo.lines().filter(|l| l.starts_with("processor")).count();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let numbers = release.split('-').next().unwrap_or("").trim();
    let groups = if stage::cgroup::is_v2() { "v2" } else { "v1" };
    format!("{cores} cores ({model}), Linux {numbers}, control groups {groups}.")
}
