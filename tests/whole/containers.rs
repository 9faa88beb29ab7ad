//! Real containers against our programs.

use stage::container::{self, Container, Layout, Network, Pod, Spec};
use stage::require;

#[test]
fn rig() {
    if !require::present("containers::rig", container::lack()) {
        return;
    }
    let mut pod = Pod::new("shop", "cart-0");
    let sandbox = Container::sandbox(&mut pod, Network::Veth).unwrap();
    let mut spec = Spec::new(Layout::Pod(pod), "while :; do :; done");
    spec.cpu_quota_us = Some(20_000);
    spec.memory_bytes = Some(50 << 20);
    spec.network = Network::Of(sandbox.pid);
    let main = Container::start(&spec).unwrap();
    let docker =
        Container::start(&Spec::new(Layout::Docker { name: "web".into() }, "sleep 100")).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    for c in [&sandbox, &main, &docker] {
        println!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?}",
            c.group.id,
            c.group.cpu_seconds(),
            c.group.cpu_quota(),
            c.group.throttled(),
            c.group.memory_limit(),
            c.group.oom_kills(),
            c.group.processes()
        );
    }
    sandbox.ping(10).unwrap();
    println!("{}", std::fs::read_to_string(format!("/proc/{}/net/dev", main.pid)).unwrap());
}
