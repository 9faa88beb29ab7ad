//! `kubevigil promqltest`: runs Prometheus's test scripts.

use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the scripts, prints what failed and, last, how many passed and failed.
pub fn run(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let report = promql::promqltest::run(&text, &file.display().to_string());
        for failure in &report.failures {
            println!("{}:{}: {}", failure.name, failure.line, failure.message);
        }
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
