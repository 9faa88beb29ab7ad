//! `kubevigil server` on a cluster that does not exist: a hollow API server and kubelet of our own
//! (`kubevigil simulate`), so that what does not need a real one needs neither root nor minutes.

use crate::program::{Program, built};
use crate::prometheus::free_address;
use anyhow::{Context, Result, bail, ensure};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A hollow cluster of one node; ends when dropped.
pub struct Hollow {
    fleet: Child,
    kubeconfig: PathBuf,
}

impl Hollow {
    /// Starts one whose kubeconfig goes into `folder`.
    pub fn start(folder: &Path) -> Result<Hollow> {
        let (api, kubelet) = (free_address()?, free_address()?);
        let fleet = Command::new(built("kubevigil"))
            .args(["simulate", "kubelets", "--constant", "--nodes", "1", "--pods-per-node", "1"])
            .args(["--port", &kubelet.port().to_string(), "--api-address", &api.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the hollow cluster")?;
        let kubeconfig = folder.join("kubeconfig");
        let hollow = Hollow { fleet, kubeconfig };
        std::fs::write(
            &hollow.kubeconfig,
            format!(
                "apiVersion: v1\nkind: Config\nclusters:\n- name: hollow\n  cluster: \
                 {{server: \"http://{api}\"}}\ncontexts:\n- name: hollow\n  context: {{cluster: \
                 hollow, user: test}}\ncurrent-context: hollow\nusers:\n- name: test\n  user: \
                 {{token: test}}\n"
            ),
        )?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(api).is_err() {
            ensure!(Instant::now() < deadline, "the hollow API server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(hollow)
    }

    /// Starts `kubevigil server` on it, and waits (30 s) until it is ready.
    pub fn server(&self, arguments: &[&str]) -> Result<HollowServer> {
        let address = free_address()?;
        let mut command = Command::new(built("kubevigil"));
        command
            .args(["server", "--kubelet-tls=insecure", "--scrape.annotations=false"])
            .args(["--kubeconfig", &self.kubeconfig.display().to_string()])
            .args(["--listen", &address.to_string()])
            .args(arguments);
        let server = HollowServer { program: Program::spawn(command)?, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !server.get("/-/ready").is_ok_and(|a| a.0 == 200) {
            if Instant::now() > deadline {
                bail!("the server was not ready within 30 s:\n{}", server.program.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        let _ = self.fleet.kill();
        let _ = self.fleet.wait();
    }
}

/// A `kubevigil server`; killed when dropped.
pub struct HollowServer {
    /// The program.
    pub program: Program,
    /// Where it answers, over TLS.
    pub address: SocketAddr,
}

impl HollowServer {
    /// GETs a path; gives status and body.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        request(self.address, path, &[], None)
    }

    /// GETs a path and gives the JSON of a 200.
    pub fn json(&self, path: &str) -> Result<serde_json::Value> {
        let (status, body) = self.get(path)?;
        ensure!(status == 200, "GET {path}: {status}: {body}");
        serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {body}"))
    }
}

/// Sends a request by curl as somebody whom the hollow cluster lets do everything; gives status and body.
pub fn request(
    address: SocketAddr,
    path: &str,
    headers: &[&str],
    body: Option<&Path>,
) -> Result<(u16, String)> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--insecure", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    command.args(["--header", "Authorization: Bearer test", "--globoff"]);
    for header in headers {
        command.args(["--header", header]);
    }
    if let Some(body) = body {
        command.arg("--data-binary").arg(format!("@{}", body.display()));
    }
    let output = command.arg(format!("https://{address}{path}")).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').context("curl wrote no status")?;
    Ok((status.parse()?, body.to_owned()))
}
