//! Receivers that are slow, refuse, close or do not know the protocol.

use super::receiver::{Do, Receiver};
use super::{World, quick, sample, until};
use crate::Options;
use scrape::config::Message;
use std::time::{Duration, Instant};

fn dropped(world: &World, reason: &str) -> f64 {
    world.metric(&format!("prometheus_remote_storage_samples_dropped_total{{{reason}}}"))
}

#[test]
fn what_is_refused_is_counted_and_the_rest_goes_on() {
    let receiver = Receiver::start(|_| Do::Answer(404, ""));
    let world = World::new();
    let mut endpoint = quick(&receiver.url());
    endpoint.queue.retry_429 = false;
    world.set(&[endpoint]);
    (0..10).for_each(|n| world.append(&[sample(n, 1000, 1.0)]));
    let failed = || world.metric("prometheus_remote_storage_samples_failed_total");
    until("ten are refused", || failed() == 10.0);
    until("the refusal is told", || {
        let troubles = world.exporter.troubles();
        troubles.iter().any(|t| t.contains("404 Not Found: said the receiver"))
    });
    receiver.now(|_| Do::Answer(429, "Retry-After: 100\r\n"));
    world.append(&[sample(1, 2000, 1.0)]);
    until("429 is refused as the file says", || failed() == 11.0);
    receiver.now(|_| Do::Take);
    world.append(&[sample(1, 3000, 1.0)]);
    until("the next is taken", || receiver.count() == 1);
    until("the trouble is over", || world.exporter.troubles().is_empty());
}

#[test]
fn retry_after_is_honoured_and_a_slow_receiver_is_given_up_in_time() {
    let receiver = Receiver::start(|n| match n {
        0 => Do::Answer(429, "Retry-After: 1\r\n"),
        1 => Do::Slow(Duration::from_secs(30)),
        _ => Do::Take,
    });
    let world = World::new();
    let mut endpoint = quick(&receiver.url());
    endpoint.timeout_ms = 300;
    world.set(&[endpoint]);
    let begun = Instant::now();
    world.append(&[sample(1, 1000, 1.0)]);
    until("it is taken", || receiver.count() == 1);
    until("it is sent", || world.metric("prometheus_remote_storage_samples_pending") == 0.0);
    assert!(begun.elapsed() >= Duration::from_millis(1300), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    // On a busy machine the third may take longer than its time, too.
    assert!(world.metric("prometheus_remote_storage_samples_retried_total") >= 2.0);
    let got = receiver.got.lock().expect("locks");
    assert_eq!(got.headers[2]["retry-attempt"], "2");
}

#[test]
fn a_receiver_that_does_not_know_2_0_gets_1_0() {
    for answer in [Do::Answer(415, ""), Do::Answer(204, "")] {
        let receiver = Receiver::start(move |_| answer.clone());
        let world = World::new();
        let mut endpoint = quick(&receiver.url());
        endpoint.message = Message::V2;
        world.set(&[endpoint]);
        (0..40).for_each(|n| world.append(&[sample(n, 1000, 1.0)]));
        let is_v1 = |h: &std::collections::HashMap<String, String>| {
            h["x-prometheus-remote-write-version"] == "0.1.0"
        };
        until("1.0 is tried", || receiver.got.lock().expect("locks").headers.iter().any(is_v1));
        receiver.now(|_| Do::TakeInOrder);
        (0..40).for_each(|n| world.append(&[sample(n, 2000, 1.0)]));
        until("the newest come", || receiver.count() >= 40);
    }
}

#[test]
fn what_takes_too_much_room_is_dropped_and_counted() {
    let receiver = Receiver::start(|_| Do::Answer(503, ""));
    let world = World::with(Options { queue_bytes: 60_000, ..Options::default() });
    let mut endpoint = quick(&receiver.url());
    endpoint.queue.max_backoff_ms = 50;
    world.set(&[endpoint]);
    for t in 1..400i64 {
        let batch: Vec<_> =
            (0..20).map(|n| sample(n, t * 1000, (t * 7919 % 1013) as f64 / 7.0)).collect();
        world.append(&batch);
        if t % 20 == 0 {
            world.db.flush().expect("flushes");
        }
    }
    let kept = || world.db.log_sizes().expect("lists").iter().map(|s| s.1).sum::<u64>();
    assert!(kept() > 120_000, "{}", kept());
    until("the oldest are dropped", || dropped(&world, "queue_full") > 1000.0);
    until("their room is given back", || kept() < 90_000);
    receiver.now(|_| Do::TakeInOrder);
    until("the rest arrives", || {
        receiver.count() as f64 + dropped(&world, "queue_full") == 20.0 * 399.0
    });
    assert!(receiver.count() > 1000, "{}", receiver.count());
    let newest = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds";
    until("the newest is told", || world.metric(newest) == 399.0);
}

#[test]
fn a_slow_receiver_gets_more_shards() {
    let receiver = Receiver::start(|_| Do::Slow(Duration::from_millis(150)));
    let world = World::new();
    let mut endpoint = quick(&receiver.url());
    endpoint.queue.min_shards = 1;
    endpoint.queue.max_shards = 8;
    endpoint.queue.per_send = 10;
    world.set(&[endpoint]);
    let begun = Instant::now();
    let mut t = 0;
    while world.metric("prometheus_remote_storage_shards") < 3.0 {
        t += 1;
        let batch: Vec<_> = (0..20).map(|n| sample(n, t * 1000, t as f64)).collect();
        world.append(&batch);
        std::thread::sleep(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(60), "no more shards came");
    }
    receiver.now(|_| Do::Take);
    until("all arrive", || receiver.count() as i64 == 20 * t);
    let got = receiver.got.lock().expect("locks");
    assert_eq!((got.twice, got.out_of_order), (0, 0));
}
