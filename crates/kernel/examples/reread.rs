//! What it saves to keep kernel files open: `cargo run --release -p kubevigil-kernel --example reread`.

use kernel::{Dir, Error, KeptFile};
use std::path::Path;
use std::time::Instant;

const ROUNDS: u32 = 2000;

fn main() -> Result<(), Error> {
    let procfs = Dir::open(Path::new("/proc"))?;
    let mut buffer = Vec::new();
    println!("{:>24} {:>12} {:>12}", "ns a reading", "opened anew", "kept open");
    for path in
        ["loadavg", "stat", "meminfo", "vmstat", "net/dev", "net/snmp", "net/udp", "1/mountinfo"]
    {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            procfs.read(path, &mut buffer)?;
        }
        let anew = start.elapsed().as_nanos() / u128::from(ROUNDS);
        let mut kept = KeptFile::new(path);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            kept.read(&procfs)?;
        }
        let open = start.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("{path:>24} {anew:>12} {open:>12}");
    }
    Ok(())
}
