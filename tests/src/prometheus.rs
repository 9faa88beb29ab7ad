//! A real Prometheus beside us, and requests of any kind to either.

use crate::peer;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A Prometheus; killed when dropped.
pub struct Prometheus {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Prometheus {
    /// Starts one in `folder` with a configuration, in which `{address}` is its own address, and
    /// waits until it is ready.
    pub fn start(folder: &Path, config: &str, arguments: &[&str]) -> Result<Prometheus> {
        let program = peer::build("prometheus")?;
        std::fs::create_dir_all(folder)?;
        let address = free_address()?;
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config.replace("{address}", &address.to_string()))?;
        let log = folder.join("prometheus.log");
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let prometheus = Prometheus { child, address };
        wait_until_ready(address)
            .with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(prometheus)
    }

    /// Sends a signal by number (19 stops, 18 lets go on).
    pub fn signal(&self, number: i32) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([format!("-{number}"), pid]).status()?;
        anyhow::ensure!(status.success(), "kill -{number} failed");
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address whose port was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits (30 s) until `/-/ready` says so.
pub fn wait_until_ready(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if exchange(address, "GET", "/-/ready", "", b"").is_ok_and(|a| a.status == 200) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{address} was not ready within 30 s")
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header lines.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, in lower case; empty where there is none.
    pub fn header(&self, name: &str) -> String {
        let found = self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        });
        found.unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: {}", self.status, self.text()))
    }
}

/// Sends a request with extra header lines, each ended by CR LF.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n"
    )?;
    // A server may answer and close before it has read everything.
    let sent = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let Some(split) = answer.windows(4).position(|w| w == b"\r\n\r\n") else {
        sent?;
        read?;
        bail!("no header in the answer to {method} {target}");
    };
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
    Ok(Answer { status, head, body: answer[split + 4..].to_vec() })
}

/// GETs a path and gives the JSON of the answer.
pub fn json(address: SocketAddr, path: &str) -> Result<serde_json::Value> {
    exchange(address, "GET", path, "", b"")?.json()
}

/// Encodes a text for a query string.
pub fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
