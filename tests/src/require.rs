//! The one rule about what a machine lacks: under `CI=true` a lack is a failure; elsewhere the test says
//! in one line what it skipped and why.

/// Whether this run must not skip anything.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true" || v == "1")
}

/// Ends the calling test early where `lack` names something that this machine does not have.
///
/// Returns true when the test may go on. Panics under `CI=true`.
pub fn present(test: &str, lack: Option<String>) -> bool {
    let Some(lack) = lack else { return true };
    assert!(!is_ci(), "{test}: {lack}; under CI nothing may be skipped");
    eprintln!("skipped {test}: {lack}");
    false
}

/// Names the program as lacking if it is not on PATH.
pub fn program(name: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|d| d.join(name).is_file());
    (!found).then(|| format!("{name} is not installed"))
}

/// Names root as lacking for another user.
pub fn root() -> Option<String> {
    let uid = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = uid.lines().find_map(|l| l.strip_prefix("Uid:"))?.split_whitespace().nth(1)?;
    (effective != "0").then(|| "needs root".to_string())
}
