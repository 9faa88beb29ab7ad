//! Who asks, and whether they may: the whole of it, for one request.

use crate::user::{self, Shown};
use crate::{Attributes, Cluster, Decision, Error, User};
use axum::http::HeaderMap;
use rustls::pki_types::{CertificateDer, UnixTime};

/// What came out of asking who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Somebody; where nothing was shown, [`User::anonymous`].
    User(User),
    /// Something was shown that nobody vouches for; the reason is for the log, not for them.
    Refused(String),
}

impl Cluster {
    /// Who asks, by the client's certificates (its own first; the client holds the key) and by the
    /// headers of the request.
    ///
    /// # Errors
    /// Where the API server is needed for the answer and gives none.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        certificates: &[CertificateDer<'_>],
    ) -> Result<Authentication, Error> {
        let trust = self.trust().load_full();
        match user::tell(headers, certificates, &trust, UnixTime::now()) {
            Shown::User(user) => Ok(Authentication::User(user)),
            Shown::Nothing => Ok(Authentication::User(User::anonymous())),
            Shown::Refused(why) => Ok(Authentication::Refused(why)),
            Shown::Token(token) => Ok(match self.0.reviews.user(&token).await? {
                Some(user) => Authentication::User(User::clone(&user).authenticated()),
                None => Authentication::Refused("the API server does not know the token".into()),
            }),
        }
    }

    /// Whether a user may do something. `/healthz`, `/livez` and `/readyz` are open to all, and the
    /// group `system:masters` may do everything, as in any API server.
    ///
    /// # Errors
    /// Where the API server gives no answer.
    pub async fn authorise(&self, user: &User, wanted: &Attributes) -> Result<Decision, Error> {
        let yes = |reason: &str| Ok(Decision { allowed: true, reason: reason.to_owned() });
        if let Attributes::Path { path, .. } = wanted
            && ["/healthz", "/livez", "/readyz"].contains(&path.as_str())
        {
            return yes("open to all");
        }
        if user.groups.iter().any(|g| g == "system:masters") {
            return yes("system:masters");
        }
        self.0.reviews.decide(user, wanted).await
    }

    /// Whether it is known whose certificates to believe.
    pub fn knows_whom_to_trust(&self) -> bool {
        self.trust();
        self.0.trust_cache.get().is_some_and(crate::Cache::synced)
    }
}
