//! Takes the built UI (`web/dist` of the workspace) into the program, with its compressed forms.
//! Where it has not been built the program compiles all the same and says so on its page.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let crate_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let dist = crate_dir.join("../../web/dist");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=KUBEVIGIL_REVISION");
    // The folder itself, so that its appearing and its going are seen; a folder is looked through. While it
    // is absent the one above does as well, since an absent file would count as changed each time.
    let web = crate_dir.join("../../web");
    let seen = match dist.is_dir() || web.join("node_modules").is_dir() {
        true => &dist,
        false => &web,
    };
    println!("cargo:rerun-if-changed={}", seen.display());

    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        list(&dist, &dist, &mut files)?;
    }
    files.sort();
    let mut table = String::from("static ASSETS: &[Entry] = &[\n");
    for (index, name) in files.iter().filter(|n| !is_compressed_form(n, &files)).enumerate() {
        let path = dist.join(name).canonicalize()?;
        let gzip = gzipped(&path, &out_dir.join(format!("{index}.gz")))?;
        let brotli = Some(dist.join(format!("{name}.br"))).filter(|p| p.is_file());
        let brotli = brotli.map(|b| b.canonicalize()).transpose()?;
        let _ = writeln!(
            table,
            "    Entry {{ path: {name:?}, body: include_bytes!({path:?}), brotli: {}, zstd: None, \
             gzip: {} }},",
            optional(brotli.as_deref()),
            optional(gzip.as_deref()),
        );
    }
    table.push_str("];\n");
    fs::write(out_dir.join("assets.rs"), table)
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(|e| io::Error::other(format!("{name}: {e}")))
}

fn optional(path: Option<&Path>) -> String {
    path.map_or("None".into(), |p| format!("Some(include_bytes!({p:?}))"))
}

fn list(root: &Path, folder: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            files.push(name.to_owned());
        }
    }
    Ok(())
}

/// `app.js.br` beside `app.js`.
fn is_compressed_form(name: &str, files: &[String]) -> bool {
    let plain = [".br", ".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending));
    plain.is_some_and(|plain| files.iter().any(|f| f == plain))
}

/// Compresses a file where that makes it smaller.
fn gzipped(path: &Path, to: &Path) -> io::Result<Option<PathBuf>> {
    let plain = fs::read(path)?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain)?;
    let packed = encoder.finish()?;
    if packed.len() * 10 > plain.len() * 9 {
        return Ok(None);
    }
    fs::write(to, packed)?;
    Ok(Some(to.to_owned()))
}
