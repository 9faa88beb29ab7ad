//! Requests that nothing else here is made for, sent as they are.

use crate::{Cluster, Error};

impl Cluster {
    /// Sends a request and gives the answer's body. `path` begins with a slash and may hold a query.
    ///
    /// # Errors
    /// Where the request is none, or the API server refuses or cannot be asked.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<String, Error> {
        let what = format!("{method} {path}");
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content_type)
            .body(body.into_bytes());
        let request =
            request.map_err(|e| Error::Api { what: what.clone(), why: e.to_string(), code: 0 })?;
        let client = self.0.connection.client();
        client.request_text(request).await.map_err(|e| Error::api(&what, e))
    }
}
