//! A scraper as Prometheus is one: the same headers, one connection that stays.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What Prometheus 3 sends.
const HEADERS: &str = "User-Agent: Prometheus/3.15.0\r\n\
     Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
     text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n\
     Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 1\r\n";

/// A connection to one target.
pub struct Scraper {
    address: SocketAddr,
    path: &'static str,
    stream: BufReader<TcpStream>,
}

impl Scraper {
    /// Connects.
    pub fn connect(address: SocketAddr, path: &'static str) -> Result<Scraper> {
        let stream = TcpStream::connect(address).with_context(|| format!("{address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Scraper { address, path, stream: BufReader::new(stream) })
    }

    /// Scrapes once; gives the bytes of the body as sent, gzipped.
    pub fn scrape(&mut self) -> Result<usize> {
        let (path, address) = (self.path, self.address);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{HEADERS}\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                bail!("{address} closed the connection after {head:?}");
            }
        }
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{address}: {head}");
        }
        let lower = head.to_ascii_lowercase();
        if !lower.contains("content-encoding: gzip") {
            bail!("{address} did not compress: {head}");
        }
        if let Some(length) = lower.split("content-length: ").nth(1) {
            let length: u64 = length.split("\r\n").next().unwrap_or("").parse()?;
            return self.skip(length);
        }
        let mut total = 0;
        loop {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).context("a chunk's size")?;
            total += self.skip(size)?;
            self.skip(2)?;
            if size == 0 {
                return Ok(total);
            }
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<usize> {
        let taken = std::io::copy(&mut (&mut self.stream).take(bytes), &mut std::io::sink())?;
        if taken < bytes {
            bail!("{} cut its answer off", self.address);
        }
        Ok(taken as usize)
    }
}
