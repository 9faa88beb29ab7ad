//! `/-/reload`, `/-/quit` and the configuration in effect, beside a real Prometheus with the same file.

use anyhow::{Result, ensure};
use stage::program::Program;
use stage::prometheus::{Answer, Prometheus, exchange, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nobody listens at the port.
fn config(zone: &str) -> String {
    format!(
        "global: {{external_labels: {{zone: {zone}}}}}\nremote_write:\n- url: http://localhost:9/write\n  \
         authorization: {{credentials: hush}}\n"
    )
}

fn ours(folder: &Path, more: &[&str]) -> Result<Program> {
    let (data, file) = (folder.join("data"), folder.join("prometheus.yml"));
    let paths =
        [format!("--data-dir={}", data.display()), format!("--config.file={}", file.display())];
    Program::start("kubevigil", &[&[paths[0].as_str(), paths[1].as_str()], more].concat())
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Answer> {
    exchange(address, method, path, "", b"")
}

#[test]
fn the_program_reads_its_file_again_and_ends_as_prometheus_does() -> Result<()> {
    if !stage::require::present("lifecycle", stage::require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let [own, other] = ["own", "other"].map(|n| folder.path().join(n));
    std::fs::create_dir(&own)?;
    let write = |text: &str| -> Result<()> {
        std::fs::write(own.join("prometheus.yml"), text)?;
        Ok(std::fs::write(other.join("prometheus.yml"), text)?)
    };
    let theirs = Prometheus::start(&other, &config("a"), &[])?;
    write(&config("a"))?;
    let program = ours(&own, &[])?;
    let alike = |theirs: SocketAddr, ours: SocketAddr, method: &str, path: &str| -> Result<u16> {
        let (theirs, ours) = (ask(theirs, method, path)?, ask(ours, method, path)?);
        let both = (ours.status, ours.text());
        ensure!(
            (theirs.status, theirs.text()) == both,
            "{method} {path}: {theirs:?}, ours {both:?}"
        );
        Ok(ours.status)
    };
    for path in ["/-/reload", "/-/quit"] {
        for (method, status) in [("GET", 405), ("POST", 403), ("PUT", 403)] {
            ensure!(alike(theirs.address, program.address, method, path)? == status, "{path}");
        }
    }
    drop((theirs, program));

    let theirs = Prometheus::start(&other, &config("a"), &["--web.enable-lifecycle"])?;
    let mut program = ours(&own, &["--web.enable-lifecycle"])?;
    let addresses = [theirs.address, program.address];
    ensure!(alike(theirs.address, program.address, "POST", "/-/reload")? == 200);
    let told = |address| -> Result<(bool, String)> {
        let runtime = json(address, "/api/v1/status/runtimeinfo")?;
        let config = json(address, "/api/v1/status/config")?;
        let yaml = config["data"]["yaml"].as_str().unwrap_or_default().to_owned();
        Ok((runtime["data"]["reloadConfigSuccess"] == true, yaml))
    };
    let shows = |current: bool, zone: &str| -> Result<()> {
        for address in addresses {
            let (is_current, yaml) = told(address)?;
            ensure!(is_current == current && yaml.contains(&format!("zone: {zone}\n")), "{yaml}");
            ensure!(yaml.contains("credentials: <secret>\n") && !yaml.contains("hush"), "{yaml}");
        }
        Ok(())
    };
    shows(true, "a")?;
    write("remote_write: 1\n")?;
    for address in addresses {
        let answer = ask(address, "PUT", "/-/reload")?;
        let said = answer.text();
        ensure!(answer.status == 500, "{answer:?}");
        ensure!(said.starts_with("failed to reload config: ") && said.ends_with('\n'), "{said}");
    }
    shows(false, "a")?;
    let metrics = program.get("/metrics")?;
    ensure!(metrics.contains("\nkubevigil_config_last_reload_successful 0\n"));
    write(&config("b"))?;
    ensure!(alike(theirs.address, program.address, "PUT", "/-/reload")? == 200);
    shows(true, "b")?;

    ensure!(alike(theirs.address, program.address, "POST", "/-/quit")? == 200);
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = program.child.try_wait()? {
            break status;
        }
        ensure!(Instant::now() < deadline, "it does not end: {}", program.said());
        std::thread::sleep(Duration::from_millis(50));
    };
    ensure!(status.success(), "{status}: {}", program.said());
    Ok(())
}
