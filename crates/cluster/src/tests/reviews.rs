//! Token and access reviews, over the fake.

use super::fake::{Answer, server};
use crate::{Attributes, Authentication, Cluster, Error, User};
use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::json;

fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn listing() -> Attributes {
    Attributes::Resource {
        verb: "list".into(),
        group: "metrics.k8s.io".into(),
        version: "v1beta1".into(),
        resource: "pods".into(),
        subresource: String::new(),
        namespace: "default".into(),
        name: String::new(),
    }
}

#[tokio::test]
async fn tokens_are_asked_for_once_and_never_kept() {
    let (connection, log) = server(|asked| {
        if !asked.uri.contains("tokenreviews") {
            return Answer::Refused;
        }
        let known = asked.body["spec"]["token"] == "good";
        let user = json!({"username": "ann", "uid": "1", "groups": ["dev"], "extra": {"k": ["v"]}});
        let status = json!({"authenticated": known, "user": user});
        let spec = json!({"token": asked.body["spec"]["token"]});
        Answer::Json(201, json!({"metadata": {}, "spec": spec, "status": status}))
    });
    let cluster = Cluster::over(connection);
    for _ in 0..3 {
        let user = match cluster.authenticate(&bearer("good"), &[]).await.unwrap() {
            Authentication::User(user) => user,
            other => panic!("{other:?}"),
        };
        assert_eq!(user.groups, ["dev", "system:authenticated"]);
        assert_eq!(user.extra["k"], ["v"]);
        let bad = cluster.authenticate(&bearer("bad"), &[]).await.unwrap();
        assert!(matches!(bad, Authentication::Refused(_)));
    }
    let long = "x".repeat(100_000);
    let long = cluster.authenticate(&bearer(&long), &[]).await.unwrap();
    assert!(matches!(long, Authentication::Refused(_)));
    let asked = log.lock().unwrap().iter().filter(|a| a.method == "POST").count();
    assert_eq!(asked, 2, "one review for each token");
    let nobody = cluster.authenticate(&HeaderMap::new(), &[]).await.unwrap();
    assert_eq!(nobody, Authentication::User(User::anonymous()));
}

#[tokio::test]
async fn access_is_reviewed_for_the_real_user() {
    let (connection, log) = server(|asked| {
        let spec = asked.body["spec"].clone();
        let allowed = spec["user"] == "ann" && spec["resourceAttributes"]["namespace"] == "default";
        let status = json!({"allowed": allowed, "reason": "because"});
        Answer::Json(201, json!({"metadata": {}, "spec": spec, "status": status}))
    });
    let cluster = Cluster::over(connection);
    let ann = User { name: "ann".into(), groups: vec!["dev".into()], ..User::default() };
    let eve = User { name: "eve".into(), ..User::default() };
    for _ in 0..3 {
        assert!(cluster.authorise(&ann, &listing()).await.unwrap().allowed);
        assert!(!cluster.authorise(&eve, &listing()).await.unwrap().allowed);
    }
    assert_eq!(log.lock().unwrap().len(), 2);
    let body = log.lock().unwrap()[0].body.clone();
    assert_eq!(body["spec"]["groups"], json!(["dev"]));
    assert_eq!(body["spec"]["resourceAttributes"]["group"], "metrics.k8s.io");
    assert_eq!(body["spec"]["resourceAttributes"]["verb"], "list");
}

#[tokio::test]
async fn what_needs_no_review_gets_none() {
    let (connection, log) = server(|_| Answer::Refused);
    let cluster = Cluster::over(connection);
    for path in ["/healthz", "/livez", "/readyz"] {
        let wanted = Attributes::Path { verb: "get".into(), path: path.into() };
        assert!(cluster.authorise(&User::anonymous(), &wanted).await.unwrap().allowed);
    }
    let root = User { groups: vec!["system:masters".into()], ..User::default() };
    assert!(cluster.authorise(&root, &listing()).await.unwrap().allowed);
    assert!(log.lock().unwrap().is_empty());
    // Nothing else is decided without the API server, and its silence is not kept.
    for _ in 0..2 {
        let error = cluster.authorise(&User::anonymous(), &listing()).await.unwrap_err();
        assert!(matches!(error, Error::Api { .. }));
    }
    // Each was tried twice: an idle connection may have died.
    assert_eq!(log.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn an_answer_that_is_none_says_nothing_of_the_token() {
    let (connection, _) =
        server(|_| Answer::Json(200, json!({"spec": {"token": 5, "x": "secret"}})));
    let cluster = Cluster::over(connection);
    let error = cluster.authenticate(&bearer("secret"), &[]).await.unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
