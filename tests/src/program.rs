//! Our built programs, started as a user starts them and stopped by their process id.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The folder of the checkout.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(Into::into).unwrap_or_default()
}

/// The folder into which `make build` (and `cargo build --workspace`) put our programs.
pub fn built(name: &str) -> PathBuf {
    // A test binary lies in <target>/<profile>/deps.
    let mut dir = std::env::current_exe().unwrap_or_default();
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir.join(name)
}

/// A running program; killed when dropped.
pub struct Program {
    /// The process.
    pub child: Child,
    /// All that it wrote to standard output and standard error so far.
    pub output: Arc<Mutex<String>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Program {
    /// Starts one of our programs with `--listen 127.0.0.1:0` and waits (30 s) until it says where it
    /// listens: the first `http://127.0.0.1:PORT` in its output.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Program> {
        let mut command = Command::new(built(name));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Program::start_command(command)
    }

    /// Starts any program; where it listens is not known.
    pub fn spawn(mut command: Command) -> Result<Program> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let output = Arc::new(Mutex::new(String::new()));
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|p| Box::new(p) as _),
            child.stderr.take().map(|p| Box::new(p) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            let output = output.clone();
            std::thread::spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    if let Ok(mut output) = output.lock() {
                        output.push_str(&String::from_utf8_lossy(&line));
                    }
                    line.clear();
                }
            });
        }
        Ok(Program { child, output, address: SocketAddr::from(([127, 0, 0, 1], 0)) })
    }

    /// Starts any program that prints `http://ADDRESS` once it listens.
    pub fn start_command(command: Command) -> Result<Program> {
        let shown = format!("{command:?}");
        let mut program = Program::spawn(command)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let said = program.said();
            if let Some(address) = listening_address(&said) {
                program.address = address;
                return Ok(program);
            }
            if let Some(status) = program.child.try_wait()? {
                std::thread::sleep(Duration::from_millis(50));
                bail!("{shown} ended with {status}:\n{}", program.said());
            }
            if Instant::now() > deadline {
                bail!("{shown} did not say where it listens:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that it wrote so far.
    pub fn said(&self) -> String {
        self.output.lock().map(|o| o.clone()).unwrap_or_default()
    }

    /// GETs a path with extra header lines; gives status, header text and body (chunked bodies are joined).
    pub fn get_with(&self, path: &str, headers: &str) -> Result<(u16, String, Vec<u8>)> {
        get(self.address, path, headers)
    }

    /// GETs a path and gives the body of a 200.
    pub fn get(&self, path: &str) -> Result<String> {
        let (status, _, body) = self.get_with(path, "")?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if status != 200 {
            bail!("GET {path}: {status}: {body}");
        }
        Ok(body)
    }

    /// [`cpu_milliseconds`] of this program.
    pub fn cpu_milliseconds(&self) -> Result<u64> {
        cpu_milliseconds(self.child.id())
    }

    /// GETs a path and gives the JSON of a 200.
    pub fn json(&self, path: &str) -> Result<serde_json::Value> {
        let body = self.get(path)?;
        serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {body}"))
    }

    /// Sends a signal by number (9 kills, 15 terminates).
    pub fn signal(&self, number: i32) -> Result<()> {
        let status = Command::new("kill")
            .args([format!("-{number}"), self.child.id().to_string()])
            .status()?;
        if !status.success() {
            bail!("kill -{number} {} failed", self.child.id());
        }
        Ok(())
    }

    /// Terminates it and waits (20 s: it has 2 s for answers that go on, on a machine that may do much else);
    /// gives its exit code.
    pub fn stop(mut self) -> Result<Option<i32>> {
        self.signal(15)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("process {} did not end within 20 s of SIGTERM:\n{}", self.child.id(), self.said())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening_address(said: &str) -> Option<SocketAddr> {
    said.match_indices("http://").find_map(|(at, scheme)| {
        let rest = &said[at + scheme.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))?;
        rest[..end].parse().ok()
    })
}

/// GETs a path over plain HTTP/1.1.
pub fn get(address: SocketAddr, path: &str, headers: &str) -> Result<(u16, String, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let split = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .with_context(|| format!("no header in the answer to GET {path}"))?;
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
    let mut body = answer[split + 4..].to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = join_chunks(&body).with_context(|| format!("broken chunks from GET {path}"))?;
    }
    Ok((status, head, body))
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

/// Milliseconds on a CPU since the process's start, those of threads that ended included, in steps of
/// 10 ms (`/proc/PID/stat`, utime and stime).
pub fn cpu_milliseconds(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = text.rsplit_once(')').context("no name in stat")?.1;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks =
        || fields.next().context("stat is too short")?.parse::<u64>().context("no ticks");
    Ok((ticks()? + ticks()?) * 10)
}
