//! The keeper of the serving certificate, over the fake.

use super::fake::{Answer, server};
use crate::cache::Cache;
use crate::serving::{Keeper, Serving};
use crate::{Lifetimes, trust::Trust};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn an_api_server_that_is_away_is_not_asked_all_the_time() {
    let (connection, log) = server(|_| Answer::Refused);
    let serving = Serving {
        namespace: "kubevigil-system".into(),
        secret: "kubevigil-certificates".into(),
        service: "kubevigil".into(),
        api_services: Vec::new(),
        lifetimes: Lifetimes::default(),
    };
    let keeper = Keeper {
        connection,
        serving,
        identity: http::Identity::default(),
        trust: Arc::new(ArcSwap::from_pointee(Trust::default())),
        secret: Cache::default(),
        api_services: Vec::new(),
    };
    let kept = tokio::spawn(keeper.run());
    tokio::time::sleep(Duration::from_millis(4500)).await;
    kept.abort();
    let asked = log.lock().unwrap().len();
    assert!((1..=3).contains(&asked), "asked {asked} times in 4.5 s");
}
