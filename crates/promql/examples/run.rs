fn main() {
    let mut v = std::env::args().skip(1);
    let verbose = std::env::var("V").is_ok();
    let (mut p, mut f) = (0, 0);
    for path in v.by_ref() {
        let text = std::fs::read_to_string(&path).expect("read");
        let r = promql::promqltest::run(&text, &path);
        println!(
            "{:40} {:4} passed {:4} failed",
            path.rsplit('/').next().unwrap_or(""),
            r.passed,
            r.failures.len()
        );
        p += r.passed;
        f += r.failures.len();
        if verbose {
            for x in &r.failures {
                println!("   {}: {}", x.line, x.message);
            }
        }
    }
    println!("{p} passed, {f} failed");
}
