//! Who may read, send and administer: the web configuration's users, on the real program.

use anyhow::{Result, ensure};
use stage::program::Program;
use stage::prometheus::exchange;

/// A pair as the header `Authorization` has it.
fn basic(user: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{user}:secret");
    let mut out = String::from("Authorization: Basic ");
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char;
            out.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    out + "\r\n"
}

#[test]
fn users_read_send_and_administer_as_they_may() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hash = bcrypt::hash("secret", 4)?;
    let users: String = ["ann", "pump", "root"].map(|n| format!("  {n}: {hash}\n")).concat();
    let config = folder.path().join("web.yml");
    std::fs::write(&config, format!("basic_auth_users:\n{users}"))?;
    let (config, dir) = (config.display().to_string(), folder.path().display().to_string());
    let program = Program::start(
        "kubevigil",
        &[
            "--data-dir",
            &dir,
            "--web.config.file",
            &config,
            "--web.read-users",
            "ann,root",
            "--web.write-users",
            "pump",
            "--web.admin-users",
            "root",
            "--web.enable-admin-api",
            "--web.enable-remote-write-receiver",
        ],
    )?;
    let status = |user: &str, method: &str, path: &str| -> Result<u16> {
        let header = if user.is_empty() { String::new() } else { basic(user) };
        Ok(exchange(program.address, method, path, &header, b"")?.status)
    };
    let write = "/api/v1/write";
    let delete = "/api/v1/admin/tsdb/delete_series?match[]=nothing";
    let (query, cancel) = ("/api/v1/query?query=1", "/api/vigil/v1/queries/77");
    for (user, method, path, wanted) in [
        ("", "GET", query, 401),
        ("", "GET", "/-/healthy", 401),
        ("pump", "GET", "/-/healthy", 200),
        ("ann", "GET", query, 200),
        ("root", "GET", query, 200),
        ("pump", "GET", query, 403),
        ("pump", "GET", "/metrics", 403),
        ("pump", "GET", "/", 403),
        // An empty body is no message: it was let in.
        ("pump", "POST", write, 400),
        ("ann", "POST", write, 403),
        ("root", "POST", write, 403),
        ("root", "POST", delete, 204),
        ("ann", "POST", delete, 403),
        ("pump", "POST", delete, 403),
        ("ann", "DELETE", cancel, 403),
        ("root", "DELETE", cancel, 404),
    ] {
        let found = status(user, method, path)?;
        ensure!(found == wanted, "{method} {path} as {user:?}: {found}, not {wanted}");
    }
    let refused = exchange(program.address, "GET", query, &basic("pump"), b"")?.text();
    ensure!(refused.contains("user \\\"pump\\\" may not read: --web.read-users"), "{refused}");
    ensure!(program.stop()? == Some(0));
    Ok(())
}
